"""Optimizers that make another rate of the one that they are given."""

import keras
import numpy as np
import pytest
from helpers import data, digest, distance, fit, mlp, since, weights

from keras_fast import lr_find
from keras_fast.callbacks import LRFinder, OneCycle, ParamScheduler, Recorder

Adafactor = keras.optimizers.Adafactor


def free(*args, **arguments):
    return keras.optimizers.ScheduleFreeAdamW(*args, **arguments)


CONSTANT = {
    "caps": lambda: Adafactor(0.3),
    "caps whatever it is told": lambda: Adafactor(0.3, relative_step=False),
    "accumulates": lambda: Adafactor(0.5, gradient_accumulation_steps=2),
    "warms up": lambda: free(0.1, warmup_steps=8),
}
USED = {
    "caps": np.minimum(0.3, np.arange(1, 21) ** -0.5),
    "caps whatever it is told": np.minimum(0.3, np.arange(1, 21) ** -0.5),
    "accumulates": np.minimum(0.5, np.arange(1, 11) ** -0.5),
    "warms up": 0.1 * np.minimum(np.arange(1, 21) / 8, 1),
}
# The same, but for what it does with the rate.
BARE = {"warms up": lambda: free(0.1)}


@pytest.mark.parametrize(
    "kind",
    [*list(CONSTANT)[:-1], pytest.param("warms up", marks=since("3.14"))],
)
def test_recorded_is_the_rate_that_was_used(kind):
    recorder = Recorder()
    model = mlp(CONSTANT[kind]())
    history = fit(model, *data(), recorder)
    rates = recorder.learning_rates
    np.testing.assert_allclose(rates, USED[kind], rtol=1e-6)
    assert history.history["learning_rate"][-1] == rates[-1]
    # Trained at these rates by a schedule, it comes to the same weights.
    other = mlp(BARE.get(kind, CONSTANT[kind])())
    schedule = ParamScheduler(
        learning_rate=lambda progress: rates[
            min(round(progress * len(rates)), len(rates) - 1)
        ]
    )
    fit(other, *data(), schedule)
    assert distance(weights(model), weights(other)) <= 1e-6


def refused(model, callback, message):
    before = digest(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), callback)
    assert str(caught.value) == message
    assert digest(model) == before


CAPPED = (
    "The learning rate must be at most 1 / sqrt(update) for Adafactor, which "
    "caps it there. Pass rates of at most {}, which it uses in all of these "
    "updates. Received: learning_rate={} in update {}, of which Adafactor "
    "makes {}"
)


def test_a_schedule_above_the_cap():
    model, plain = mlp(Adafactor(0.01)), mlp(Adafactor(0.01))
    flat = ParamScheduler(learning_rate=lambda progress: 0.3)
    refused(model, flat, CAPPED.format(0.224, 0.3, 12, 0.289))
    # Plain Keras is whole.
    for each in (model, plain):
        fit(each, *data())
    assert distance(weights(model), weights(plain)) <= 1e-6
    # Now its life is longer, and the cap lower.
    refused(
        model,
        OneCycle(0.2, momentums=None),
        CAPPED.format(0.158, 0.2, 26, 0.196),
    )
    fit(model, *data(), OneCycle(0.15, momentums=None))


def test_a_cap_that_counts_updates_and_not_batches():
    model = mlp(Adafactor(0.01, gradient_accumulation_steps=2))
    flat = ParamScheduler(learning_rate=lambda progress: 0.35)
    refused(model, flat, CAPPED.format(0.316, 0.35, 9, 0.333))
    fit(model, *data(), ParamScheduler(learning_rate=lambda progress: 0.31))


def test_a_sweep_above_the_cap():
    model = mlp(Adafactor(0.01))
    before = digest(model)
    with pytest.raises(ValueError, match=r"rates of at most 0\.1, which"):
        lr_find(model, *data(), batch_size=4)
    assert digest(model) == before
    found = lr_find(model, *data(), batch_size=4, end_lr=0.1)
    caps = np.arange(1, 101) ** -0.5
    assert found.stop_reason == "completed"
    assert (found.learning_rates <= caps).all()


@since("3.14")
def test_a_schedule_while_the_optimizer_warms_up():
    model = mlp(free(0.1, warmup_steps=5))
    message = (
        "The optimizer must be done with its own warm-up to be scheduled: it "
        "would scale the rates of the schedule. Compile with "
        "`ScheduleFreeAdamW(warmup_steps=0)`: the callback is the schedule. "
        "Received: warmup_steps=5"
    )
    refused(model, LRFinder(), message)
    fit(model, *data(4), epochs=1)
    recorder = Recorder()
    fit(model, *data(), OneCycle(0.1, momentums=None), recorder)
    np.testing.assert_allclose(
        recorder.learning_rates,
        OneCycle(0.1, momentums=None).curve(20)["learning_rate"],
        rtol=1e-6,
    )


def test_a_class_that_has_a_rate_of_its_own():
    class Halves(keras.optimizers.SGD):
        def _get_current_learning_rate(self):
            return super()._get_current_learning_rate() / 2

    model, recorder = mlp(Halves(0.1)), Recorder()
    message = (
        "The optimizer must use the learning rate that it is given to be "
        "scheduled. Leave its `learning_rate` and "
        "`_get_current_learning_rate` to Keras: the callback is the schedule. "
        "Received: optimizer=Halves, which overrides them"
    )
    refused(model, OneCycle(0.1, momentums=None), message)
    history = fit(model, *data(4), recorder, epochs=1)
    assert np.isnan(recorder.learning_rates).tolist() == [True] * 4
    assert "learning_rate" not in history.history
