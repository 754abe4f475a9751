import numpy as np
import pytest

from keras_fast.callbacks import CyclicalLR

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


def test_a_gamma_that_vanishes():
    rates = CyclicalLR(1.0, 2.0, step_size=5, mode="exp_range", gamma=0.1)
    values = rates.curve(5000)["learning_rate"]
    assert np.isfinite(values).all()
    assert values[-1] == 1.0
