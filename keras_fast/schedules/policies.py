"""Which value at this progress? Schedules as plain functions.

Each is `f(progress, ...) -> float`. Progress runs from 0, the first update,
to 1, the end of the run; update k of n is at k / n. Values outside are
clamped, so a schedule can be evaluated anywhere, in any order.
"""

import math

from keras_fast._checks import (
    at_least,
    between,
    fraction,
    non_negative,
    one_of,
    positive,
)
from keras_fast.schedules.anneal import (
    SNAP,
    clamped,
    cosine,
    linear,
    mix,
)

__all__ = [
    "flat_cosine",
    "one_cycle",
    "sgdr",
    "slanted_triangular",
    "triangular",
]


def one_cycle(
    progress: float,
    max_lr: float,
    *,
    pct_start: float = 0.25,
    div_factor: float = 25.0,
    final_div_factor: float = 1e5,
    anneal: str = "cosine",
) -> float:
    """Warm up to `max_lr`, then anneal to almost nothing: the 1cycle policy.

    Args:
        progress: Share of the run that is done, 0 to 1.
        max_lr: The peak.
        pct_start: Share of the run that the rise takes.
        div_factor: The run starts at `max_lr / div_factor`.
        final_div_factor: The run ends at `max_lr / final_div_factor`.
        anneal: Shape of the rise and the fall, `"cosine"` or `"linear"`.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: `max_lr` is not above 0, `pct_start` not between 0 and 1,
            a factor below 1, or `anneal` unknown.

    Examples:
        >>> [round(one_cycle(p, 1.0), 5) for p in (0.0, 0.25, 1.0)]
        [0.04, 1.0, 1e-05]

    Reference:

    - [Smith and Topin, 2018](https://arxiv.org/abs/1708.07120)
    """
    progress = clamped(progress)
    max_lr = positive("max_lr", max_lr)
    peak = fraction("pct_start", pct_start)
    first = max_lr / at_least("div_factor", div_factor, 1)
    last = max_lr / at_least("final_div_factor", final_div_factor, 1)
    shape = linear
    if one_of("anneal", anneal, ("cosine", "linear")) == "cosine":
        shape = cosine
    if progress < peak - SNAP:
        return shape(progress / peak, first, max_lr)
    return shape((progress - peak) / (1 - peak), max_lr, last)


def sgdr(
    progress: float,
    max_lr: float,
    *,
    cycle_len: float = 1.0,
    cycle_mult: float = 1,
    min_lr: float = 0.0,
) -> float:
    """Anneal from `max_lr` to `min_lr`, jump back and anneal again.

    A boundary between two cycles belongs to the later one; only the end of the
    run belongs to the cycle before it. The run may end within a cycle.

    Args:
        progress: Share of the run that is done, 0 to 1.
        max_lr: Value at the start of each cycle.
        cycle_len: Length of the first cycle as a share of the run.
        cycle_mult: Factor by which each cycle is longer than the one before.
        min_lr: Value at the end of each cycle.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: `cycle_len` or `max_lr` is not above 0, `cycle_mult` is
            below 1, or `min_lr` is above `max_lr`.

    Examples:
        >>> times = (0.0, 1 / 6, 1 / 3, 2 / 3, 1.0)
        >>> cycles = {"cycle_len": 1 / 3, "cycle_mult": 2}
        >>> [round(sgdr(p, 1.0, **cycles), 3) for p in times]
        [1.0, 0.5, 1.0, 0.5, 0.0]

    Reference:

    - [Loshchilov and Hutter, 2017](https://arxiv.org/abs/1608.03983)
    """
    progress = clamped(progress)
    cycle_len = at_least("cycle_len", cycle_len, SNAP)
    cycle_mult = at_least("cycle_mult", cycle_mult, 1)
    low, high = _ordered("min_lr", min_lr, "max_lr", max_lr)
    done = _within_cycle(progress / cycle_len, cycle_mult, SNAP / cycle_len)
    if progress == 1 and done == 0:
        return low
    return cosine(done, high, low)


def triangular(
    progress: float,
    base_lr: float,
    max_lr: float,
    *,
    step_size: float = 0.5,
    mode: str = "triangular",
    gamma: float = 1.0,
) -> float:
    """Go up and down between `base_lr` and `max_lr` in straight lines.

    Args:
        progress: Share of the run that is done, 0 to 1.
        base_lr: The lower bound, where each cycle starts and ends.
        max_lr: The upper bound.
        step_size: Length of half a cycle as a share of the run.
        mode: `"triangular"`; `"triangular2"` halves the height after each
            cycle; `"exp_range"` multiplies it by `gamma ** progress`.
        gamma: For `"exp_range"`: the height at the end of the run as a share
            of that at its start, above 0 and at most 1.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: `base_lr` is above `max_lr`, `step_size` not above 0,
            `gamma` outside its range, or `mode` unknown.

    Examples:
        >>> times = (0.0, 0.25, 0.375)
        >>> [triangular(p, 1.0, 3.0, step_size=0.25) for p in times]
        [1.0, 3.0, 2.0]

    Reference:

    - [Smith, 2017](https://arxiv.org/abs/1506.01186)
    """
    progress = clamped(progress)
    low, high = _ordered("base_lr", base_lr, "max_lr", max_lr)
    steps = progress / at_least("step_size", step_size, SNAP)
    gamma = between("gamma", gamma, 0, 1)
    positive("gamma", gamma)
    one_of("mode", mode, ("triangular", "triangular2", "exp_range"))
    height = 1 - abs(steps % 2 - 1)
    if mode == "triangular2":
        height *= 0.5 ** (steps // 2)
    elif mode == "exp_range":
        height *= gamma**progress
    return mix(height, low, high)


def slanted_triangular(
    progress: float,
    max_lr: float,
    *,
    cut_frac: float = 0.1,
    ratio: float = 32,
) -> float:
    """Rise fast to `max_lr`, then fall slowly, both in straight lines.

    Args:
        progress: Share of the run that is done, 0 to 1.
        max_lr: The peak.
        cut_frac: Share of the run that the rise takes.
        ratio: The run starts and ends at `max_lr / ratio`.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: `max_lr` is not above 0, `cut_frac` not between 0 and 1,
            or `ratio` below 1.

    Examples:
        >>> [slanted_triangular(p, 3.2) for p in (0.0, 0.1, 1.0)]
        [0.1, 3.2, 0.1]

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    """
    ratio = at_least("ratio", ratio, 1)
    return one_cycle(
        progress,
        max_lr,
        pct_start=fraction("cut_frac", cut_frac),
        div_factor=ratio,
        final_div_factor=ratio,
        anneal="linear",
    )


def flat_cosine(
    progress: float,
    max_lr: float,
    *,
    pct_start: float = 0.75,
    final_div_factor: float = 1e5,
) -> float:
    """Stay at `max_lr`, then anneal to almost nothing along a cosine.

    Args:
        progress: Share of the run that is done, 0 to 1.
        max_lr: Value until `pct_start`.
        pct_start: Share of the run after which the annealing starts.
        final_div_factor: The run ends at `max_lr / final_div_factor`.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: `max_lr` is not above 0, `pct_start` not between 0 and 1,
            or the factor below 1.

    Examples:
        >>> [round(flat_cosine(p, 1.0), 5) for p in (0.0, 0.75, 0.875, 1.0)]
        [1.0, 1.0, 0.50001, 1e-05]
    """
    return one_cycle(
        progress,
        max_lr,
        pct_start=pct_start,
        div_factor=1,
        final_div_factor=final_div_factor,
    )


def _within_cycle(position: float, mult: float, snap: float) -> float:
    """Share of its cycle that is done; `position` is in first cycles."""
    growth = mult - 1
    rate = math.log1p(growth)
    index = math.log1p(position * growth) / rate if growth else position
    nearest = round(index)
    begin = math.expm1(nearest * rate) / growth if growth else nearest
    if abs(position - begin) <= snap:
        return 0.0
    index = math.floor(index)
    begin = math.expm1(index * rate) / growth if growth else index
    return (position - begin) / mult**index


def _ordered(
    low_name: str, low: float, high_name: str, high: float
) -> tuple[float, float]:
    lowest = non_negative(low_name, low)
    highest = positive(high_name, high)
    if lowest > highest:
        raise ValueError(
            f"`{low_name}` must be at most `{high_name}`. Swap the two. "
            f"Received: {low_name}={low!r}, {high_name}={high!r}"
        )
    return lowest, highest
