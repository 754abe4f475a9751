from functools import partial

import keras
import numpy as np
import pytest
from helpers import (
    by_hand,
    data,
    distance,
    fit,
    mlp,
    sgd,
    since,
    state,
    weights,
)

from keras_fast.callbacks import ParamScheduler, Recorder
from keras_fast.schedules import linear


def test_curve():
    values = ParamScheduler(
        learning_rate=lambda progress: progress**2, beta_2=lambda _: 0.5
    ).curve(4)
    np.testing.assert_array_equal(
        values["learning_rate"], [0, 1 / 16, 1 / 4, 9 / 16]
    )
    np.testing.assert_array_equal(values["beta_2"], [0.5] * 4)


# Adam and RMSprop divide by the root of a mean that starts near 0: their
# rounding errors are larger than those of the other callbacks' tests.
@pytest.mark.parametrize(
    ("make", "name", "start", "end"),
    [
        (lambda: keras.optimizers.Adam(0.01), "beta_2", 0.9, 0.999),
        (lambda: keras.optimizers.RMSprop(0.01), "beta_2", 0.8, 0.95),
        (
            lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
            "weight_decay",
            0.5,
            0.0,
        ),
        (
            lambda: keras.optimizers.SGD(0.01, weight_decay=0.1),
            "weight_decay",
            0.5,
            0.1,
        ),
    ],
)
@pytest.mark.matrix(3)
def test_each_hyperparameter(make, name, start, end):
    scheduler = ParamScheduler(**{name: partial(linear, start=start, end=end)})
    model, reference = mlp(make()), mlp(make(), run_eagerly=True)
    fit(model, *data(), scheduler)
    by_hand(reference, *data(), scheduler.curve(20))
    plain = mlp(make())
    fit(plain, *data())
    assert distance(weights(model), weights(reference)) <= 2e-6
    assert distance(weights(model), weights(plain)) > 1e-4


def test_a_hyperparameter_that_is_missing():
    schedule = ParamScheduler(weight_decay=lambda _: 0.1)
    with pytest.raises(ValueError) as caught:
        fit(mlp(keras.optimizers.SGD(0.1)), *data(), schedule)
    assert str(caught.value) == (
        "The optimizer must have a `weight_decay` other than 0 to be "
        "scheduled. Give it one, or leave `weight_decay` out. Received: "
        "optimizer=SGD"
    )


def test_accumulation_goes_on_across_fits():
    # 5 batches, 2 an update: the second fit finds one batch waiting.
    def make():
        return keras.optimizers.SGD(
            0.1, momentum=0.9, gradient_accumulation_steps=2
        )

    schedule = partial(linear, start=0.1, end=0.0)
    model = mlp(make())
    recorder = Recorder()
    for _ in range(2):
        callbacks = [ParamScheduler(learning_rate=schedule), recorder]
        fit(model, *data(5), *callbacks, epochs=1)
    # Three updates, of the batch that waited and of those of this fit.
    rates = ParamScheduler(learning_rate=schedule).curve(3)["learning_rate"]
    np.testing.assert_allclose(recorder.learning_rates, rates)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_a_schedule_without_a_number_is_refused(value):
    model = mlp(sgd())
    start = state(model)
    schedule = ParamScheduler(learning_rate=lambda progress: value)
    with pytest.raises((ValueError, TypeError)) as caught:
        fit(model, *data(), schedule)
    assert str(caught.value).endswith(f"Received: learning_rate={value!r}")
    for before, after in zip(start, state(model), strict=True):
        np.testing.assert_array_equal(before, after)


@since("3.15")
def test_optimizers_within_one_are_refused():
    optimizer = keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(keras.optimizers.Adam())
    )
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    schedule = ParamScheduler(learning_rate=lambda _: 0.1)
    with pytest.raises(ValueError, match="must be one optimizer"):
        fit(model, *data(), schedule)
