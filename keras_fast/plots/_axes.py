"""What do all plots share? Axes, colors, a plain frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLORS", "GREY", "axes", "labelled"]

# Okabe and Ito's colors, distinguishable with every kind of color vision.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
GREY = "#bbbbbb"


def axes(ax: Axes | None, size: tuple[float, float] = (7, 4)) -> Axes:
    """These Axes, or new ones of this size in inches."""
    if ax is None:
        from matplotlib import pyplot

        _, ax = pyplot.subplots(figsize=size, layout="constrained")
    return ax


def labelled(ax: Axes, x: str, y: str, legend: bool = True) -> Axes:
    """Label both axes, and remove the clutter."""
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    if legend:
        ax.legend(frameon=False)
    return ax
