import copy
import pickle

import keras
import numpy as np
import pytest
from helpers import by_hand, data, fit, mlp, sgd, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_fast.callbacks import LRFinder
from keras_fast.callbacks.lr_finder import LOOK_EVERY, _diverged
from keras_fast.finder.rules import smooth


def test_rates_and_losses():
    finder = LRFinder(1e-4, 1e-1, num_steps=6, stop_factor=1e9, smoothing=0)
    model, reference = mlp(sgd()), mlp(sgd(), run_eagerly=True)
    fit(model, *data(6), finder, epochs=5)
    result = finder.result
    rates = 10 ** (-4 + 3 * np.arange(6) / 6)
    np.testing.assert_allclose(result.learning_rates, rates)
    wanted = by_hand(reference, *data(6), {"learning_rate": rates}, epochs=1)
    np.testing.assert_allclose(result.losses, wanted, atol=1e-6)
    np.testing.assert_array_equal(result.smoothed_losses, result.losses)
    assert result.stop_reason == "completed"
    assert set(result.suggestions) == {
        "highest",
        "trained",
        "valley",
        "slide",
        "minimum",
        "steep",
    }
    # The model stays as the sweep trained it, and trains no further.
    np.testing.assert_allclose(weights(model), weights(reference), atol=1e-6)


def test_accumulation():
    finder = LRFinder(1e-4, 1e-1, num_steps=6, stop_factor=1e9)
    model = mlp(sgd(gradient_accumulation_steps=2))
    fit(model, *data(12), finder, epochs=3)
    result = finder.result
    assert result.losses.shape == (6,)
    reference = mlp(sgd(gradient_accumulation_steps=2), run_eagerly=True)
    rates = {"learning_rate": result.learning_rates}
    batches = by_hand(reference, *data(12), rates, epochs=1)
    np.testing.assert_allclose(
        result.losses, batches.reshape(6, 2).mean(axis=1), atol=1e-6
    )


def test_divergence_stops():
    finder = LRFinder(1e-3, 1e4, num_steps=200)
    history = fit(mlp(sgd()), *data(), finder, epochs=100)
    result = finder.result
    assert result.stop_reason == "diverged"
    smoothed = result.smoothed_losses
    assert smoothed[-1] > 4 * smoothed.min()
    assert (smoothed[:-1] <= 4 * np.minimum.accumulate(smoothed[:-1])).all()
    assert len(history.epoch) < 30


# Losses as they are far from 0, where noise is small beside them.
usual = st.lists(st.floats(1, 2), min_size=1, max_size=20).map(np.array)
factors = st.floats(1, 8)
fuzzed = settings(max_examples=100, deadline=None, derandomize=True)


def diverged(losses, factor=4.0):
    return _diverged(losses, smooth(losses), factor).tolist()


@fuzzed
@given(usual, factors)
def test_usual_losses_diverge_by_their_lowest_value(losses, factor):
    exploding = np.append(losses, 100 * np.arange(1, 30))
    smoothed = smooth(exploding)
    lowest = np.minimum.accumulate(smoothed)
    noise = np.median(np.abs(np.diff(exploding[:50])))
    far = lowest >= noise
    wanted = smoothed - lowest > (factor - 1) * lowest
    got = np.array(diverged(exploding, factor))
    np.testing.assert_array_equal(got[far], wanted[far])
    assert not diverged(losses, 2.0)[-1]


@fuzzed
@given(
    st.lists(st.integers(-100, 100), min_size=1, max_size=60),
    st.integers(-20, 20),
    factors,
)
def test_the_unit_of_the_loss_does_not_matter(losses, power, factor):
    losses = np.array(losses, "float64")
    scaled = losses * 2.0**power
    assert diverged(losses, factor) == diverged(scaled, factor)


@pytest.mark.parametrize("level", [0.0, 1e-6, -1e-6, 0.05, -0.05])
def test_noise_around_0_is_no_divergence(level):
    rng = np.random.default_rng(3)
    falling = level - np.r_[np.zeros(40), np.linspace(0, 1, 30)]
    losses = falling + 0.1 * rng.normal(size=70)
    assert not any(diverged(losses))
    # And what explodes from there is noticed.
    assert diverged(np.append(losses, np.geomspace(1, 1e6, 10)))[-1]


def test_a_fit_that_ends_before_the_sweep():
    finder = LRFinder(1e-6, 1e-3, num_steps=100)
    fit(mlp(sgd()), *data(7), finder, epochs=1)
    result = finder.result
    assert result.stop_reason == "stopped"
    assert result.losses.shape == result.learning_rates.shape == (7,)


class StopsAt(keras.callbacks.Callback):
    def __init__(self, batch):
        super().__init__()
        self.batch = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.batch:
            self.model.stop_training = True


@pytest.mark.parametrize(("last", "reason"), [(4, "stopped"), (5, "completed")])
def test_a_callback_that_ends_the_sweep(last, reason):
    finder = LRFinder(1e-6, 1e-3, num_steps=6)
    fit(mlp(sgd()), *data(8), finder, StopsAt(last), epochs=1)
    assert finder.result.stop_reason == reason
    assert finder.result.losses.shape == (last + 1,)


@keras.saving.register_keras_serializable("tests")
class Hides(keras.layers.Layer):
    """Makes a number of NaN, as some kernels of relu do."""

    def call(self, x):
        return ops.where(ops.isnan(x), 0.0, x)


def spoilt(batches, bad):
    """Data with a NaN in the inputs of one batch."""
    x, y = data(batches)
    x[4 * bad] = np.nan
    return x, y


def plain_losses(model, x, y, rates):
    """What plain Keras gives at these rates, in its compiled step."""
    losses = []
    for k, rate in enumerate(rates):
        model.optimizer.learning_rate = rate
        rows = slice(4 * k, 4 * k + 4)
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x[rows], y[rows])))
    return np.array(losses)


def of_layers(*layers):
    model = keras.Sequential([keras.Input((4,)), *layers])
    rng = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    model.compile(sgd(), "mse")
    return model


def hiding():
    return of_layers(keras.layers.Dense(3), Hides(), keras.layers.Dense(1))


@pytest.mark.parametrize("bad", [3, LOOK_EVERY + 3, 24])
def test_weights_that_are_no_numbers_while_the_loss_is(bad):
    finder = LRFinder(1e-6, 1e-3, num_steps=25, stop_factor=1e9)
    x, y = spoilt(25, bad)
    model, reference = hiding(), hiding()
    fit(model, x, y, finder, epochs=1)
    result = finder.result
    losses = plain_losses(reference, x, y, finder.curve(25)["learning_rate"])
    assert np.isfinite(losses).all()
    assert not np.isfinite(weights(reference)).all()
    assert result.stop_reason == "non_finite"
    looked = bad // LOOK_EVERY * LOOK_EVERY
    np.testing.assert_allclose(result.losses, losses[:looked], rtol=1e-5)


def test_weights_that_are_no_numbers_where_they_explode():
    # The loss says so, and its curve stays whole.
    finder = LRFinder(1e-4, 1e16, num_steps=20)
    model = of_layers(keras.layers.Dense(3), keras.layers.Dense(1))
    fit(model, *data(20), finder, epochs=1)
    assert not np.isfinite(weights(model)).all()
    assert finder.result.stop_reason == "diverged"
    assert len(finder.result.losses) > 1


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_nan_in_the_data(activation):
    # Whether relu makes a number of NaN is for the kernel to say.
    def make():
        return of_layers(
            keras.layers.Dense(16, activation), keras.layers.Dense(1)
        )

    bad = LOOK_EVERY + 2
    finder = LRFinder(1e-6, 1e-3, num_steps=25, stop_factor=1e9)
    x, y = spoilt(25, bad)
    fit(make(), x, y, finder, epochs=1)
    losses = plain_losses(make(), x, y, finder.curve(25)["learning_rate"])
    seen = LOOK_EVERY if np.isfinite(losses).all() else bad
    assert finder.result.stop_reason == "non_finite"
    np.testing.assert_allclose(finder.result.losses, losses[:seen], rtol=1e-5)


def test_no_result_before_a_sweep():
    with pytest.raises(ValueError) as caught:
        LRFinder().result  # noqa: B018
    assert str(caught.value) == (
        "`result` must be read after a sweep. Call `fit()` with this "
        "callback first. Received: result of no sweep"
    )


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda f: pickle.loads(pickle.dumps(f))]
)
def test_a_copy_keeps_the_result(copied):
    finder = LRFinder(1e-4, 1e-1, num_steps=6)
    fit(mlp(sgd()), *data(6), finder, epochs=1)
    wanted = finder.result.losses
    other = copied(finder)
    np.testing.assert_array_equal(other.result.losses, wanted)
    # It can sweep anew, and leaves the first alone.
    fit(mlp(sgd()), *data(8), other, epochs=1)
    np.testing.assert_allclose(other.result.losses, wanted)
    assert finder.result.losses.tolist() == wanted.tolist()


def test_rates_must_be_in_order():
    with pytest.raises(ValueError) as caught:
        LRFinder(1.0, 0.1)
    assert str(caught.value) == (
        "`start_lr` must be below `end_lr`. Swap the two. Received: "
        "start_lr=1.0, end_lr=0.1"
    )
