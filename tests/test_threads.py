"""Do threads that share schedules, or train side by side, disturb nobody?"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import numpy as np
import pytest
from helpers import JIT, adam, data, distance, fit, mlp, sgd, weights

from keras_fast import callbacks, schedules

THREADS = 8
SHARED = {
    "OneCycle": callbacks.OneCycle(0.1),
    "SGDR": callbacks.SGDR(0.1, cycle_mult=2),
    "CyclicalLR": callbacks.CyclicalLR(0.01, 0.1, step_size=7),
    "FlatCosine": callbacks.FlatCosine(0.1),
    "SlantedTriangular": callbacks.SlantedTriangular(0.1),
    "ParamScheduler": callbacks.ParamScheduler(
        learning_rate=schedules.join(
            [0.25, 0.75],
            [
                partial(schedules.exponential, start=1e-3, end=0.1),
                partial(schedules.polynomial, start=0.1, end=0.0),
            ],
        )
    ),
}


def at_once(calls):
    """What the calls return; they start at the same moment."""
    barrier = Barrier(len(calls))

    def run(call):
        barrier.wait(60)
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls, timeout=120))


@pytest.mark.parametrize("name", SHARED)
def test_one_schedule_for_eight_threads(name):
    lengths = [1000 + i for i in range(THREADS)]
    calls = [partial(SHARED[name].curve, n, 3) for n in lengths]
    for shared, call in zip(at_once(calls), calls, strict=True):
        alone = call()
        assert shared.keys() == alone.keys()
        for key in alone:
            np.testing.assert_array_equal(shared[key], alone[key])


def train(optimizer, max_lr, jit_compile=False, model=None):
    model = model or mlp(optimizer(), jit_compile=jit_compile)
    recorder = callbacks.Recorder()
    fit(model, *data(), callbacks.OneCycle(max_lr), recorder, epochs=4)
    return weights(model), recorder.learning_rates, recorder.losses


@pytest.mark.parametrize("jit_compile", JIT)
@pytest.mark.matrix(1)
def test_two_models_train_side_by_side(jit_compile):
    runs = [(adam, 0.05, jit_compile), (sgd, 0.1, jit_compile)]
    models = [mlp(run[0](), jit_compile=jit_compile) for run in runs]
    together = at_once(
        [
            partial(train, *run, model)
            for run, model in zip(runs, models, strict=True)
        ]
    )
    for run, got in zip(runs, together, strict=True):
        for array, alone in zip(got, train(*run), strict=True):
            assert distance(array, alone) <= 1e-6
