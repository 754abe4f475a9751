"""Is every callback exact at every update?"""

from functools import partial

import keras
import numpy as np
import pytest
from contract import (
    MAKE,
    OTHERS,
    UPDATES,
    assert_as_by_hand,
    every_callback,
    expected,
    falling,
    ones,
)
from helpers import (
    BACKEND,
    EXECUTIONS,
    JIT,
    adam,
    data,
    distance,
    fit,
    mlp,
    sgd,
    weights,
)

from keras_fast import callbacks
from keras_fast.schedules import linear


def test_the_table_is_complete():
    assert sorted({*MAKE} | OTHERS) == sorted(callbacks.__all__)


@every_callback
@pytest.mark.parametrize("executions", EXECUTIONS)
@pytest.mark.parametrize("jit", JIT)
@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.matrix(18)
def test_weights_are_those_of_a_loop_by_hand(name, optimizer, jit, executions):
    assert_as_by_hand(name, optimizer, jit, executions)


@every_callback
@pytest.mark.parametrize(
    "arguments",
    [
        (("gradient_accumulation_steps", 3),),
        (("use_ema", True), ("ema_momentum", 0.9)),
        (("clipnorm", 0.1),),
        (("gradient_accumulation_steps", 2), ("use_ema", True)),
    ],
    ids=["accumulation", "ema", "clipnorm", "accumulation-ema"],
)
@pytest.mark.matrix(5)
def test_with_what_the_optimizer_does(name, arguments):
    assert_as_by_hand(name, adam, JIT[-1], EXECUTIONS[-1], arguments)


@every_callback
@pytest.mark.matrix(3)
def test_mixed_float16(name):
    assert_as_by_hand(name, sgd, JIT[-1], EXECUTIONS[-1], (), "mixed_float16")


def test_two_schedules_on_different_hyperparameters():
    schedules = {
        "learning_rate": partial(linear, start=0.05, end=0.01),
        "momentum": partial(linear, start=0.5, end=0.99),
    }
    together = [
        callbacks.ParamScheduler(**{name: schedule})
        for name, schedule in schedules.items()
    ]
    for pair in (together, together[::-1]):
        model = mlp(sgd())
        fit(model, *data(), *pair)
        wanted = expected("ParamScheduler", sgd, (), "float32")
        assert distance(weights(model), wanted) <= 2e-6


# A scale so low that no gradient overflows: where one does, Keras looks at
# the first replica alone. And its `steps_per_execution` above 1 fails there.
def scaled():
    return keras.optimizers.LossScaleOptimizer(adam(), initial_scale=16.0)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    ("optimizer", "policy", "tolerance"),
    [(adam, "float32", 1e-6), (scaled, "mixed_float16", 1e-3)],
)
def test_two_replicas_are_one(optimizer, policy, tolerance):
    import tensorflow as tf

    keras.config.set_dtype_policy(policy)
    try:
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        with strategy.scope():
            model = mlp(optimizer())
        single = mlp(optimizer())
        for each in (model, single):
            recorder = callbacks.Recorder()
            fit(each, *data(), callbacks.OneCycle(0.05), recorder)
            assert len(recorder.losses) == UPDATES
            np.testing.assert_allclose(
                recorder.learning_rates,
                callbacks.OneCycle(0.05).curve(UPDATES)["learning_rate"],
            )
    finally:
        keras.config.set_dtype_policy("float32")
    assert distance(weights(model), weights(single)) <= tolerance


def test_a_page_is_turned():
    executions = 1 if BACKEND == "torch" else 16
    schedule = partial(linear, start=0.0, end=1.0)
    model = falling(keras.optimizers.SGD(0.1), steps_per_execution=executions)
    scheduler = callbacks.ParamScheduler(learning_rate=schedule)
    n = 2160  # two epochs are more than the 4096 rows of the table
    recorder = callbacks.Recorder()
    fit(model, *ones(n), scheduler, recorder, batch_size=1)
    rates = scheduler.curve(2 * n)["learning_rate"]
    np.testing.assert_array_equal(recorder.learning_rates, rates)
    wanted = np.cumsum(-rates.astype("float32"), dtype="float32")
    # The loss of each update is the weight that the ones before it left.
    np.testing.assert_allclose(recorder.losses[1:], wanted[:-1], rtol=1e-6)
    np.testing.assert_allclose(weights(model), wanted[-1:], rtol=1e-6)


def test_skipped_steps_do_not_hold_the_schedule():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inner = keras.optimizers.SGD(0.1)
        # float16 ends below 2**16: the first three gradients are infinite.
        optimizer = keras.optimizers.LossScaleOptimizer(
            inner, initial_scale=2.0**18
        )
        model = falling(optimizer)
    finally:
        keras.config.set_dtype_policy("float32")
    scheduler = callbacks.FlatCosine(0.5)
    fit(model, *ones(10), scheduler, batch_size=1)
    assert int(inner.iterations.numpy()) == UPDATES - 3
    rates = scheduler.curve(UPDATES)["learning_rate"]
    np.testing.assert_allclose(weights(model), -rates[3:].sum(), rtol=1e-6)
