"""Does the optimizer keep its state while layers are frozen and set free?"""

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    BATCH,
    EXECUTIONS,
    JIT,
    adam,
    data,
    distance,
    fit,
    leaf,
    mlp,
    sgd,
    weights,
)
from references import Adam, Momentum

from keras_fast import freeze_to, unfreeze
from keras_fast.callbacks import OneCycle

REFERENCES = {sgd: Momentum, adam: Adam}
# First group that trains, one fit after the other; 0 is all of them.
STAGES = (0, 2, 1, 0)
every_optimizer = pytest.mark.parametrize("make", [sgd, adam])


def three(optimizer, jit_compile=BACKEND == "jax", **arguments):
    """A network of three layers, each a group."""
    hidden = keras.layers.Dense(5, activation="tanh", dtype="float32")
    return mlp(optimizer, hidden, jit_compile=jit_compile, **arguments)


def start(model, reference=Momentum, **arguments):
    return reference(model.get_weights(), **arguments)


def freeze_both(model, reference, group):
    if group:
        freeze_to(model, group)
    else:
        unfreeze(model)
    reference.trained = [i // 2 >= group for i in range(6)]


def assert_equal(model, reference):
    for found, wanted in zip(
        model.get_weights(), reference.weights, strict=True
    ):
        assert distance(found, wanted) <= 1e-6


def through_the_stages(model, reference, size=1):
    x, y = data(6)
    for group in STAGES:
        freeze_both(model, reference, group)
        fit(model, x, y, epochs=1)
        reference.train(x, y, BATCH * size)
        assert_equal(model, reference)
    updates = len(STAGES) * 6 // size
    assert int(model.optimizer.iterations) == reference.iterations == updates


@every_optimizer
@pytest.mark.parametrize(
    ("jit", "executions"), {(BACKEND == "jax", 1), (JIT[-1], EXECUTIONS[-1])}
)
@pytest.mark.matrix(1)
def test_weights_are_those_of_an_optimizer_that_skips(make, jit, executions):
    model = three(make(), jit_compile=jit, steps_per_execution=executions)
    through_the_stages(model, start(model, REFERENCES[make]))


@every_optimizer
def test_frozen_before_the_first_fit(make):
    model = three(make())
    model.compile(make(), "mse", jit_compile=False)  # not built yet
    reference = start(model, REFERENCES[make])
    for group in (2, 0, 1):
        freeze_both(model, reference, group)
        fit(model, *data(3), epochs=1)
        reference.train(*data(3), BATCH)
        assert_equal(model, reference)


@every_optimizer
def test_accumulation(make):
    model = three(make(gradient_accumulation_steps=2))
    through_the_stages(model, start(model, REFERENCES[make]), size=2)


@every_optimizer
def test_loss_scale(make):
    model = three(keras.optimizers.LossScaleOptimizer(make()))
    through_the_stages(model, start(model, REFERENCES[make]))


class Averaged(Momentum):
    """With the moving average of weights that `use_ema` keeps."""

    def __init__(self, weights):
        super().__init__(weights)
        self.averages = [w.copy() for w in self.weights]

    def update(self, x, y):
        super().update(x, y)
        kept = 0.9 if self.iterations > 1 else 0
        for i, weight in enumerate(self.weights):
            if self.trained[i]:
                new = kept * self.averages[i] + (1 - kept) * weight
                self.averages[i] = new

    def train(self, x, y, batch_size):
        super().train(x, y, batch_size)
        for i, average in enumerate(self.averages):
            if self.trained[i]:
                self.weights[i] = average.copy()


@pytest.mark.parametrize("first", [0, 2])
def test_ema(first):
    model = three(sgd(use_ema=True, ema_momentum=0.9))
    reference = start(model, Averaged)
    freeze_both(model, reference, first)
    fit(model, *data(2), epochs=1)
    reference.train(*data(2), BATCH)
    for group in STAGES:
        freeze_both(model, reference, group)
        fit(model, *data(3), epochs=1)
        reference.train(*data(3), BATCH)
        assert_equal(model, reference)


def test_mixed_float16_keeps_the_loss_scale():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        inner = sgd()
        optimizer = keras.optimizers.LossScaleOptimizer(
            inner, initial_scale=2.0**40, dynamic_growth_steps=7
        )
        hidden = keras.layers.Dense(5, activation="tanh")
        model = mlp(optimizer, hidden, jit_compile=BACKEND == "jax")
    finally:
        keras.config.set_dtype_policy("float32")
    fit(model, *data(15))
    scale, counter = optimizer.dynamic_scale, optimizer.step_counter
    kept = [float(scale), int(counter), int(inner.iterations)]
    assert kept[0] < 2.0**40
    for group in (1, 2, 0):
        freeze_to(model, group)
        scale, counter = optimizer.dynamic_scale, optimizer.step_counter
        assert [float(scale), int(counter), int(inner.iterations)] == kept
    freeze_to(model, 2)
    before = model.get_weights()
    fit(model, *data(2))
    changed = [
        bool(np.any(a != b))
        for a, b in zip(model.get_weights(), before, strict=True)
    ]
    assert changed == [False] * 4 + [True] * 2


def test_one_cycle_before_and_after():
    model = three(sgd())
    reference = start(model)
    x, y = data(6)
    for group in (0, 2, 1, 0):
        freeze_both(model, reference, group)
        one_cycle = OneCycle(0.1)
        fit(model, x, y, one_cycle, epochs=1)
        curve = one_cycle.curve(6)
        for k in range(6):
            reference.rates = [curve["learning_rate"][k]] * 6
            reference.momentum = curve["momentum"][k]
            rows = slice(k * BATCH, (k + 1) * BATCH)
            reference.update(x[rows], y[rows])
        assert_equal(model, reference)


def slots(model):
    optimizer = leaf(model.optimizer)
    return [np.array(v.numpy()) for v in optimizer.variables[2:]]


@every_optimizer
def test_slots_come_back_bit_for_bit(make):
    model = three(make())
    fit(model, *data(3))
    before = slots(model)
    for group in (1, 2, 1, 0):
        freeze_to(model, group)
    assert len(slots(model)) == len(before) >= 6
    for a, b in zip(slots(model), before, strict=True):
        np.testing.assert_array_equal(a, b)
    freeze_to(model, 2)
    per_variable = len(before) // 6
    for a, b in zip(slots(model), before[-2 * per_variable :], strict=True):
        np.testing.assert_array_equal(a, b)


@every_optimizer
def test_freezing_and_unfreezing_changes_no_later_training(make):
    through, plain = three(make()), three(make())
    for model in (through, plain):
        fit(model, *data(3))
    freeze_to(through, 2)
    unfreeze(through)
    for model in (through, plain):
        fit(model, *data(3))
    np.testing.assert_array_equal(weights(through), weights(plain))


@pytest.mark.tensorflow_only
def test_two_replicas():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = three(adam())
    reference = start(model, Adam)
    x, y = data(4)
    for group in (0, 2, 0):
        freeze_both(model, reference, group)
        fit(model, x, y, epochs=1)
        reference.train(x, y, BATCH)
        assert_equal(model, reference)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
def test_no_trace_but_the_one_that_freezing_needs():
    traces = []

    class Counts(keras.layers.Layer):
        def call(self, x):
            traces.append(1)
            return x

    model = mlp(sgd(), Counts(), jit_compile=BACKEND == "jax")
    fit(model, *data(2))
    freeze_to(model, 1)
    fit(model, *data(2))
    seen = len(traces)
    fit(model, *data(2))
    assert len(traces) == seen
