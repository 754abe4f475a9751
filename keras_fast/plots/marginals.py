"""How does an outcome depend on one of its inputs?

As in `plots`, nothing is shown, only drawn, and matplotlib is imported inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fast.plots._axes import COLORS, axes, labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["panels", "plot_curve"]

# Up to this many numbers each one is marked.
FEW = 10
# This many letters fit side by side below a panel.
LONGEST = 24


def panels(number: int) -> np.ndarray:
    """New Axes of one figure, four in a row, (number,)."""
    from matplotlib import pyplot

    columns = min(number, 4)
    rows = math.ceil(number / columns)
    figure, grid = pyplot.subplots(
        rows,
        columns,
        figsize=(3.2 * columns, 3.4 * rows),
        layout="constrained",
        squeeze=False,
    )
    for ax in grid.ravel()[number:]:
        figure.delaxes(ax)
    return grid.ravel()[:number]


def plot_curve(
    values: Sequence[Any],
    mean: np.ndarray,
    spread: np.ndarray,
    labels: tuple[str, str],
    ax: Axes | None = None,
) -> Axes:
    """Draw a mean with its spread at each value of an input.

    Numbers are drawn as a line, on a log axis if they span powers of ten.
    A further curve on the same Axes gets another color. Strings and booleans
    are drawn as points, and so is None among numbers.

    Args:
        values: Numbers in order, booleans or strings; None last.
        mean: The mean at each value, (points,).
        spread: A standard deviation at each value, (points,).
        labels: Labels of both axes.
        ax: Axes to draw on; new ones if None.

    Returns:
        The Axes.

    Examples:
        >>> rates = [0.001, 0.01, 0.1]
        >>> mean, spread = np.array([0.5, 0.3, 0.4]), np.full(3, 0.1)
        >>> ax = plot_curve(rates, mean, spread, ("lr", "val_loss"))
        >>> ax.get_xscale()
        'log'
    """
    ax = axes(ax)
    color = COLORS[len(ax.get_lines()) % len(COLORS)]
    if any(isinstance(value, str | bool) for value in values):
        places = np.arange(len(values))
        ax.errorbar(places, mean, spread, fmt="o", color=color, capsize=3)
        names = [str(value) for value in values]
        turned = len("".join(names)) > LONGEST
        ax.set_xticks(places, names, rotation=30 if turned else 0)
        ax.margins(x=0.2)
        return labelled(ax, *labels, legend=False)
    off = values.index(None) if None in values else len(values)
    numbers = np.array(values[:off], np.float64)
    low, high = (mean - spread)[:off], (mean + spread)[:off]
    marker = "o" if off <= FEW else None
    ax.plot(numbers, mean[:off], color=color, lw=2, marker=marker)
    ax.fill_between(numbers, low, high, color=color, alpha=0.2, lw=0)
    _spread_out(ax, numbers)
    for height in mean[off:]:
        ax.axhline(height, color=color, ls="--", label="None")
    return labelled(ax, *labels, legend=off < len(values))


def _spread_out(ax: Axes, numbers: np.ndarray) -> None:
    """Set a log axis for numbers of 0 or more that span powers of ten."""
    above = numbers[numbers > 0]
    if (numbers < 0).any() or not len(above):
        return
    low, middle, high = above[0], above[(len(above) - 1) // 2], above[-1]
    if high < 10 * low or middle > (low + high) / 4:
        return
    if len(above) == len(numbers):
        ax.set_xscale("log")
    else:  # linear from 0 to the lowest
        ax.set_xscale("symlog", linthresh=low)
