"""Freezing and scheduling with a DiscriminativeOptimizer, and its errors."""

import dataclasses

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    BATCH,
    EXECUTIONS,
    adam,
    data,
    distance,
    fit,
    mlp,
    sgd,
    since,
)
from references import Adam, Momentum

from keras_fast import freeze_to, layer_multipliers, training_plan
from keras_fast.callbacks import OneCycle
from keras_fast.optimizers import DiscriminativeOptimizer

MULTIPLIERS = [0.1, 0.1, 0.5, 0.5, 1.0, 1.0]
REFERENCES = {sgd: Momentum, adam: Adam}
every_optimizer = pytest.mark.parametrize("make", [sgd, adam])


def three(make=sgd, wrap=lambda optimizer: optimizer, **arguments):
    """A network of three layers of two variables, and its reference."""
    optimizer = DiscriminativeOptimizer(make(), MULTIPLIERS)
    hidden = keras.layers.Dense(5, activation="tanh")
    jit = BACKEND == "jax"
    model = mlp(wrap(optimizer), hidden, jit_compile=jit, **arguments)
    reference = REFERENCES[make](model.get_weights())
    scale(reference, reference.rates[0])
    return model, reference


def scale(reference, rate):
    reference.rates = [rate * m for m in MULTIPLIERS]


def assert_equal(model, reference):
    pairs = zip(model.get_weights(), reference.weights, strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 1e-6


@every_optimizer
@pytest.mark.parametrize("loss_scale", [False, True])
@pytest.mark.matrix(1)
def test_frozen_and_set_free(make, loss_scale):
    wrap = keras.optimizers.LossScaleOptimizer if loss_scale else (lambda o: o)
    model, reference = three(make, wrap)
    for group in (0, 2, 1, 0):
        freeze_to(model, group)
        reference.trained = [i // 2 >= group for i in range(6)]
        fit(model, *data(5), epochs=1)
        reference.train(*data(5), BATCH)
        assert_equal(model, reference)


@pytest.mark.parametrize("kind", ["after", "before", "plain numbers"])
def test_frozen_before_it_is_built(kind):
    model, reference = three()
    multipliers = layer_multipliers(model, [0.1, 0.5, 1.0])
    if kind == "plain numbers":
        multipliers = MULTIPLIERS
    if kind == "before":
        freeze_to(model, 1)
    optimizer = DiscriminativeOptimizer(sgd(), multipliers)
    model.compile(optimizer, "mse", jit_compile=BACKEND == "jax")
    for group in (1, 2, 0):
        freeze_to(model, group)
        reference.trained = [i // 2 >= group for i in range(6)]
        fit(model, *data(3), epochs=1)
        reference.train(*data(3), BATCH)
        assert_equal(model, reference)


@every_optimizer
@pytest.mark.parametrize("executions", EXECUTIONS)
def test_one_cycle_keeps_the_ratios_at_every_update(make, executions):
    model, reference = three(make, steps_per_execution=executions)
    x, y = data(10)
    one_cycle = OneCycle(0.1)
    if make is adam:
        one_cycle = OneCycle(0.02, momentums=None)
    fit(model, x, y, one_cycle, epochs=1)
    curve = one_cycle.curve(10)
    for k in range(10):
        scale(reference, curve["learning_rate"][k])
        reference.momentum = curve.get("momentum", [0.0] * 10)[k]
        rows = slice(k * BATCH, (k + 1) * BATCH)
        reference.update(x[rows], y[rows])
    assert_equal(model, reference)
    rate = 0.05 if make is sgd else 0.01
    assert float(model.optimizer.learning_rate) == np.float32(rate)


def test_learning_rate_is_that_of_the_optimizer_within():
    model, reference = three()
    optimizer = model.optimizer
    assert float(optimizer.learning_rate) == np.float32(0.05)
    for rate in (0.2, 0.01):
        optimizer.learning_rate = rate
        scale(reference, rate)
        inner = float(optimizer.inner_optimizer.learning_rate)
        assert float(optimizer.learning_rate) == inner == np.float32(rate)
        fit(model, *data(4), epochs=1)
        reference.train(*data(4), BATCH)
        assert_equal(model, reference)


def test_learning_rate_scheduler():
    model, reference = three()
    rates = [0.01, 0.1, 0.03]
    scheduler = keras.callbacks.LearningRateScheduler(
        lambda epoch: rates[epoch]
    )
    fit(model, *data(4), scheduler, epochs=3)
    for rate in rates:
        scale(reference, rate)
        reference.train(*data(4), BATCH)
    assert_equal(model, reference)


def test_reduce_lr_on_plateau():
    model, reference = three()
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="loss", factor=0.5, patience=1, min_delta=1e9, min_lr=0
    )
    fit(model, *data(4), plateau, epochs=4)
    for rate in (0.05, 0.05, 0.025, 0.0125):
        scale(reference, rate)
        reference.train(*data(4), BATCH)
    assert_equal(model, reference)
    assert float(model.optimizer.learning_rate) == np.float32(0.05) / 8


def test_negative_multiplier():
    with pytest.raises(ValueError) as caught:
        DiscriminativeOptimizer(sgd(), [1.0, -0.5])
    assert str(caught.value) == (
        "`multipliers` must be a finite number of at least 0. Pass 0 or more. "
        "Received: multipliers=-0.5"
    )


@pytest.mark.parametrize("count", [3, 5])
def test_wrong_number_of_multipliers(count):
    with pytest.raises(ValueError) as caught:
        mlp(DiscriminativeOptimizer(sgd(), [1.0] * count))
    assert str(caught.value) == (
        "`multipliers` must have one number for each variable that can train. "
        "Pass what `keras_fast.layer_multipliers(model, ...)` returns for the "
        "model that is compiled; a list of its numbers does not tell which "
        "variables are frozen. To change them, pass "
        "`dataclasses.replace(multipliers, values=[...])`. Received: "
        f"multipliers={count} numbers for 4 variables"
    )


def test_the_advice_for_frozen_layers_works():
    model, reference = three()
    multipliers = layer_multipliers(model, [0.05, 0.25, 0.5])
    doubled = [2 * m for m in multipliers]
    freeze_to(model, 1)
    for values in (list(multipliers), multipliers[:], doubled):
        with pytest.raises(ValueError, match="6 numbers for 4 variables"):
            DiscriminativeOptimizer(sgd(), values).build(
                model.trainable_variables
            )
    doubled = dataclasses.replace(multipliers, values=doubled)
    optimizer = DiscriminativeOptimizer(sgd(), doubled)
    model.compile(optimizer, "mse", jit_compile=BACKEND == "jax")
    scale(reference, 0.1)
    for group in (1, 0):
        freeze_to(model, group)
        reference.trained = [i // 2 >= group for i in range(6)]
        fit(model, *data(3), epochs=1)
        reference.train(*data(3), BATCH)
        assert_equal(model, reference)


def test_a_list_for_what_trains_alone():
    model, reference = three()
    freeze_to(model, 1)
    optimizer = DiscriminativeOptimizer(sgd(), [0.5, 0.5, 1.0, 1.0])
    model.compile(optimizer, "mse", jit_compile=BACKEND == "jax")
    rates = [row["rate"] for row in training_plan(model).rows]
    assert rates == ["0", "0.025", "0.05"]
    reference.trained = [i >= 2 for i in range(6)]
    fit(model, *data(3), epochs=1)
    reference.train(*data(3), BATCH)
    assert_equal(model, reference)
    # There is no number for the others, so they can't be set free.
    with pytest.raises(ValueError, match="4 numbers for 6 variables"):
        freeze_to(model, 0)
    assert [layer.trainable for layer in model.layers] == [False, True, True]


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (
            lambda: keras.optimizers.LossScaleOptimizer(sgd()),
            "Wrap it the other way round: Keras does so itself under "
            "`mixed_float16`. Received: inner_optimizer=LossScaleOptimizer",
        ),
        pytest.param(
            lambda: keras.optimizers.MultiOptimizer(lambda variable: sgd()),
            "Pass one optimizer: the multipliers make the groups. Received: "
            "inner_optimizer=MultiOptimizer",
            marks=since("3.15"),
        ),
        pytest.param(
            lambda: keras.optimizers.ScheduleFreeAdamW(),
            "Its update is not proportional to the rate. Pass `AdamW`. "
            "Received: inner_optimizer=ScheduleFreeAdamW",
            marks=since("3.14"),
        ),
        (
            lambda: DiscriminativeOptimizer(sgd(), [1.0]),
            "Pass the optimizer that is inside. Received: "
            "inner_optimizer=DiscriminativeOptimizer",
        ),
    ],
)
def test_optimizers_that_it_can_not_scale(make, remedy):
    with pytest.raises(ValueError) as caught:
        DiscriminativeOptimizer(make(), [1.0])
    assert str(caught.value) == (
        "`inner_optimizer` must be one that updates in proportion to one "
        f"learning rate. {remedy}"
    )
