"""Which learning rate do fastai's four rules pick from a smoothed curve?

Functions of `(learning_rates, losses)`, one value per update of a sweep. Each
returns a rate, or None if the curve has no such point.
"""

from bisect import bisect_left
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["checked", "minimum", "slide", "steep", "valley"]

Floats = NDArray[np.float64]


def valley(learning_rates: ArrayLike, losses: ArrayLike) -> float | None:
    """Half-way down the longest valley: fastai's default.

    From the end of the longest falling subsequence, go back half as many
    updates as it has values.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The smoothed loss of each update.

    Returns:
        The rate, or None if the loss never falls.
    """
    rates, values = checked(learning_rates, losses)
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
    """Where a window sliding left from the end reaches an even slope.

    The window is 15 updates wide. It moves as long as the slopes at its ends
    differ by more than 0.005 per step.

    Args:
        learning_rates: The rate of each update, rising.
        losses: The smoothed loss of each update.

    Returns:
        The rate at the window's left end, or None if the loss never falls.
    """
    rates, values = checked(learning_rates, losses)
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
    rates, values = checked(learning_rates, losses)
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
    rates, values = checked(learning_rates, losses)
    if not _falls(values):
        return None
    slopes = np.diff(values) / np.diff(np.log(rates))
    return float(rates[slopes.argmin()])


def checked(rates: ArrayLike, losses: ArrayLike) -> tuple[Floats, Floats]:
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


def _falls(losses: Floats) -> bool:
    return any(after < before for before, after in pairwise(losses))
