import os
import subprocess
import sys
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from keras_fast.finder import rules as curves

pytestmark = pytest.mark.once

STRESS = os.environ.get("KERAS_FAST_STRESS") == "1"
fuzzed = settings(
    max_examples=5000 if STRESS else 150, deadline=None, derandomize=True
)
# Few distinct values, so that ties are common.
few = st.integers(0, 12).map(lambda v: v / 4)
smooth_curves = hnp.arrays(
    np.float64, st.integers(2, 60), elements=few | st.floats(0, 10)
)


def sweep(num_steps=100, start=1e-7, end=10.0):
    return start * (end / start) ** (np.arange(num_steps) / num_steps)


def typical(rates, rng=None, noise=0.0, knee=1e-4, edge=0.3):
    """A flat start, a fall from `knee` on, and an explosion at `edge`."""
    x = np.log10(rates)
    losses = 0.5 + 1.8 / (1 + np.exp(3 * (x - np.log10(knee) - 1)))
    losses = losses + np.exp(np.minimum(6 * (x - np.log10(edge)), 50))
    if noise:
        losses = losses * (1 + noise * rng.standard_normal(len(rates)))
    return losses


# ---- the four rules, written again from their description -----------------


def naive_valley(rates, losses):
    """Longest falling subsequence by counting, for every end."""
    best = [1] * len(losses)
    for i in range(len(losses)):
        for j in range(i):
            if losses[j] > losses[i]:
                best[i] = max(best[i], best[j] + 1)
    length = max(best)
    begin = best.index(length) - length
    return rates[max(begin + length // 3 + length // 6, 0)]


def naive_slide(rates, losses):
    slopes = np.gradient(losses)
    n = len(losses)
    found = n - 16
    for left in range(n - 16, -1, -1):
        if not abs(slopes[left + 15] - slopes[left]) > 0.005:
            break
        found = left
    return rates[found]


def assert_is_steepest(rate, rates, losses):
    """Of slopes that are equal but for rounding, any may be the one."""
    slopes = [
        (losses[i + 1] - losses[i]) / np.log(rates[i + 1] / rates[i])
        for i in range(len(rates) - 1)
    ]
    chosen = slopes[int(np.flatnonzero(rates == rate)[0])]
    assert chosen == pytest.approx(min(slopes), rel=1e-9)


@fuzzed
@given(smooth_curves)
def test_rules_equal_their_naive_forms(losses):
    rates = sweep(len(losses))
    falls = (np.diff(losses) < 0).any()
    if not falls:
        assert curves.valley(rates, losses) is None
        assert curves.slide(rates, losses) is None
        assert curves.minimum(rates, losses) is None
        assert curves.steep(rates, losses) is None
        return
    assert curves.valley(rates, losses) == naive_valley(rates, losses)
    if len(losses) >= 16:
        assert curves.slide(rates, losses) == naive_slide(rates, losses)
    else:
        assert curves.slide(rates, losses) is None
    if losses.argmin() == 0:
        assert curves.minimum(rates, losses) is None
    else:
        lowest = rates[list(losses).index(min(losses))]
        assert curves.minimum(rates, losses) == pytest.approx(lowest / 10)
    assert_is_steepest(curves.steep(rates, losses), rates, losses)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
@pytest.mark.parametrize("num_steps", [30, 100, 400])
def test_rules_on_typical_curves(num_steps, noise):
    rng = np.random.default_rng(num_steps)
    rates = sweep(num_steps)
    losses = curves.smooth(typical(rates, rng, noise))
    assert curves.valley(rates, losses) == naive_valley(rates, losses)
    assert curves.slide(rates, losses) == naive_slide(rates, losses)
    assert_is_steepest(curves.steep(rates, losses), rates, losses)
    assert curves.minimum(rates, losses) == rates[losses.argmin()] / 10


def test_valley_by_hand():
    # The longest falling run is 9 long and ends at index 10: it starts "at"
    # 10 - 9 = 1, and 1 + 3 + 1 = 5.
    losses = [5, 6, 9, 8, 7, 6.5, 5, 4, 3, 2, 1, 3, 4]
    rates = sweep(len(losses))
    assert curves.valley(rates, losses) == rates[5]


# ---- smooth ---------------------------------------------------------------


@fuzzed
@given(
    hnp.arrays(np.float64, st.integers(0, 40), elements=st.floats(-5, 5)),
    st.floats(0, 0.999),
)
def test_smooth_is_the_weighted_mean_of_the_past(losses, beta):
    expected = [
        np.average(losses[: i + 1], weights=beta ** np.arange(i, -1.0, -1.0))
        for i in range(len(losses))
    ]
    np.testing.assert_allclose(
        curves.smooth(losses, beta), expected, rtol=1e-9, atol=1e-9
    )


def test_smooth_starts_at_the_first_loss_and_keeps_nan():
    smoothed = curves.smooth([3.0, 1.0, np.nan, 1.0])
    assert smoothed[0] == pytest.approx(3.0)
    assert np.isnan(smoothed).tolist() == [False, False, True, True]


@pytest.mark.parametrize("beta", [1.0, -0.1, np.nan])
def test_smooth_refuses(beta):
    with pytest.raises(ValueError, match="Received: beta="):
        curves.smooth([1.0], beta)


# ---- trained --------------------------------------------------------------


def flat_then_rising(rates, rise, noise=0.0, seed=0):
    """Level 0.2, and from a rate on ten times as much a decade."""
    rng = np.random.default_rng(seed)
    decades = np.maximum(np.log10(rates / rise), 0)
    return 0.2 + 2 * decades + noise * rng.normal(size=len(rates))


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("count", [50, 100, 400])
@pytest.mark.parametrize("rise", [3e-4, 1e-3, 1e-2])
def test_trained_stays_below_the_rise(rise, count, noise):
    rates = np.geomspace(1e-6, 1.0, count)
    losses = flat_then_rising(rates, rise, noise)
    found = curves.suggest(rates, losses)
    assert found["highest"] is None
    # Smoothing sees it some tenths of a decade early; noise hides its start.
    assert 0.1 <= found["trained"] / rise <= 1


@fuzzed
@given(st.integers(0, 1000), st.floats(0.01, 100))
def test_trained_does_not_depend_on_the_scale_of_the_loss(seed, scale):
    rates = np.geomspace(1e-6, 1.0, 100)
    losses = flat_then_rising(rates, 1e-3, 0.05, seed)
    found = curves.trained(rates, losses)
    assert curves.trained(rates, scale * losses) == pytest.approx(found)


@pytest.mark.parametrize(
    "losses",
    [
        np.ones(100),
        np.linspace(1, 2, 100),
        np.random.default_rng(0).normal(size=100),
        np.r_[np.ones(50), np.full(50, 0.5)],
        np.ones(9),
    ],
    ids=["flat", "rising all along", "noise", "falling", "short"],
)
def test_trained_is_silent_where_nothing_begins_to_rise(losses):
    rates = np.geomspace(1e-6, 1.0, len(losses))
    assert curves.trained(rates, losses) is None


# ---- suggest --------------------------------------------------------------


def test_suggest_order_and_trimming():
    rates = sweep(100)
    losses = typical(rates)
    suggested = curves.suggest(rates, losses)
    order = ["highest", "trained", "valley", "slide", "minimum", "steep"]
    assert list(suggested) == order
    assert suggested["trained"] == curves.trained(rates, losses)
    cut = slice(10, -5)
    smoothed = curves.smooth(losses)[cut]
    assert suggested["valley"] == naive_valley(rates[cut], smoothed)
    assert suggested["slide"] == naive_slide(rates[cut], smoothed)
    assert_is_steepest(suggested["steep"], rates[cut], smoothed)
    assert suggested["minimum"] == rates[cut][smoothed.argmin()] / 10
    assert suggested["highest"] == curves.highest(rates, losses)


def test_suggest_trims_by_the_length_asked_for():
    rates = sweep(200)[:120]
    losses = typical(rates, edge=1e-2)
    cut = slice(20, -5)
    smoothed = curves.smooth(losses)[cut]
    suggested = curves.suggest(rates, losses, num_steps=200)
    assert_is_steepest(suggested["steep"], rates[cut], smoothed)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_follows_a_broken_loss_is_not_looked_at(bad):
    rates = sweep(100)
    losses = typical(rates)
    losses[85] = bad
    whole = curves.suggest(rates, losses, num_steps=100)
    cut = curves.suggest(rates[:85], losses[:85], num_steps=100)
    assert whole["highest"] == cut["highest"]
    assert None not in (whole[name] for name in whole if name != "trained")
    losses[85:] = bad
    assert curves.suggest(rates, losses, num_steps=100) == whole
    for name in ("valley", "slide", "minimum", "steep", "highest"):
        rule = getattr(curves, name)
        assert rule(rates, losses) == rule(rates[:85], losses[:85])


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [1.0],
        [2.0, 1.0],
        [np.nan] * 50,
        [1.0] * 50,
        np.linspace(1, 2, 50),
        np.r_[1.0, np.nan, np.ones(48)],
        np.r_[2.0, 1.9, np.full(48, np.inf)],
    ],
    ids=["0", "1", "2", "nan", "flat", "rising", "nan at 1", "inf at 2"],
)
def test_no_number_is_made_up(losses):
    suggested = curves.suggest(sweep(len(losses)), losses)
    assert set(suggested.values()) == {None}


@fuzzed
@given(
    hnp.arrays(
        np.float64,
        st.integers(0, 80),
        elements=st.floats(-1e6, 1e6) | st.just(np.nan) | st.just(np.inf),
    )
)
def test_a_suggestion_lies_within_the_sweep(losses):
    rates = sweep(len(losses))
    for name, rate in curves.suggest(rates, losses).items():
        if rate is not None:
            factor = 10 if name == "minimum" else 1
            assert rates[0] <= rate * factor <= rates[-1] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("rates", "losses", "said"),
    [
        ([0.1, 0.2], [1.0], "equally long"),
        ([[0.1, 0.2]], [[1.0, 1.0]], "one-dimensional"),
        ([0.2, 0.1], [1.0, 1.0], "must rise"),
        ([0.0, 0.1], [1.0, 1.0], "above 0"),
        ([0.1, np.nan], [1.0, 1.0], "finite"),
    ],
)
def test_curves_that_are_no_sweep(rates, losses, said):
    for rule in (curves.valley, curves.suggest, curves.highest):
        with pytest.raises(ValueError, match=said) as caught:
            rule(rates, losses)
        assert "Received: learning_rates" in str(caught.value)


# ---- highest --------------------------------------------------------------


def valley_curve(rates, near=-3.0, far=0.0, level=2.0, floor=0.5):
    """Steps down at `near` and up at `far`: both sides are known exactly."""
    x = np.log10(rates)
    return np.where((x > near) & (x < far), floor, level)


@pytest.mark.parametrize("num_steps", [50, 100, 200, 400, 1000])
def test_highest_by_hand(num_steps):
    rates = np.geomspace(1e-7, 10.0, num_steps)
    per_decade = (num_steps - 1) / 8
    near = -3.0 + np.log10(per_decade / 16)
    # Smoothed over half a decade, a quarter of a step is there early.
    far = 0.5 * NormalDist().inv_cdf(0.25)
    expected = 10 ** ((near + far) / 2)
    found = curves.highest(rates, valley_curve(rates))
    assert found == pytest.approx(expected, rel=0.2)


def test_highest_does_not_depend_on_the_length_of_the_sweep():
    """A slower sweep comes down earlier by the updates it makes more."""
    found = []
    for num_steps in (100, 200, 400, 800):
        rates = np.geomspace(1e-7, 10.0, num_steps)
        near = -3.0 - np.log10((num_steps - 1) / 99)
        found.append(curves.highest(rates, valley_curve(rates, near=near)))
    assert max(found) / min(found) < 1.2


@fuzzed
@given(
    st.floats(1e-6, 1e6),
    st.floats(-1e3, 1e3),
    st.floats(1e-3, 1e3),
    st.integers(0, 1000),
)
def test_highest_knows_no_units(scale, offset, unit, seed):
    rates = sweep(100)
    losses = typical(rates, np.random.default_rng(seed), noise=0.1)
    found = curves.highest(rates, losses)
    moved = curves.highest(rates * unit, scale * (losses + offset))
    assert moved == pytest.approx(found * unit, rel=0.05)


@pytest.mark.parametrize("num_steps", [50, 100, 200, 400])
def test_highest_varies_little_with_noise(num_steps):
    rates = sweep(num_steps)
    found = [
        curves.highest(rates, typical(rates, np.random.default_rng(s), 0.1))
        for s in range(20)
    ]
    assert max(found) / min(found) < 1.5


def test_highest_takes_no_notice_of_how_high_the_loss_explodes():
    rates = sweep(100)
    losses = typical(rates)
    worse = np.where(rates > 1, losses * 1e6, losses)
    assert curves.highest(rates, worse) == curves.highest(rates, losses)


def test_highest_lies_before_the_lowest_loss():
    rates = sweep(100)
    losses = typical(rates)
    lowest = rates[losses.argmin()]
    assert lowest / 30 < curves.highest(rates, losses) < lowest


def test_highest_is_none_where_the_loss_is_noise():
    rates = sweep(100)
    noise = np.random.default_rng(0).standard_normal((200, 100))
    found = [curves.highest(rates, 2 + 0.3 * losses) for losses in noise]
    assert sum(rate is not None for rate in found) <= 10


def test_highest_needs_no_far_side():
    rates = np.geomspace(1e-7, 1e-2, 100)
    found = curves.highest(rates, valley_curve(rates))
    assert 1e-4 < found < 1e-2


def test_highest_reads_a_sweep_of_few_updates():
    rates = np.geomspace(1e-7, 10.0, 10)
    losses = [2, 2, 2, 2, 1.9, 1.5, 1.0, 0.7, 4, 9]
    assert 1e-3 < curves.highest(rates, losses) < 1
    assert curves.highest(rates[:9], losses[:9]) is None


@pytest.mark.stress
def test_with_5000_examples_each():
    command = [sys.executable, "-m", "pytest", "-qm", "not stress", __file__]
    environment = {**os.environ, "KERAS_FAST_STRESS": "1"}
    subprocess.run(command, env=environment, check=True)
