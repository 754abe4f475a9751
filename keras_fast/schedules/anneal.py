"""Which value between two ends, and how are such pieces joined?

The four curves that all schedules are made of, and `join`. They are public as
`keras_fast.schedules`.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

from keras_fast._checks import between, finite, function, positive, several

__all__ = ["cosine", "exponential", "join", "linear", "polynomial"]

# k / n and sums of fractions miss a boundary by rounding: values this near, in
# units of the whole run, are on it. Even a run of 1e8 updates resolves two.
SNAP = 1e-9


def linear(progress: float, start: float, end: float) -> float:
    """Go from `start` to `end` in a straight line.

    Args:
        progress: Share of the run that is done, 0 to 1.
        start: Value at 0.
        end: Value at 1.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: An argument is NaN or infinite.

    Examples:
        >>> linear(0.25, 1.0, 3.0)
        1.5
    """
    return mix(clamped(progress), start, end)


def cosine(progress: float, start: float, end: float) -> float:
    """Go from `start` to `end` along half a cosine: gently at both ends.

    Args:
        progress: Share of the run that is done, 0 to 1.
        start: Value at 0.
        end: Value at 1.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: An argument is NaN or infinite.

    Examples:
        >>> round(cosine(0.25, 1.0, 0.0), 4)
        0.8536
    """
    share = (1 + math.cos(math.pi * (1 - clamped(progress)))) / 2
    return mix(share, start, end)


def exponential(progress: float, start: float, end: float) -> float:
    """Multiply by the same factor every update, from `start` to `end`.

    Args:
        progress: Share of the run that is done, 0 to 1.
        start: Value at 0, above 0.
        end: Value at 1, above 0.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: `start` or `end` is 0 or less.

    Examples:
        >>> round(exponential(0.5, 1e-4, 1e-2), 6)
        0.001
    """
    progress = clamped(progress)
    start = positive("start", start)
    end = positive("end", end)
    if progress == 1:
        return end
    value = start * (end / start) ** progress
    return min(max(value, min(start, end)), max(start, end))


def polynomial(
    progress: float, start: float, end: float, power: float = 2.0
) -> float:
    """Go from `start` to `end` as `progress ** power`.

    Args:
        progress: Share of the run that is done, 0 to 1.
        start: Value at 0.
        end: Value at 1.
        power: 1 is a straight line; above 1, the change comes late.

    Returns:
        The value at `progress`.

    Raises:
        ValueError: `power` is 0 or less, or an argument is not finite.

    Examples:
        >>> polynomial(0.5, 0.0, 1.0, power=3.0)
        0.125
    """
    power = positive("power", power)
    return mix(clamped(progress) ** power, start, end)


def join(
    fractions: Sequence[float], schedules: Sequence[Callable[[float], float]]
) -> Callable[[float], float]:
    """Run several schedules one after the other.

    Phase i takes `fractions[i]` of the run, and its schedule sees its own
    progress from 0 to 1. The boundary between two phases belongs to the later
    one. The result can be pickled if the schedules can.

    Args:
        fractions: Length of each phase as a share of the run; sums to 1.
        schedules: One function of progress for each phase.

    Returns:
        A function of progress.

    Raises:
        ValueError: The fractions do not sum to 1, or their number is not that
            of the schedules.
        TypeError: An argument is not a list, or a schedule can't be called.

    Examples:
        >>> from functools import partial
        >>> warm = partial(linear, start=0.0, end=1.0)
        >>> cool = partial(cosine, start=1.0, end=0.0)
        >>> schedule = join([0.2, 0.8], [warm, cool])
        >>> [round(schedule(p), 3) for p in (0.0, 0.1, 0.2, 0.6, 1.0)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    phases = [function("schedules", s) for s in several("schedules", schedules)]
    shares = several("fractions", fractions)
    if len(shares) != len(phases) or not phases:
        raise ValueError(
            "`fractions` and `schedules` must be equally long, one of each "
            "for every phase. Add what is missing. Received: "
            f"fractions={fractions!r}, schedules={schedules!r}"
        )
    lengths = [between("fractions", f, 0, 1) for f in shares]
    total = math.fsum(lengths)
    if not math.isclose(total, 1, rel_tol=1e-6):
        raise ValueError(
            f"`fractions` must sum to 1; these sum to {total}. Divide each "
            f"by their sum. Received: fractions={fractions!r}"
        )
    ends = [math.fsum(lengths[: i + 1]) / total for i in range(len(lengths))]
    return partial(_joined, tuple(ends), tuple(phases))


def clamped(progress: float) -> float:
    """`progress` clamped to 0 and 1; NaN and non-numbers are refused."""
    if isinstance(progress, float) and math.isinf(progress):
        return 1.0 if progress > 0 else 0.0
    return min(max(finite("progress", progress), 0.0), 1.0)


def mix(share: float, start: float, end: float) -> float:
    """`share` of the way from `start` to `end`, exact at both ends."""
    start = finite("start", start)
    end = finite("end", end)
    if share == 1:  # start + (end - start) need not be end in floats
        return end
    value = start + share * (end - start)
    return min(max(value, min(start, end)), max(start, end))


def _joined(
    ends: tuple[float, ...],
    schedules: tuple[Callable[[float], float], ...],
    progress: float,
) -> float:
    progress = clamped(progress)
    begin = 0.0
    for end, schedule in zip(ends, schedules, strict=True):
        if progress < end - SNAP:
            return schedule(max(progress - begin, 0.0) / (end - begin))
        begin = end
    return schedules[-1](1.0)
