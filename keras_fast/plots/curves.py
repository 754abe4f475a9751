"""What does this array look like?

Each function draws on the Axes it is given, or on new ones, and returns
them. None shows a window. matplotlib is imported inside, so that the library
works without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from keras_fast.finder.rules import Floats, smooth
from keras_fast.plots._axes import COLORS, axes, labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_losses", "plot_lr_find", "plot_schedule"]

_MARKERS = "osD^vP"


def plot_lr_find(
    learning_rates: ArrayLike,
    losses: ArrayLike,
    smoothed: ArrayLike,
    suggestions: Mapping[str, float | None],
    ax: Axes | None = None,
    skip: tuple[int, int] = (10, 5),
) -> Axes:
    """Draw a sweep of the learning rate and the rates suggested from it.

    Args:
        learning_rates: The rate of each update.
        losses: The loss of each update, drawn faintly.
        smoothed: The smoothed loss of each update, drawn strongly.
        suggestions: A rate or None for each rule; the first that is not None
            is the default one and is highlighted.
        ax: Axes to draw on; new ones if None.
        skip: How many updates to leave out at the start and, if the loss has
            exploded, at the end. A sweep that is too short is drawn whole, and
            the suggested rates are always included.

    Returns:
        The Axes.

    Examples:
        >>> rates = np.geomspace(1e-7, 10.0, 100)
        >>> losses = 1 + (np.log10(rates) + 2) ** 2
        >>> ax = plot_lr_find(rates, losses, losses, {"minimum": 1e-3})
        >>> ax.get_xlabel()
        'learning rate (log scale)'
    """
    rates, losses, smoothed = _floats(learning_rates, losses, smoothed)
    found = {name: rate for name, rate in suggestions.items() if rate}
    drawn = _drawn(rates, list(found.values()), skip)
    rates, losses, smoothed = rates[drawn], losses[drawn], smoothed[drawn]
    ax = axes(ax)
    ax.set_xscale("log")
    dot = "o" if len(rates) == 1 else None
    ax.plot(rates, losses, c="#bbb", lw=1, marker=dot, label="each update")
    ax.plot(rates, smoothed, c="#000", lw=2, marker=dot, label="smoothed")
    for i, (name, rate) in enumerate(found.items()):
        ax.plot(
            rate,
            _height(rate, rates, smoothed),
            linestyle="none",
            marker=_MARKERS[i % len(_MARKERS)],
            color=COLORS[i % len(COLORS)],
            markersize=11 if i == 0 else 7,
            markeredgecolor="white",
            label=f"{name}: {rate:.1e}",
            zorder=3 if i == 0 else 4,  # behind the others
        )
        if i == 0:
            ax.axvline(rate, color=COLORS[0], lw=1.2, ls="--", zorder=1)
    _limit(ax, losses, smoothed)
    return labelled(ax, "learning rate (log scale)", "training loss")


def plot_schedule(
    curves: Mapping[str, ArrayLike], ax: Axes | None = None
) -> Axes:
    """Draw the values of a schedule for each update.

    Args:
        curves: The values of each hyperparameter by name, one per update. The
            first, usually `learning_rate`, is drawn on `ax`; the others get a
            second scale on its right.
        ax: Axes to draw on; new ones if None.

    Returns:
        The Axes of the first curve.

    Examples:
        >>> ax = plot_schedule({"learning_rate": [0.1, 1.0, 0.1]})
        >>> ax.get_ylabel()
        'learning rate'
    """
    ax = axes(ax)
    other = ax.twinx() if len(curves) > 1 else ax
    for i, (name, values) in enumerate(curves.items()):
        (values,) = _floats(values)
        (ax if i == 0 else other).plot(
            values,
            color=COLORS[i % len(COLORS)],
            ls="--" if i else "-",
            marker="o" if len(values) == 1 else None,
            lw=2,
            label=name.replace("_", " "),
        )
    names = [name.replace("_", " ") for name in curves]
    if other is not ax:
        other.set_ylabel(", ".join(names[1:]))
        other.spines["top"].set_visible(False)
        lines = ax.get_lines() + other.get_lines()
        ax.legend(
            lines,
            names,
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=len(names),
            frameon=False,
        )
    return labelled(ax, "update", names[0] if names else "", legend=False)


def plot_losses(
    losses: Mapping[str, ArrayLike] | ArrayLike,
    ax: Axes | None = None,
    smoothing: float = 0.98,
) -> Axes:
    """Draw the training loss of each update.

    Args:
        losses: One loss per update, or several such runs by their labels.
        ax: Axes to draw on; new ones if None.
        smoothing: Weight of the past in the moving average drawn strongly over
            the faint losses; 0 draws only the losses.

    Returns:
        The Axes.

    Examples:
        >>> ax = plot_losses({"1cycle": [2.0, 1.0], "constant": [2.0, 1.5]})
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['1cycle', 'constant']
    """
    runs = losses if isinstance(losses, Mapping) else {"": losses}
    ax = axes(ax)
    for i, (label, run) in enumerate(runs.items()):
        (values,) = _floats(run)
        color = COLORS[i % len(COLORS)]
        marker = "o" if len(values) == 1 else None
        if smoothing:
            ax.plot(values, color=color, alpha=0.25, lw=1)
            values = smooth(values, smoothing)
        ax.plot(values, color=color, lw=2, marker=marker, label=label)
    return labelled(ax, "update", "training loss", legend="" not in runs)


def _floats(*arrays: ArrayLike) -> tuple[Floats, ...]:
    """Each as float64; inf becomes NaN, which matplotlib leaves out."""
    floats = [np.array(array, np.float64).reshape(-1) for array in arrays]
    for array in floats:
        array[~np.isfinite(array)] = np.nan
    return tuple(floats)


def _drawn(
    rates: np.ndarray, suggested: list[float], skip: tuple[int, int]
) -> slice:
    if len(rates) <= sum(skip):
        return slice(None)
    places = np.searchsorted(rates, suggested).tolist()
    ends = [place + 1 for place in places]
    return slice(min([skip[0], *places]), max([len(rates) - skip[1], *ends]))


def _height(rate: float, rates: np.ndarray, smoothed: np.ndarray) -> float:
    known = np.isfinite(smoothed)
    if not known.any():
        return 0.0
    return float(np.interp(rate, rates[known], smoothed[known]))


def _limit(ax: Axes, losses: np.ndarray, smoothed: np.ndarray) -> None:
    """End at the smoothed curve's top: single losses may be huge."""
    if np.isfinite(smoothed).any():
        low, high = np.nanmin([losses, smoothed]), np.nanmax(smoothed)
        margin = 0.08 * (high - low) or 0.1 * abs(high) or 1.0
        ax.set_ylim(low - margin, high + margin)
