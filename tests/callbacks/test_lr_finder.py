import numpy as np
import pytest
from helpers import by_hand, data, fit, mlp, sgd, weights

from keras_fast.callbacks import LRFinder


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


def test_a_fit_that_ends_before_the_sweep():
    finder = LRFinder(1e-6, 1e-3, num_steps=100)
    fit(mlp(sgd()), *data(7), finder, epochs=1)
    result = finder.result
    assert result.stop_reason == "completed"
    assert result.losses.shape == result.learning_rates.shape == (7,)


def test_no_result_before_a_sweep():
    with pytest.raises(ValueError) as caught:
        LRFinder().result  # noqa: B018
    assert str(caught.value) == (
        "`result` must be read after a sweep. Call `fit()` with this "
        "callback first. Received: result of no sweep"
    )


def test_rates_must_be_in_order():
    with pytest.raises(ValueError) as caught:
        LRFinder(1.0, 0.1)
    assert str(caught.value) == (
        "`start_lr` must be below `end_lr`. Swap the two. Received: "
        "start_lr=1.0, end_lr=0.1"
    )
