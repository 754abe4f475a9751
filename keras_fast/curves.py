"""Where on this loss curve is a good learning rate?

Functions of `(learning_rates, losses)`, one value per update of a sweep. Each
gives a rate, or None where the curve has no such point: a made-up number is
worse than none. What comes after the first loss that is not finite is not
looked at.
"""

from bisect import bisect_left
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_fast._checks import between

__all__ = [
    "highest",
    "minimum",
    "slide",
    "smooth",
    "steep",
    "suggest",
    "valley",
]

Floats = NDArray[np.float64]

# The constants of `highest`. What comes of them on twelve tasks:
# benchmarks/lr_find_regret.py.
_WIDTH = 0.5  # decades: standard deviation of the smoothing kernel
_PER_DECADE = 16  # updates: the speed of sweep to which `near` is brought
_CLEARLY = 4  # standard errors that a fall has to exceed
_FEWEST = 10  # updates that show a valley


def smooth(losses: ArrayLike, beta: float = 0.98) -> Floats:
    """Exponential moving average that starts unbiased.

    Args:
        losses: One loss per update.
        beta: Weight of the past, 0 or more and below 1.

    Returns:
        The averages. From the first NaN on they are NaN.

    Examples:
        >>> smooth([1.0, 2.0, 2.0], beta=0.5).round(3).tolist()
        [1.0, 1.667, 1.857]
    """
    beta = between("beta", beta, 0, 1)
    if beta == 1:
        raise ValueError(
            "`beta` must be below 1, or the average never moves. Pass 0.98, "
            f"or 0 for no smoothing. Received: beta={beta!r}"
        )
    smoothed = np.empty(np.shape(losses), np.float64)
    average, weight = 0.0, 0.0
    for i, loss in enumerate(np.asarray(losses, np.float64)):
        average = beta * average + (1 - beta) * loss
        weight = beta * weight + (1 - beta)
        smoothed[i] = average / weight
    return smoothed


def suggest(
    learning_rates: ArrayLike,
    losses: ArrayLike,
    num_steps: int | None = None,
) -> dict[str, float | None]:
    """Ask every rule, each on the curve that it was made for.

    `highest` reads the losses as they are. The four rules of fastai read
    them smoothed, without the first tenth of the sweep and its last five
    updates.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The loss of each update, not smoothed.
        num_steps: Length that the sweep was to have, if it stopped early.

    Returns:
        A rate or None for `highest`, `valley`, `slide`, `minimum`, `steep`.

    Examples:
        >>> rates = np.geomspace(1e-7, 10.0, 100)
        >>> curve = 1 + (np.log10(rates) + 2) ** 2
        >>> list(suggest(rates, curve))
        ['highest', 'valley', 'slide', 'minimum', 'steep']
    """
    rates, values = _checked(learning_rates, losses)
    begin = (len(rates) if num_steps is None else num_steps) // 10
    trimmed = rates[begin:-5], smooth(values)[begin:-5]
    return {
        "highest": highest(rates, values),
        "valley": valley(*trimmed),
        "slide": slide(*trimmed),
        "minimum": minimum(*trimmed),
        "steep": steep(*trimmed),
    }


def highest(learning_rates: ArrayLike, losses: ArrayLike) -> float | None:
    """The highest rate at which the loss is still clearly improving.

    Over the logarithm of the rate the loss forms a valley: it falls once the
    updates are large enough to matter, and rises where they break the model.
    Both sides are taken half-way down the fall, on a curve smoothed over a
    fixed width in decades and not in updates, so that its lag is the same for
    every length of sweep. The rate lies one third of the way from the near
    side to the far side: the loss still falls there, and the far side is a
    cliff to keep away from. A slower sweep makes more updates at each rate
    and comes down earlier in proportion, while the cliff stays where it is;
    the result is scaled to that of a sweep with 16 updates per decade.

    Losses above the level at the start count as that level. A fall that is
    small beside the noise of the losses is none.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The loss of each update, not smoothed.

    Returns:
        The rate, or None if the loss never clearly falls.

    Examples:
        >>> rates = np.geomspace(1e-7, 10.0, 100)
        >>> curve = np.minimum(2.0, 1 + np.abs(np.log10(rates) + 2))
        >>> round(highest(rates, curve), 4)
        0.0046
    """
    rates, values = _checked(learning_rates, losses)
    if len(rates) < _FEWEST:
        return None
    x = np.log10(rates)
    early = values[: max(len(values) // 4, 5)]
    capped = np.minimum(values, np.median(early))
    level, noise = capped[: len(early)].mean(), capped[: len(early)].std()
    grid = np.linspace(x[0], x[-1], 400)
    weights = _kernel(grid, x)
    curve = weights @ capped
    bottom = curve.argmin()
    fall = level - curve[bottom]
    error = noise * np.sqrt((weights[bottom] ** 2).sum() + 1 / len(early))
    if fall <= _CLEARLY * error or fall <= 1e-9 * abs(level):
        return None
    high = np.flatnonzero(curve > curve[bottom] + fall / 2)
    before, after = high[high < bottom], high[high > bottom]
    near = grid[before[-1]] if len(before) else grid[0]
    far = grid[after[0]] if len(after) else grid[-1]
    per_decade = (len(x) - 1) / (x[-1] - x[0])
    near += np.log10(per_decade / _PER_DECADE)
    rate = 10 ** ((2 * near + far) / 3)
    return float(np.clip(rate, rates[0], rates[-1]))


def valley(learning_rates: ArrayLike, losses: ArrayLike) -> float | None:
    """Half-way down the longest valley: fastai's default.

    The longest falling subsequence ends somewhere and has a length; the rate
    lies half-way through the updates of that number before its end.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The smoothed loss of each update.

    Returns:
        The rate, or None if the loss never falls.
    """
    rates, values = _checked(learning_rates, losses)
    if not _falls(values):
        return None
    tails: list[float] = []  # tails[k]: best last value of k + 1 falling ones
    end = length = 0
    for i, value in enumerate((-values).tolist()):
        place = bisect_left(tails, value)
        tails[place : place + 1] = [value]
        if place + 1 > length:
            end, length = i, place + 1
    third = length / 3
    index = end - length + int(third) + int(third / 2)
    return float(rates[max(index, 0)])


def slide(learning_rates: ArrayLike, losses: ArrayLike) -> float | None:
    """Where a window that slides left from the end meets an even slope.

    The window is 15 updates wide. It moves as long as the slopes at its ends
    differ by more than 0.005 a step.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The smoothed loss of each update.

    Returns:
        The rate at the window's left end, or None if the loss never falls.
    """
    rates, values = _checked(learning_rates, losses)
    width = 15
    if len(rates) <= width or not _falls(values):
        return None
    slopes = np.gradient(values)
    left = len(rates) - 1 - width
    found = rates[left]
    while left >= 0 and abs(slopes[left + width] - slopes[left]) > 0.005:
        found = rates[left]
        left -= 1
    return float(found)


def minimum(learning_rates: ArrayLike, losses: ArrayLike) -> float | None:
    """A tenth of the rate at which the loss is lowest.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The smoothed loss of each update.

    Returns:
        The rate, or None if no loss is below the first.
    """
    rates, values = _checked(learning_rates, losses)
    if not _falls(values) or values.argmin() == 0:
        return None
    return float(rates[values.argmin()] / 10)


def steep(learning_rates: ArrayLike, losses: ArrayLike) -> float | None:
    """Where the loss falls fastest on a logarithmic axis.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The smoothed loss of each update.

    Returns:
        The rate, or None if the loss never falls.
    """
    rates, values = _checked(learning_rates, losses)
    if not _falls(values):
        return None
    slopes = np.diff(values) / np.diff(np.log(rates))
    return float(rates[slopes.argmin()])


def _checked(rates: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
    """Both as float64, cut before the first loss that is not finite."""
    rates = np.asarray(rates, np.float64)
    losses = np.asarray(losses, np.float64)
    if rates.ndim != 1 or rates.shape != losses.shape:
        raise ValueError(
            "`learning_rates` and `losses` must be one-dimensional and "
            "equally long. Pass one of each for every update. Received: "
            f"learning_rates.shape={rates.shape}, losses.shape={losses.shape}"
        )
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise ValueError(
            "`learning_rates` must be finite and above 0. Pass those of the "
            f"sweep. Received: learning_rates={rates!r}"
        )
    if not (np.diff(rates) > 0).all():
        raise ValueError(
            "`learning_rates` must rise from update to update. Sort the "
            f"sweep by rate. Received: learning_rates={rates!r}"
        )
    broken = np.flatnonzero(~np.isfinite(losses))
    end = broken[0] if len(broken) else len(losses)
    return rates[:end], losses[:end]


def _kernel(at: Floats, x: Floats) -> Floats:
    """Weight of each x in the mean around each `at`, (at, x)."""
    width = max(_WIDTH, np.diff(x).max())
    weights = np.exp(-0.5 * ((x - at[:, None]) / width) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def _falls(losses: Floats) -> bool:
    return any(after < before for before, after in pairwise(losses))
