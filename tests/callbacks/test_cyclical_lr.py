import numpy as np
import pytest
from helpers import data, fit, mlp, sgd

from keras_fast.callbacks import CyclicalLR, Recorder

UP_AND_DOWN = np.array([0, 0.5, 1, 0.5, 0, 0.5, 1, 0.5, 0, 0.5])


@pytest.mark.parametrize(
    ("mode", "heights"),
    [
        ("triangular", np.ones(10)),
        ("triangular2", [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25]),
        ("exp_range", 0.9 ** np.arange(10)),
    ],
)
def test_values(mode, heights):
    scheduler = CyclicalLR(1.0, 3.0, step_size=2, mode=mode, gamma=0.9)
    np.testing.assert_allclose(
        scheduler.curve(10)["learning_rate"],
        1 + 2 * UP_AND_DOWN * heights,
        rtol=1e-9,
    )


@pytest.mark.parametrize("num_updates", [3, 7, 1000])
def test_steps_are_updates_however_long_the_run(num_updates):
    short = CyclicalLR(0.0, 1.0, step_size=3).curve(num_updates)
    k = np.arange(num_updates)
    np.testing.assert_allclose(
        short["learning_rate"], 1 - np.abs(k % 6 / 3 - 1), atol=1e-9
    )


def by_hand(k, low, high, step_size, gamma=1.0):
    """Smith's formula, as bckenstler's `CyclicLR` has it."""
    cycle = np.floor(1 + k / (2 * step_size))
    x = np.abs(k / step_size - 2 * cycle + 1)
    return low + (high - low) * np.maximum(0, 1 - x) * gamma**k


# At the end of each of these runs `gamma ** updates` is no float any more.
@pytest.mark.parametrize(
    ("low", "gamma", "num_updates"),
    [(1e-4, 0.97, 40_000), (0.0, 0.97, 40_000), (1.0, 0.1, 5000)],
)
def test_the_height_of_an_update_however_long_the_run(low, gamma, num_updates):
    rates = CyclicalLR(low, 2.0, step_size=7, mode="exp_range", gamma=gamma)
    k = np.arange(num_updates)
    wanted = by_hand(k, low, 2.0, 7, gamma)
    got = rates.curve(num_updates)["learning_rate"]
    # Updates at which the wave is at its lower bound, but for rounding.
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-11)
    visible = k[(k < 300) & (k % 14 > 0)]
    np.testing.assert_allclose(got[visible], wanted[visible], rtol=1e-9)


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
def test_gamma_of_1_is_no_decay(mode):
    rates = CyclicalLR(1e-3, 6e-3, 2.0, mode=mode, gamma=1.0)
    np.testing.assert_allclose(
        rates.curve(4)["learning_rate"], by_hand(np.arange(4), 1e-3, 6e-3, 2)
    )


def test_half_a_cycle_may_end_within_an_update():
    # As `8 * len(x) / batch_size` may be.
    rates = CyclicalLR(1e-3, 6e-3, step_size=2.4).curve(100)["learning_rate"]
    wanted = by_hand(np.arange(100), 1e-3, 6e-3, 2.4)
    np.testing.assert_allclose(rates, wanted, rtol=1e-9)


def recorded(model, **arguments):
    recorder = Recorder()
    waves = CyclicalLR(1e-3, 6e-3, step_size=4)
    fit(model, *data(3), waves, recorder, **arguments)
    return recorder.learning_rates


def test_fit_in_a_loop():
    model, wave = mlp(sgd()), by_hand(np.arange(9), 1e-3, 6e-3, 4)
    parts = [
        recorded(model, initial_epoch=part, epochs=part + 1)
        for part in range(3)
    ]
    np.testing.assert_allclose(np.concatenate(parts), wave, rtol=1e-6)
    np.testing.assert_allclose(recorded(model, epochs=1), wave[:3], rtol=1e-6)


def test_fit_in_a_loop_with_gradients_left_over():
    # Three batches a fit, two an update: every other fit begins within one.
    model = mlp(sgd(gradient_accumulation_steps=2))
    wave = by_hand(np.arange(2), 1e-3, 6e-3, 4)
    counts = [1, 2, 1]
    for count in counts:
        np.testing.assert_allclose(
            recorded(model, epochs=1), wave[:count], rtol=1e-6
        )
