import numpy as np
import pytest

from keras_fast import LRFinderResult
from keras_fast._checks import shown
from keras_fast.callbacks import OneCycle


def test_values():
    values = OneCycle(1.0, pct_start=0.5).curve(4)
    # Up from 1/25 to 1 and down to 1e-5, both along a cosine.
    np.testing.assert_allclose(
        values["learning_rate"], [0.04, 0.52, 1.0, 0.500005]
    )
    np.testing.assert_allclose(values["momentum"], [0.95, 0.9, 0.85, 0.9])


def test_straight_lines():
    values = OneCycle(
        1.0,
        pct_start=0.2,
        div_factor=2,
        final_div_factor=4,
        momentums=(0.9, 0.8, 0.7),
        anneal="linear",
    ).curve(10)
    np.testing.assert_allclose(
        values["learning_rate"],
        [0.5, 0.75, *(1 - 0.75 * np.arange(8) / 8)],
    )
    np.testing.assert_allclose(
        values["momentum"], [0.9, 0.85, *(0.8 - 0.1 * np.arange(8) / 8)]
    )


def test_momentum_left_alone():
    assert set(OneCycle(1.0, momentums=None).curve(4)) == {"learning_rate"}


@pytest.mark.parametrize("momentums", [0.9, (0.9, 0.8), "abc", [1, 2, 3, 4]])
def test_not_three_momentums(momentums):
    with pytest.raises(ValueError) as caught:
        OneCycle(1.0, momentums=momentums)
    if momentums != "abc":
        assert str(caught.value) == (
            "`momentums` must be three numbers: at the start, at the peak and "
            "at the end. Pass e.g. (0.95, 0.85, 0.95), or None to leave "
            f"momentum alone. Received: momentums={momentums!r}"
        )


def test_no_number_for_max_lr():
    for value, remedy in (
        (
            slice(1e-3, 1e-2),
            "Pass one number. Rates of layer groups are for "
            "`layer_multipliers` and `DiscriminativeOptimizer`.",
        ),
        (
            LRFinderResult(np.ones(99), np.ones(99), np.ones(99), "", {}),
            "Pass its `suggestion`.",
        ),
    ):
        with pytest.raises(TypeError) as caught:
            OneCycle(value)
        assert str(caught.value) == (
            f"`max_lr` must be a finite number above 0. {remedy} "
            f"Received: max_lr={shown(value)}"
        )
