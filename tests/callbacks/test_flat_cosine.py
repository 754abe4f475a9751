import numpy as np

from keras_fast.callbacks import FlatCosine


def test_values():
    np.testing.assert_allclose(
        FlatCosine(0.2, pct_start=0.5, final_div_factor=2).curve(8)[
            "learning_rate"
        ],
        0.1
        + 0.1
        * (1 + np.cos(np.pi * np.array([0, 0, 0, 0, 0, 1, 2, 3]) / 4))
        / 2,
    )


def test_ends_almost_at_nothing():
    rates = FlatCosine(1.0).curve(100_000)["learning_rate"]
    assert (rates[:75_000] == 1).all()
    np.testing.assert_allclose(rates[-1], 1e-5, rtol=1e-3)
