import math
import os
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_fast import schedules
from keras_fast.schedules import (
    cosine,
    exponential,
    flat_cosine,
    join,
    linear,
    one_cycle,
    polynomial,
    sgdr,
    slanted_triangular,
    triangular,
)

pytestmark = pytest.mark.once

STRESS = os.environ.get("KERAS_FAST_STRESS") == "1"
fuzzed = settings(
    max_examples=5000 if STRESS else 500, deadline=None, derandomize=True
)
rates = st.floats(1e-10, 1e3)
shares = st.floats(0, 1)
inner = st.floats(0.01, 0.99)
totals = st.integers(1, 10**6)
close = partial(pytest.approx, rel=1e-12, abs=1e-15)


# One schedule of each kind with drawn arguments, and its lowest and highest
# value.
@st.composite
def any_schedule(draw):
    high = draw(rates)
    low = high * draw(st.floats(1e-3, 1))
    share = draw(inner)
    factor = draw(st.floats(1, 1e6))
    kind = draw(st.sampled_from(schedules.__all__))
    match kind:
        case "linear" | "cosine" | "exponential" | "polynomial":
            function = getattr(schedules, kind)
            ends = draw(st.permutations([low, high]))
            return partial(function, start=ends[0], end=ends[1]), low, high
        case "join":
            parts = [
                partial(linear, start=low, end=high),
                partial(cosine, start=high, end=low),
            ]
            return join([share, 1 - share], parts), low, high
        case "one_cycle":
            schedule = partial(
                one_cycle,
                max_lr=high,
                pct_start=share,
                div_factor=factor,
                final_div_factor=factor**2,
                anneal=draw(st.sampled_from(["cosine", "linear"])),
            )
            return schedule, high / factor**2, high
        case "sgdr":
            schedule = partial(
                sgdr,
                max_lr=high,
                min_lr=low,
                cycle_len=draw(st.floats(1e-3, 2)),
                cycle_mult=draw(st.floats(1, 4)),
            )
            return schedule, low, high
        case "triangular":
            schedule = partial(
                triangular,
                base_lr=low,
                max_lr=high,
                step_size=draw(st.floats(1e-3, 2)),
                mode=draw(
                    st.sampled_from(["triangular", "triangular2", "exp_range"])
                ),
                gamma=share,
            )
            return schedule, low, high
        case "slanted_triangular":
            schedule = partial(
                slanted_triangular, max_lr=high, cut_frac=share, ratio=factor
            )
            return schedule, high / factor, high
        case "flat_cosine":
            schedule = partial(
                flat_cosine,
                max_lr=high,
                pct_start=share,
                final_div_factor=factor,
            )
            return schedule, high / factor, high


# ---- the values -----------------------------------------------------------


def test_all_is_sorted_and_there():
    assert sorted(schedules.__all__) == schedules.__all__
    assert all(callable(getattr(schedules, n)) for n in schedules.__all__)


def test_four_curves_against_numpy():
    p = np.linspace(0, 1, 101)
    expected = {
        linear: 0.3 + p * (0.02 - 0.3),
        cosine: 0.3 + (0.02 - 0.3) * np.sin(np.pi * p / 2) ** 2,
        exponential: np.geomspace(0.3, 0.02, 101),
        partial(polynomial, power=3.0): 0.3 + (0.02 - 0.3) * p**3,
    }
    for function, values in expected.items():
        got = [function(x, start=0.3, end=0.02) for x in p.tolist()]
        np.testing.assert_allclose(got, values, rtol=1e-12)


def test_one_cycle_by_hand():
    golden = {
        0.0: 0.04,
        0.125: (0.04 + 1) / 2,
        0.25: 1.0,
        0.625: (1 + 1e-5) / 2,
        1.0: 1e-5,
    }
    for progress, value in golden.items():
        assert one_cycle(progress, 1.0) == close(value)
        assert one_cycle(progress, 1.0, anneal="linear") == close(value)
    up = 0.04 + 0.96 * (1 - math.cos(math.pi / 4)) / 2
    assert one_cycle(0.0625, 1.0) == close(up)
    assert one_cycle(0.0625, 1.0, anneal="linear") == close(0.04 + 0.96 / 4)


def test_one_cycle_is_the_join_of_two_cosines():
    joined = join(
        [0.3, 0.7],
        [
            partial(cosine, start=0.01 / 5, end=0.01),
            partial(cosine, start=0.01, end=0.01 / 50),
        ],
    )
    for k in range(1001):
        expected = one_cycle(
            k / 1000, 0.01, pct_start=0.3, div_factor=5, final_div_factor=50
        )
        assert joined(k / 1000) == close(expected)


def test_sgdr_by_hand():
    # Cycles of 1, 2 and 4 epochs: seven epochs, ten updates each.
    for update in range(71):
        epoch = update / 10
        start, length = next(
            (s, n) for s, n in [(3, 4), (1, 2), (0, 1)] if epoch >= s
        )
        done = (epoch - start) / length
        value = 0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2
        got = sgdr(update / 70, 1.0, cycle_len=1 / 7, cycle_mult=2, min_lr=0.1)
        assert got == close(value)


def test_sgdr_may_be_cut():
    cut = partial(sgdr, max_lr=1.0, cycle_len=0.4)
    assert [round(cut(p), 12) for p in (0.2, 0.4, 0.8, 1.0)] == [0.5, 1, 1, 0.5]
    assert sgdr(1.0, 1.0, cycle_len=2.0) == close(0.5)


def test_triangular_by_hand():
    wave = partial(triangular, base_lr=1.0, max_lr=3.0, step_size=0.125)
    progress = [0, 1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 5 / 8, 1]
    plain = [1, 2, 3, 2, 1, 3, 3, 1]
    halved = [1, 2, 3, 2, 1, 2, 1.5, 1]
    assert [wave(p) for p in progress] == close(plain)
    assert [wave(p, mode="triangular2") for p in progress] == close(halved)
    fading = [
        1 + (v - 1) * 0.1**p for v, p in zip(plain, progress, strict=True)
    ]
    got = [wave(p, mode="exp_range", gamma=0.1) for p in progress]
    assert got == close(fading)


def test_slanted_triangular_is_the_papers_formula():
    total, cut_frac, ratio = 500, 0.1, 32
    cut = math.floor(total * cut_frac)
    for t in range(total + 1):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        value = 0.01 * (1 + p * (ratio - 1)) / ratio
        assert slanted_triangular(t / total, 0.01) == close(value)


def test_flat_cosine_by_hand():
    flat = partial(flat_cosine, max_lr=2.0, pct_start=0.5, final_div_factor=2)
    progress = (0, 0.3, 0.5, 0.75, 1)
    assert [flat(p) for p in progress] == close([2, 2, 2, 1.5, 1])


# ---- properties -----------------------------------------------------------


@fuzzed
@given(any_schedule(), totals, st.data())
def test_finite_bounded_clamped_and_without_memory(drawn, total, data):
    schedule, low, high = drawn
    updates = data.draw(st.lists(st.integers(0, total), min_size=1))
    values = [schedule(k / total) for k in updates]
    slack = 1e-12 * high
    assert all(low - slack <= value <= high + slack for value in values)
    assert all(type(value) is float for value in values)
    again = [schedule(k / total) for k in reversed(updates)]
    assert again[::-1] == values
    assert schedule(-0.5) == schedule(-math.inf) == schedule(0.0)
    assert schedule(1.5) == schedule(math.inf) == schedule(1.0)
    assert pickle.loads(pickle.dumps(schedule))(0.3) == schedule(0.3)


@fuzzed
@given(rates, rates, shares)
def test_curves_are_exact_at_their_ends(start, end, progress):
    for function in (linear, cosine, exponential, polynomial):
        assert function(0, start, end) == start
        assert function(1, start, end) == end
        low, high = min(start, end), max(start, end)
        assert low <= function(progress, start, end) <= high


@fuzzed
@given(rates, inner, st.floats(1, 1e6), st.floats(1, 1e8))
def test_one_cycle_start_peak_and_end(max_lr, pct_start, div, final_div):
    for anneal in ("cosine", "linear"):
        cycle = partial(
            one_cycle,
            max_lr=max_lr,
            pct_start=pct_start,
            div_factor=div,
            final_div_factor=final_div,
            anneal=anneal,
        )
        assert cycle(0.0) == close(max_lr / div)
        assert cycle(pct_start) == close(max_lr)
        assert cycle(1.0) == close(max_lr / final_div)
        up = [cycle(pct_start * (k / 50)) for k in range(51)]
        down = [cycle(1 - (1 - pct_start) * (k / 50)) for k in range(50)]
        assert up == sorted(up)
        assert down == sorted(down)


@fuzzed
@given(rates, inner, st.integers(100, 10**6), st.data())
def test_one_cycle_has_no_jump(max_lr, pct_start, total, data):
    k = data.draw(st.integers(0, total - 1))
    change = one_cycle((k + 1) / total, max_lr, pct_start=pct_start)
    change -= one_cycle(k / total, max_lr, pct_start=pct_start)
    # No cosine over a share s of the run is steeper than pi / 2 / s.
    bound = math.pi / 2 / min(pct_start, 1 - pct_start) / total
    assert abs(change) <= max_lr * (bound * (1 + 1e-9) + 1e-8)


@fuzzed
@given(st.integers(1, 12), st.sampled_from([1, 1.5, 2, 3]), st.integers(1, 999))
def test_sgdr_restarts_where_a_cycle_ends(num_cycles, mult, per_epoch):
    if mult in (1.5, 3):
        num_cycles = min(num_cycles, 7)
    lengths = [mult**i for i in range(num_cycles)]
    total = sum(lengths)
    schedule = partial(sgdr, max_lr=1.0, cycle_len=1 / total, cycle_mult=mult)
    for i in range(num_cycles):
        boundary = sum(lengths[:i]) * per_epoch / (total * per_epoch)
        middle = (sum(lengths[:i]) + lengths[i] / 2) / total
        assert schedule(boundary) == 1.0
        assert schedule(middle) == close(0.5)
        if i:  # the update before has not restarted yet
            assert schedule(boundary - 1e-3 / total) < 1e-5
    assert schedule(1.0) == 0.0


@pytest.mark.parametrize("epochs", [3, 6, 7, 10, 30, 49, 101, 1000])
@pytest.mark.parametrize("per_epoch", [1, 3, 7, 117])
def test_sgdr_restarts_at_every_epoch(epochs, per_epoch):
    total = epochs * per_epoch
    for epoch in range(epochs):
        at = epoch * per_epoch / total
        assert sgdr(at, 1.0, cycle_len=1 / epochs) == 1.0
        assert sgdr(at, 1.0, cycle_len=per_epoch / total) == 1.0


@fuzzed
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8))
def test_join_begins_the_next_phase_at_a_boundary(weights):
    fractions = [w / sum(weights) for w in weights]
    # Phase i goes from i to i + 0.5, so the value names phase and place.
    ramps = [partial(linear, start=i, end=i + 0.5) for i in range(len(weights))]
    schedule = join(fractions, ramps)
    begin = 0.0
    for i, fraction in enumerate(fractions):
        assert schedule(begin) == close(i, abs=1e-7)
        assert schedule(begin + fraction / 2) == close(i + 0.25, abs=1e-7)
        begin += fraction
    assert schedule(1.0) == len(weights) - 0.5


def test_join_takes_ten_tenths():
    steps = [partial(linear, start=i, end=i) for i in range(10)]
    schedule = join([0.1] * 10, steps)
    assert [schedule(k / 10) for k in range(11)] == [*range(10), 9]


def test_join_passes_over_an_empty_phase():
    flat = [partial(linear, start=i, end=i) for i in range(3)]
    schedule = join([0.5, 0.0, 0.5], flat)
    assert [schedule(p) for p in (0.0, 0.49, 0.5, 1.0)] == [0, 0, 2, 2]


def test_join_pickles():
    schedule = join([0.25, 0.75], [partial(linear, start=0, end=1), _constant])
    copy = pickle.loads(pickle.dumps(schedule))
    assert [copy(p) for p in (0.1, 0.9)] == [schedule(p) for p in (0.1, 0.9)]


def _constant(progress):
    return 0.5


@pytest.mark.stress
def test_with_5000_examples_each():
    command = [sys.executable, "-m", "pytest", "-qm", "not stress", __file__]
    environment = {**os.environ, "KERAS_FAST_STRESS": "1"}
    subprocess.run(command, env=environment, check=True)


# ---- wrong arguments ------------------------------------------------------

WRONG = [
    (lambda: linear(math.nan, 0, 1), ValueError, "progress=nan"),
    (lambda: linear("0.5", 0, 1), TypeError, "progress='0.5'"),
    (lambda: linear(True, 0, 1), TypeError, "progress=True"),
    (lambda: linear(0.5, math.inf, 1), ValueError, "start=inf"),
    (lambda: cosine(0.5, 0, None), TypeError, "end=None"),
    (lambda: exponential(0.5, 0, 1), ValueError, "start=0"),
    (lambda: exponential(0.5, 1, -1), ValueError, "end=-1"),
    (lambda: polynomial(0.5, 0, 1, power=0), ValueError, "power=0"),
    (lambda: join([0.5], [_constant] * 2), ValueError, "fractions=[0.5]"),
    (lambda: join([], []), ValueError, "fractions=[]"),
    (lambda: join([0.5, 0.6], [_constant] * 2), ValueError, "[0.5, 0.6]"),
    (lambda: join([-0.5, 1.5], [_constant] * 2), ValueError, "fractions=-0.5"),
    (lambda: join([1.0], [0.1]), TypeError, "schedules=0.1"),
    (lambda: one_cycle(0.5, 0), ValueError, "max_lr=0"),
    (lambda: one_cycle(0.5, "1"), TypeError, "max_lr='1'"),
    (lambda: one_cycle(0.5, 1, pct_start=0), ValueError, "pct_start=0"),
    (lambda: one_cycle(0.5, 1, pct_start=25), ValueError, "pct_start=25"),
    (lambda: one_cycle(0.5, 1, div_factor=0.5), ValueError, "div_factor=0.5"),
    (
        lambda: one_cycle(0.5, 1, final_div_factor=math.inf),
        ValueError,
        "final_div_factor=inf",
    ),
    (lambda: one_cycle(0.5, 1, anneal="cos"), ValueError, "anneal='cos'"),
    (lambda: one_cycle(0.5, 1, anneal=3), TypeError, "anneal=3"),
    (lambda: sgdr(0.5, -1), ValueError, "max_lr=-1"),
    (lambda: sgdr(0.5, 1, cycle_len=0), ValueError, "cycle_len=0"),
    (lambda: sgdr(0.5, 1, cycle_mult=0.5), ValueError, "cycle_mult=0.5"),
    (lambda: sgdr(0.5, 1, min_lr=2), ValueError, "min_lr=2, max_lr=1"),
    (lambda: sgdr(0.5, 1, min_lr=-1), ValueError, "min_lr=-1"),
    (lambda: triangular(0.5, 2, 1), ValueError, "base_lr=2, max_lr=1"),
    (lambda: triangular(0.5, 1, 2, step_size=0), ValueError, "step_size=0"),
    (lambda: triangular(0.5, 1, 2, mode="up"), ValueError, "mode='up'"),
    (lambda: triangular(0.5, 1, 2, gamma=0), ValueError, "gamma=0"),
    (lambda: triangular(0.5, 1, 2, gamma=1.5), ValueError, "gamma=1.5"),
    (lambda: slanted_triangular(0.5, 1, cut_frac=1), ValueError, "cut_frac=1"),
    (lambda: slanted_triangular(0.5, 1, ratio=0), ValueError, "ratio=0"),
    (lambda: flat_cosine(0.5, 1, pct_start=1), ValueError, "pct_start=1"),
]


@pytest.mark.parametrize(("call", "error", "received"), WRONG)
def test_wrong_arguments_are_named(call, error, received):
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "must" in message
    assert "Received: " in message
    assert received in message
