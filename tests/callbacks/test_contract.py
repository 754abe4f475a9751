"""What every callback promises, whatever else it does."""

import os
import subprocess
import sys
from functools import cache, partial

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    EXECUTIONS,
    JIT,
    adam,
    attribute,
    by_hand,
    data,
    distance,
    fit,
    leaf,
    mlp,
    put,
    sgd,
    state,
    weights,
)

from keras_fast import callbacks
from keras_fast.schedules import linear

UPDATES = 20  # two epochs of ten batches

# What each is made of, for a run of so many updates.
MAKE = {
    "CyclicalLR": lambda n: callbacks.CyclicalLR(0.001, 0.05, step_size=3),
    "FlatCosine": lambda n: callbacks.FlatCosine(0.05),
    "LRFinder": lambda n: callbacks.LRFinder(
        1e-4, 0.05, num_steps=max(n, 6), stop_factor=1e9
    ),
    "OneCycle": lambda n: callbacks.OneCycle(0.05),
    "ParamScheduler": lambda n: callbacks.ParamScheduler(
        learning_rate=partial(linear, start=0.05, end=0.01),
        momentum=partial(linear, start=0.5, end=0.99),
    ),
    "Recorder": lambda n: callbacks.Recorder(),
    "SGDR": lambda n: callbacks.SGDR(0.05, cycle_len=0.5, cycle_mult=2),
    "SlantedTriangular": lambda n: callbacks.SlantedTriangular(0.05),
}
SCHEDULERS = sorted(set(MAKE) - {"Recorder"})
every_callback = pytest.mark.parametrize("name", sorted(MAKE))
every_scheduler = pytest.mark.parametrize("name", SCHEDULERS)


def curve(callback, num_updates=UPDATES, epochs=2):
    if not hasattr(callback, "curve"):
        return {}
    return callback.curve(num_updates, epochs)


# One model a set-up trains for all callbacks: it is traced once, and each of
# them meets a model that has trained before.
@cache
def trained(optimizer, jit_compile, executions, arguments, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = mlp(
            optimizer(**dict(arguments)),
            jit_compile=jit_compile,
            steps_per_execution=executions,
        )
        return model, state(model)
    finally:
        keras.config.set_dtype_policy("float32")


@cache
def expected(name, optimizer, arguments, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = mlp(optimizer(**dict(arguments)), run_eagerly=True)
        size = dict(arguments).get("gradient_accumulation_steps", 1)
        values = curve(MAKE[name](UPDATES // size), UPDATES // size)
        by_hand(model, *data(), values)
        return weights(model)
    finally:
        keras.config.set_dtype_policy("float32")


def assert_as_by_hand(
    name, optimizer, jit, executions, arguments=(), policy="float32"
):
    model, start = trained(optimizer, jit, executions, arguments, policy)
    put(model, start)
    size = dict(arguments).get("gradient_accumulation_steps", 1)
    fit(model, *data(), MAKE[name](UPDATES // size))
    wanted = expected(name, optimizer, arguments, policy)
    assert distance(weights(model), wanted) <= 2e-6


def test_the_table_is_complete():
    assert sorted(MAKE) == sorted(callbacks.__all__)


@every_callback
@pytest.mark.parametrize("executions", EXECUTIONS)
@pytest.mark.parametrize("jit", JIT)
@pytest.mark.parametrize("optimizer", [sgd, adam])
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
def test_with_what_the_optimizer_does(name, arguments):
    assert_as_by_hand(name, adam, JIT[-1], EXECUTIONS[-1], arguments)


@every_callback
def test_mixed_float16(name):
    assert_as_by_hand(name, sgd, False, EXECUTIONS[-1], (), "mixed_float16")


class Counted(keras.layers.Layer):
    """Counts how often Python runs through it."""

    def build(self, shape):
        self.__dict__["traces"] = 0

    def call(self, x):
        self.__dict__["traces"] += 1
        return x


@cache
def counting():
    counted = Counted()
    # Without `jit_compile` JAX does not compile at all.
    jit_compile = BACKEND == "jax"
    return mlp(adam(), counted, jit_compile=jit_compile), counted


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
@every_callback
def test_second_fit_does_not_trace(name):
    model, counted = counting()
    fit(model, *data(2), MAKE[name](4))
    traces = counted.traces
    assert traces > 0
    fit(model, *data(2), MAKE[name](8), epochs=4)
    assert counted.traces == traces


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
def test_another_schedule_and_a_plain_fit_do_not_trace():
    model, counted = counting()
    fit(model, *data(2), callbacks.OneCycle(0.1))
    traces = counted.traces
    fit(model, *data(2), callbacks.FlatCosine(0.1))
    fit(model, *data(2))
    assert counted.traces == traces


def hyperparameters(optimizer):
    inner = leaf(optimizer)
    names = {attribute(inner, "learning_rate"), attribute(inner, "momentum")}
    return {name: float(getattr(inner, name)) for name in names}


class Watch(keras.callbacks.Callback):
    """Takes down the optimizer's config at the end of every batch."""

    def __init__(self):
        super().__init__()
        self.configs = []

    def on_train_batch_end(self, batch, logs=None):
        self.configs.append(self.model.optimizer.get_config())


class Fails(keras.callbacks.Callback):
    def __init__(self, batch):
        super().__init__()
        self.fails_at = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.fails_at:
            # On JAX this brings the variables up to date.
            raise RuntimeError(f"killed in {self.model.name}")


@every_callback
@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_hyperparameters_and_config_stay_the_optimizers_own(name, optimizer):
    model, start = trained(optimizer, False, 1, (), "float32")
    put(model, start)
    before = hyperparameters(model.optimizer)
    config = model.optimizer.get_config()
    watch = Watch()
    fit(model, *data(2), MAKE[name](4), watch)
    assert len(watch.configs) == 4
    assert all(c == config for c in watch.configs)
    assert hyperparameters(model.optimizer) == before
    assert model.optimizer.get_config() == config


@every_callback
def test_after_an_exception_training_is_plain_again(name):
    model, start = trained(adam, False, 1, (), "float32")
    put(model, start)
    before = hyperparameters(model.optimizer)
    config = model.optimizer.get_config()
    with pytest.raises(RuntimeError, match="killed"):
        fit(model, *data(), MAKE[name](UPDATES), Fails(3))
    assert hyperparameters(model.optimizer) == before
    assert model.optimizer.get_config() == config
    plain = mlp(adam())
    put(plain, state(model))
    fit(model, *data())
    fit(plain, *data())
    assert distance(weights(model), weights(plain)) <= 1e-6


def test_after_an_exception_a_schedule_starts_anew():
    model = mlp(adam())
    with pytest.raises(RuntimeError, match="killed"):
        fit(model, *data(), callbacks.OneCycle(0.5), Fails(3))
    put(model, state(mlp(adam())))
    fit(model, *data(), MAKE["FlatCosine"](UPDATES))
    wanted = expected("FlatCosine", adam, (), "float32")
    assert distance(weights(model), wanted) <= 2e-6


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


def test_two_schedules_on_the_same_hyperparameter():
    model = mlp(sgd())
    start = state(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), callbacks.OneCycle(0.1), callbacks.FlatCosine(0.1))
    assert str(caught.value) == (
        "`learning_rate` must be scheduled by one callback. Remove one. "
        "Received: callbacks with two schedules for learning_rate"
    )
    for before, after in zip(start, state(model), strict=True):
        np.testing.assert_array_equal(before, after)
    # The refusal leaves nothing behind.
    fit(model, *data(), MAKE["FlatCosine"](UPDATES))
    wanted = expected("FlatCosine", sgd, (), "float32")
    assert distance(weights(model), wanted) <= 2e-6


class Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.stops_after = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.stops_after:
            self.model.stop_training = True


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"LRFinder"}))
def test_initial_epoch_goes_on_where_the_epoch_starts(name):
    model, start = trained(adam, False, 1, (), "float32")
    put(model, start)
    fit(model, *data(5), MAKE[name](UPDATES), epochs=4)
    whole = weights(model)
    put(model, start)
    fit(model, *data(5), MAKE[name](UPDATES), Stop(1), epochs=4)
    assert distance(weights(model), whole) > 1e-4
    fit(model, *data(5), MAKE[name](UPDATES), epochs=4, initial_epoch=2)
    np.testing.assert_array_equal(weights(model), whole)


class KillAtEpoch(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.kills_at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.kills_at:
            raise RuntimeError("killed")


@pytest.mark.parametrize("name", ["OneCycle", "SGDR"])
def test_backup_and_restore(name, tmp_path):
    whole = mlp(adam())
    fit(whole, *data(5), MAKE[name](UPDATES), epochs=4)

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path))

    killed = mlp(adam())
    with pytest.raises(RuntimeError, match="killed"):
        fit(
            killed,
            *data(5),
            MAKE[name](UPDATES),
            backup(),
            KillAtEpoch(2),
            epochs=4,
        )
    resumed = mlp(adam())
    history = fit(resumed, *data(5), MAKE[name](UPDATES), backup(), epochs=4)
    assert history.epoch == [2, 3]
    np.testing.assert_array_equal(weights(resumed), weights(whole))


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


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"LRFinder"}))
def test_unknown_length(name):
    x, y = data()

    def batches():
        while True:
            yield x[:4], y[:4]

    model, start = trained(sgd, False, 1, (), "float32")
    put(model, start)
    with pytest.raises(ValueError) as caught:
        model.fit(
            batches(),
            shuffle=False,
            verbose=0,
            callbacks=[MAKE[name](UPDATES)],
        )
    assert str(caught.value) == (
        f"The length of an epoch must be known for {name}. Pass "
        "`steps_per_epoch` to `fit()`, or data with a length. Received: "
        "steps_per_epoch=None"
    )
    for before, after in zip(start, state(model), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("name", ["Recorder", "LRFinder"])
def test_unknown_length_is_no_matter_to(name):
    x, y = data(12)

    def batches():
        for start in range(0, len(x), 4):
            yield x[start : start + 4], y[start : start + 4]

    model = mlp(sgd())
    callback = MAKE[name](15)
    # Keras says so of every generator that ends.
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(batches(), shuffle=False, verbose=0, callbacks=[callback])
    losses = callback.result.losses if name == "LRFinder" else callback.losses
    wanted = by_hand(mlp(sgd(), run_eagerly=True), x, y, curve(callback, 15), 1)
    assert losses.shape == (12,)
    np.testing.assert_allclose(losses, wanted, atol=1e-6)


# The weight of this model falls by the learning rate at each update.
def falling(optimizer, **arguments):
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]
    )
    model.layers[0].kernel.assign([[0.0]])
    model.compile(optimizer, lambda y, p: p, jit_compile=False, **arguments)
    return model


def ones(n):
    return np.ones((n, 1), "float32"), np.ones((n, 1), "float32")


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


ALONE = """
import sys
sys.modules["keras_fast"] = None
import keras, numpy as np
from helpers import data, fit, weights
model = keras.models.load_model(sys.argv[1])
fit(model, *data())
np.save(sys.argv[2], weights(model))
"""


@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_saved_model_loads_and_trains_without_keras_fast(optimizer, tmp_path):
    model = mlp(optimizer())
    recorder = callbacks.Recorder()
    fit(model, *data(), callbacks.OneCycle(0.05), recorder)
    path, result = tmp_path / "model.keras", tmp_path / "weights.npy"
    model.save(path)
    environment = os.environ | {
        "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))
    }
    subprocess.run(
        [sys.executable, "-c", ALONE, str(path), str(result)],
        env=environment,
        check=True,
        timeout=300,
    )
    fit(model, *data())
    np.testing.assert_array_equal(np.load(result), weights(model))


@every_scheduler
def test_a_compiled_schedule_is_refused(name):
    model = mlp(
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))
    )
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), MAKE[name](UPDATES))
    message = str(caught.value)
    assert message.startswith(
        "The optimizer's learning rate must be a number to be scheduled. "
        "Compile with a float, such as `SGD(learning_rate=1e-3)`: the "
        "callback is the schedule. Received: learning_rate=<"
    )


def test_momentum_that_is_none():
    model = mlp(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), callbacks.OneCycle(0.1))
    assert str(caught.value) == (
        "The optimizer must have a momentum to be scheduled. Give it one, "
        "such as `SGD(learning_rate, momentum=0.9)`, or pass "
        "`momentums=None` to leave it alone. Received: optimizer=SGD with "
        "momentum=0.0"
    )
    fit(model, *data(), callbacks.OneCycle(0.1, momentums=None))


@every_scheduler
def test_curve_and_plot_without_a_model(name):
    callback = MAKE[name](12)
    values = callback.curve(12)
    assert "learning_rate" in values
    for array in values.values():
        assert array.shape == (12,)
        assert array.dtype == "float64"
    axes = callback.plot(12)
    assert axes.lines
