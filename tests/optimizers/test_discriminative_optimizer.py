"""Do its updates equal those of one optimizer a group, run by hand?"""

from functools import cache, partial

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    BATCH,
    EXECUTIONS,
    JIT,
    data,
    distance,
    fit,
    interpreted,
    mlp,
    since,
    weights,
)
from references import gradients

from keras_fast import layer_multipliers
from keras_fast.optimizers import DiscriminativeOptimizer

optimizers = keras.optimizers
MULTIPLIERS = [0.1, 0.1, 0.0, 0.0, 1.0, 1.0]
RATE = 0.02

MAKE = {
    "SGD": optimizers.SGD,
    "momentum": partial(optimizers.SGD, momentum=0.9),
    "Nesterov": partial(
        optimizers.SGD, momentum=0.9, nesterov=True, weight_decay=0.1
    ),
    "RMSprop": optimizers.RMSprop,
    "Adam": optimizers.Adam,
    "AdamW": partial(optimizers.AdamW, weight_decay=0.1),
    "Lion": partial(optimizers.Lion, weight_decay=0.1),
    "Nadam": optimizers.Nadam,
    "Ftrl": optimizers.Ftrl,
}
OPTIONS = {
    "accumulation": {"gradient_accumulation_steps": 3},
    "EMA": {"use_ema": True, "ema_momentum": 0.9},
    "EMA-overwrites": {"use_ema": True, "ema_overwrite_frequency": 4},
    "accumulation-EMA": {"gradient_accumulation_steps": 2, "use_ema": True},
    "clipnorm": {"clipnorm": 0.1},
    "clipvalue": {"clipvalue": 0.01},
}
SETTINGS = {(BACKEND == "jax", 1), (JIT[-1], EXECUTIONS[-1])}
every_setting = pytest.mark.parametrize(("jit", "executions"), sorted(SETTINGS))


def three(optimizer, jit_compile=BACKEND == "jax", **arguments):
    """A network of three layers of two variables."""
    hidden = keras.layers.Dense(5, activation="tanh", dtype="float32")
    return mlp(optimizer, hidden, jit_compile=jit_compile, **arguments)


@cache
def start():
    return three(optimizers.SGD(0.1)).get_weights()


def by_groups(make, rate=RATE, clip=list, multipliers=MULTIPLIERS):
    """What one optimizer a group makes of the weights in two epochs."""
    variables = [keras.Variable(w) for w in start()]
    groups = {
        m: (
            make(rate * m),
            [i for i, each in enumerate(multipliers) if each == m],
        )
        for m in multipliers
        if m  # Ftrl divides by its rate
    }
    for x, y in batches(2):
        values = [keras.ops.convert_to_numpy(v.value) for v in variables]
        found = clip(gradients(values, x, y))
        for optimizer, places in groups.values():
            with interpreted():
                optimizer.apply(
                    [tensor(found[i]) for i in places],
                    [variables[i] for i in places],
                )
    for optimizer, places in groups.values():
        optimizer.finalize_variable_values([variables[i] for i in places])
    values = [keras.ops.convert_to_numpy(v.value) for v in variables]
    return np.concatenate([np.ravel(v) for v in values])


def batches(epochs, count=10):
    x, y = data(count)
    for first in [*range(0, len(x), BATCH)] * epochs:
        rows = slice(first, first + BATCH)
        yield x[rows], y[rows]


def tensor(array):
    return keras.ops.convert_to_tensor(array, "float32")


@cache
def expected(name, options=()):
    return by_groups(partial(MAKE[name], **dict(options)))


def trained(make, multipliers=MULTIPLIERS, **arguments):
    model = three(DiscriminativeOptimizer(make(RATE), multipliers), **arguments)
    fit(model, *data())
    return weights(model)


@pytest.mark.parametrize("name", MAKE)
@every_setting
@pytest.mark.matrix(8)
def test_equals_one_optimizer_a_group(name, jit, executions):
    found = trained(MAKE[name], jit_compile=jit, steps_per_execution=executions)
    assert distance(found, expected(name)) <= 1e-6
    # The middle layer has rate 0.
    still = np.concatenate([np.ravel(w) for w in start()[2:4]])
    np.testing.assert_array_equal(found[25:55], still)


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.matrix(4)
def test_with_what_the_optimizer_within_does(option):
    make = partial(MAKE["AdamW"], **OPTIONS[option])
    found = trained(make, steps_per_execution=EXECUTIONS[-1])
    wanted = expected("AdamW", tuple(OPTIONS[option].items()))
    assert distance(found, wanted) <= 1e-6


def test_global_clipnorm_is_over_all_groups():
    def clip(found):
        norm = np.sqrt(sum(np.sum(g**2) for g in found))
        return [g * min(1, 0.2 / norm) for g in found]

    make = partial(optimizers.SGD, momentum=0.9)
    wanted = by_groups(make, clip=clip)
    assert distance(wanted, expected("momentum")) > 1e-3
    found = trained(partial(make, global_clipnorm=0.2))
    assert distance(found, wanted) <= 1e-6


def test_decay_is_scaled_and_what_is_excluded_stays_so():
    variables = [keras.Variable([1.0]) for _ in range(3)]
    inner = optimizers.SGD(0.5, weight_decay=0.25)
    inner.exclude_from_weight_decay([variables[1]])
    optimizer = DiscriminativeOptimizer(inner, [0.5, 1.0, 0.25])
    optimizer.apply([keras.ops.zeros((1,))] * 3, variables)
    found = [float(v.numpy()[0]) for v in variables]
    assert found == [1 - 0.0625, 1.0, 1 - 0.03125]


def test_a_compiled_schedule():
    decay = optimizers.schedules.ExponentialDecay

    def make(rate):
        return optimizers.AdamW(decay(rate, 5, 0.5), weight_decay=0.1)

    assert distance(trained(make), by_groups(make)) <= 1e-6


def test_a_loss_scale_factor():
    make = partial(optimizers.Adam, loss_scale_factor=128.0)
    found = trained(make)
    assert distance(found, expected("Adam")) <= 1e-6


@since("3.15")
@pytest.mark.parametrize("name", ["momentum", "AdamW"])
def test_equals_the_multi_optimizer_of_keras(name):
    multipliers = [0.1, 0.1, 0.5, 0.5, 1.0, 1.0]
    model = three(optimizers.SGD(0.1))
    places = {v.path: i for i, v in enumerate(model.trainable_variables)}
    make = MAKE[name]
    members = {m: make(RATE * m) for m in (0.1, 0.5, 1.0)}
    multi = optimizers.MultiOptimizer(
        lambda variable: members[multipliers[places[variable.path]]]
    )
    model.compile(multi, "mse", jit_compile=BACKEND == "jax")
    fit(model, *data())
    found = trained(make, multipliers)
    assert distance(found, weights(model)) <= 1e-6


def test_multipliers_follow_the_model_they_were_made_for():
    model = three(optimizers.SGD(0.1))
    multipliers = layer_multipliers(model, [1e-3, 1e-2, 1e-1])
    np.testing.assert_allclose(multipliers, np.repeat([0.01, 0.1, 1.0], 2))
    optimizer = DiscriminativeOptimizer(optimizers.Adam(RATE), multipliers)
    model.compile(optimizer, "mse", jit_compile=BACKEND == "jax")
    fit(model, *data())
    wanted = by_groups(optimizers.Adam, multipliers=list(multipliers))
    assert distance(weights(model), wanted) <= 1e-6


def test_loss_scale_optimizer_around_it():
    inner = DiscriminativeOptimizer(MAKE["AdamW"](RATE), MULTIPLIERS)
    model = three(optimizers.LossScaleOptimizer(inner))
    fit(model, *data())
    assert distance(weights(model), expected("AdamW")) <= 1e-6
    assert int(model.optimizer.iterations) == 20


# The weights of this model fall by their learning rates at each update.
def falling(optimizer):
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1), keras.layers.Dense(1)]
    )
    last = model.layers[1]
    last.kernel.assign([[0.0]])
    model.layers[0].kernel.assign([[0.0]])
    model.compile(optimizer, lambda y, p: p, jit_compile=BACKEND == "jax")
    return model


def test_mixed_float16():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inner = optimizers.SGD(0.25)
        model = falling(DiscriminativeOptimizer(inner, [0, 0, 0.5, 0.125]))
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(model.optimizer, optimizers.LossScaleOptimizer)
    x = np.ones((8, 1), "float32")
    fit(model, x, x, batch_size=1)
    # 16 updates; the first layer gives 0, so the last kernel has no gradient.
    found = [float(w.item()) for w in model.get_weights()]
    assert found == [0.0, 0.0, 0.0, -16 * 0.25 * 0.125]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("name", ["momentum", "AdamW"])
def test_two_replicas_equal_one(name):
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        optimizer = DiscriminativeOptimizer(MAKE[name](RATE), MULTIPLIERS)
        model = three(optimizer)
    fit(model, *data())
    assert distance(weights(model), expected(name)) <= 1e-6


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
def test_one_trace_serves_all_fits():
    traces = []

    class Counts(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    optimizer = DiscriminativeOptimizer(optimizers.Adam(RATE), [0.1] * 4)
    model = mlp(optimizer, Counts(), jit_compile=BACKEND == "jax")
    fit(model, *data(2))
    seen = len(traces)
    optimizer.learning_rate = 0.5
    fit(model, *data(2))
    assert len(traces) == seen
