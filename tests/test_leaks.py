"""Does memory, a file or a thread stay behind?

Each is counted after a first use, which may load and compile.
"""

import gc
import tempfile
from functools import cache
from pathlib import Path

import keras
import numpy as np
import psutil
import pytest
from helpers import BACKEND, adam, data, fit, mlp
from matplotlib import pyplot as plt

import keras_fast
from keras_fast import callbacks, schedules
from keras_fast.optimizers import DiscriminativeOptimizer

PROCESS = psutil.Process()


@cache
def trained():
    # Without it JAX compiles nothing.
    model = mlp(adam(weight_decay=0.01), jit_compile=BACKEND == "jax")
    fit(model, *data(100), *everything(), epochs=5)
    return model


def everything():
    """Callbacks for each hyperparameter, and one that keeps them all."""
    return [
        callbacks.OneCycle(0.01),
        callbacks.ParamScheduler(
            beta_2=lambda progress: 0.99, weight_decay=lambda progress: 0.01
        ),
        callbacks.Recorder(),
    ]


def megabytes():
    gc.collect()
    return PROCESS.memory_info().rss / 2**20


def grown(call, times):
    """Megabytes by which the process grows."""
    before = megabytes()
    for _ in range(times):
        call()
    return megabytes() - before


def many_updates(thousands):
    model = trained()
    fit(model, *data(100), *everything(), epochs=10)
    return grown(
        lambda: fit(model, *data(100), *everything(), epochs=10), thousands
    )


def sweep():
    keras_fast.lr_find(trained(), *data(10), num_steps=20, batch_size=4)


def freeze_and_unfreeze():
    model = trained()
    for change in (keras_fast.freeze, keras_fast.unfreeze):
        change(model)
        fit(model, *data(2), epochs=1)


def test_updates_take_no_memory():
    assert many_updates(2) <= 2


@pytest.mark.stress
def test_10000_updates_take_no_memory():
    model = trained()
    before = many_updates(1)
    growth = grown(lambda: fit(model, *data(100), *everything(), epochs=100), 1)
    print(f"{growth:.2f} MB in 10,000 updates, {before:.2f} MB in 1,000 before")
    assert growth <= 10


@pytest.mark.parametrize(
    "times", [10, pytest.param(100, marks=pytest.mark.stress)]
)
def test_sweeps_take_no_memory(times):
    sweep()
    growth = grown(sweep, times)
    print(f"{growth:.2f} MB in {times} sweeps")
    assert growth <= times


# Each change compiles another train step, of which Keras keeps something.
@pytest.mark.parametrize(
    "times", [3, pytest.param(20, marks=pytest.mark.stress)]
)
@pytest.mark.optimized
def test_freezing_takes_no_more_memory_than_compiling(times):
    freeze_and_unfreeze()
    growth = grown(freeze_and_unfreeze, times)
    print(f"{growth:.2f} MB in {times} times freeze and unfreeze")
    assert growth <= 6 * times


def fit_with(make):
    return lambda: fit(trained(), *data(4), make(), epochs=1)


def fit_in_a_folder(make):
    def call():
        with tempfile.TemporaryDirectory() as folder:
            fit(trained(), *data(4), *make(Path(folder)), epochs=1)

    return call


def groups():
    model = trained()
    parts = keras_fast.layer_groups(model, 2)
    assert str(keras_fast.training_plan(model, parts))
    multipliers = keras_fast.layer_multipliers(model, [0.1, 1.0])
    DiscriminativeOptimizer(adam(), multipliers)


def plots():
    sweep_of = callbacks.LRFinder(num_steps=6)
    fit(trained(), *data(4), sweep_of, epochs=1)
    sweep_of.result.plot()
    callbacks.OneCycle(0.1).plot(20)
    callbacks.Recorder().plot()
    plt.close("all")


def stop_at_a_cycle():
    stops = [callbacks.SGDR(0.01), callbacks.CycleStopping("loss")]
    fit(trained(), *data(4), *stops, epochs=2)


def sampled():
    return callbacks.SampleText(lambda *args, seed: args[0], [[1]], write=list)


@cache
def painter():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(12),
            keras.layers.Reshape((2, 2, 3)),
        ]
    )
    model.compile(adam(), "mse", jit_compile=BACKEND == "jax")
    return model


def draw_images():
    x, _ = data(2)
    images = np.zeros((len(x), 2, 2, 3))
    with tempfile.TemporaryDirectory() as folder:
        samples = callbacks.SampleImages(x[:2], folder)
        fit(painter(), x, images, samples, epochs=1)


CALLS = {
    "CycleStopping": stop_at_a_cycle,
    "lr_find": sweep,
    "freeze": freeze_and_unfreeze,
    "groups": groups,
    "plots": plots,
    "schedules": lambda: [schedules.cosine(0.5, 0, 1) for _ in range(99)],
    "CyclicalLR": fit_with(lambda: callbacks.CyclicalLR(0.1, 1, step_size=2)),
    "FlatCosine": fit_with(lambda: callbacks.FlatCosine(0.01)),
    "LRFinder": fit_with(lambda: callbacks.LRFinder(num_steps=6)),
    "OneCycle": fit_with(lambda: callbacks.OneCycle(0.01)),
    "ParamScheduler": fit_with(lambda: callbacks.ParamScheduler(momentum=abs)),
    "Recorder": fit_with(callbacks.Recorder),
    "SGDR": fit_with(lambda: callbacks.SGDR(0.01)),
    "SampleImages": draw_images,
    "SampleText": fit_with(sampled),
    "SlantedTriangular": fit_with(lambda: callbacks.SlantedTriangular(0.01)),
    "ResumableCheckpoint": fit_in_a_folder(
        lambda folder: [callbacks.ResumableCheckpoint(folder / "training.save")]
    ),
    "SnapshotEnsemble": fit_in_a_folder(
        lambda folder: [
            callbacks.SGDR(0.01),
            callbacks.SnapshotEnsemble(folder),
        ]
    ),
    "WeightAveraging": fit_with(lambda: callbacks.WeightAveraging(0)),
}


def handles(path):
    gc.collect()
    # Not their positions: what prints goes on.
    files = sorted((file.fd, file.path) for file in PROCESS.open_files())
    in_path = sorted(path.iterdir())
    return PROCESS.num_fds(), PROCESS.num_threads(), files, in_path


def assert_leaves_nothing(call, times, path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(path))
    for _ in range(3):  # TensorFlow starts its threads one by one
        call()
    before = handles(path)
    for _ in range(times):
        call()
    assert handles(path) == before


@pytest.mark.parametrize(
    "times", [3, pytest.param(50, marks=pytest.mark.stress)]
)
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.matrix(4)
def test_no_file_and_no_thread_stays(name, times, tmp_path, monkeypatch):
    assert_leaves_nothing(CALLS[name], times, tmp_path, monkeypatch)


def test_the_table_is_complete():
    assert CALLS.keys() >= {*callbacks.__all__}
