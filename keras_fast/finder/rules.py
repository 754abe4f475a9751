"""Where on this loss curve is a good learning rate?

Functions of `(learning_rates, losses)`, one value per update of a sweep. Each
returns a rate, or None if the curve has no such point: a made-up number is
worse than none. Values after the first loss that is not finite are ignored.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_fast._checks import between
from keras_fast.finder.fastai_rules import (
    checked,
    minimum,
    slide,
    steep,
    valley,
)

__all__ = [
    "highest",
    "minimum",
    "slide",
    "smooth",
    "steep",
    "suggest",
    "trained",
    "valley",
]

Floats = NDArray[np.float64]

# The constants of `highest`. Their results on sixteen tasks are in
# benchmarks/lr_find_regret.py.
_WIDTH = 0.5  # decades: standard deviation of the smoothing kernel
_PER_DECADE = 16  # updates: the speed of sweep to which `near` is scaled
_CLEARLY = 4  # standard errors that a fall must exceed
_FEWEST = 10  # updates that show a valley
# The constants of `trained`: benchmarks/fine_tuning_rate.py.
_NARROW = 0.25  # decades: a rise is steeper than a fall
_LEAST_RISE = 0.05  # of the level
_BELOW = 2.25  # times lower than where the rise is detected


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
    """Apply every rule, each to the curve that it was made for.

    `highest` and `trained` use the unsmoothed losses; `trained` is for models
    that are already trained. fastai's four rules use the smoothed losses,
    without the first tenth of the sweep and its last five updates.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The loss of each update, not smoothed.
        num_steps: Intended length of the sweep, if it stopped early.

    Returns:
        A rate or None for `highest`, `trained`, `valley`, `slide`, `minimum`
        and `steep`.

    Examples:
        >>> rates = np.geomspace(1e-7, 10.0, 100)
        >>> curve = 1 + (np.log10(rates) + 2) ** 2
        >>> list(suggest(rates, curve))
        ['highest', 'trained', 'valley', 'slide', 'minimum', 'steep']
    """
    rates, values = checked(learning_rates, losses)
    begin = (len(rates) if num_steps is None else num_steps) // 10
    trimmed = rates[begin:-5], smooth(values)[begin:-5]
    return {
        "highest": highest(rates, values),
        "trained": trained(rates, values),
        "valley": valley(*trimmed),
        "slide": slide(*trimmed),
        "minimum": minimum(*trimmed),
        "steep": steep(*trimmed),
    }


def highest(learning_rates: ArrayLike, losses: ArrayLike) -> float | None:
    """The highest rate at which the loss is still clearly improving.

    Over the logarithm of the rate the loss forms a valley: it falls once the
    updates are large enough to matter, and rises where they break the model.
    Its near side is where half of the fall is done, its far side where a
    quarter of it is lost again, on a curve smoothed over a fixed width in
    decades rather than in updates, so that its lag is the same for sweeps of
    any length. The rate lies half-way between them: the loss still falls there,
    and the far side is a cliff to avoid. A slower sweep makes more updates at
    each rate, so its loss falls at proportionally lower rates, while the cliff
    stays in place; the result is scaled to that of a sweep with 16 updates per
    decade.

    Losses above the level at the start count as that level. A fall that is
    small compared to the noise of the losses does not count.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The loss of each update, not smoothed.

    Returns:
        The rate, or None if the loss never clearly falls.

    Examples:
        >>> rates = np.geomspace(1e-7, 10.0, 100)
        >>> curve = np.minimum(2.0, 1 + np.abs(np.log10(rates) + 2))
        >>> round(highest(rates, curve), 4)
        0.0064
    """
    rates, values = checked(learning_rates, losses)
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
    before = np.flatnonzero(curve[:bottom] > curve[bottom] + fall / 2)
    after = np.flatnonzero(curve > curve[bottom] + fall / 4)
    after = after[after > bottom]
    near = grid[before[-1]] if len(before) else grid[0]
    far = grid[after[0]] if len(after) else grid[-1]
    per_decade = (len(x) - 1) / (x[-1] - x[0])
    near += np.log10(per_decade / _PER_DECADE)
    rate = 10 ** ((near + far) / 2)
    return float(np.clip(rate, rates[0], rates[-1]))


def trained(learning_rates: ArrayLike, losses: ArrayLike) -> float | None:
    """A safe distance below where the loss of a trained model clearly rises.

    For models that are already trained, or whose head is; a fresh model would
    break at this rate. A trained model gains nothing from a single update at
    any rate: its loss is flat, up to the rate that breaks it. That is where
    the curve, smoothed over a fixed width in decades, leaves the level of the
    first third for good. Smoothing shows a rise about half a decade before it
    happens, so 0.44 of that rate is a safe peak for further training.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The loss of each update, not smoothed.

    Returns:
        The rate, or None if the loss does not clearly rise.

    Examples:
        >>> rates = np.geomspace(1e-7, 10.0, 100)
        >>> curve = np.where(rates < 1e-3, 0.2, 2.0)
        >>> f"{trained(rates, curve):.0e}"
        '1e-04'
    """
    rates, values = checked(learning_rates, losses)
    if len(rates) < _FEWEST:
        return None
    x = np.log10(rates)
    early = values[: len(values) // 3]
    # From differences: a curve that rises from the start is not flat.
    level, noise = np.median(early), np.diff(early).std() / np.sqrt(2)
    grid = np.linspace(x[0], x[-1], 400)
    weights = _kernel(grid, x, _NARROW)
    error = noise * np.sqrt((weights**2).sum(axis=1) + 1 / len(early))
    clearly = np.maximum(_CLEARLY * error, _LEAST_RISE * abs(level))
    flat = weights @ values <= level + clearly
    if not flat.any() or flat[-1]:
        return None
    rise = grid[np.flatnonzero(flat)[-1]]
    if rise < x[len(early)]:
        return None
    return float(max(10**rise / _BELOW, rates[0]))


def _kernel(at: Floats, x: Floats, width: float = _WIDTH) -> Floats:
    """Weight of each x in the mean around each `at`, (at, x)."""
    width = max(width, np.diff(x).max())
    weights = np.exp(-0.5 * ((x - at[:, None]) / width) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)
