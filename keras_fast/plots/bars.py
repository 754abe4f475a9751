"""How large is each of these, and how certain?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from keras_fast.plots._axes import COLORS, axes, labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_bars"]

# With more bars the names are too small to read.
MOST_BARS = 30


def plot_bars(
    names: Sequence[str],
    values: ArrayLike,
    spread: ArrayLike,
    label: str,
    ax: Axes | None = None,
) -> Axes:
    """Draw a horizontal bar for each value, the largest at the top.

    Args:
        names: One for each value. If there are more than 30, the 30 largest
            are drawn.
        values: (n,).
        spread: Uncertainty of each value, (n,), drawn as a line.
        label: Name of the values.
        ax: Axes to draw on; new ones if None.

    Returns:
        The Axes.

    Examples:
        >>> ax = plot_bars(["cut", "carat"], [1, 3], [0.2, 0.1], "increase")
        >>> [tick.get_text() for tick in ax.get_yticklabels()]
        ['carat', 'cut']
    """
    values, spread = np.asarray(values, float), np.asarray(spread, float)
    order = np.argsort(-values, kind="stable")[:MOST_BARS]
    places = np.arange(len(order))
    ax = axes(ax, (7, 1.2 + 0.28 * len(order)))
    ax.barh(
        places,
        values[order],
        xerr=spread[order],
        height=0.7,
        color=COLORS[0],
        error_kw={"capsize": 3, "elinewidth": 1.5, "ecolor": "black"},
    )
    ax.set_yticks(places, [names[i] for i in order], parse_math=False)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.axvline(0, color="black", lw=0.8)
    labelled(ax, label, "", legend=False)
    ax.grid(visible=False, axis="y")
    left_out = len(values) - len(order)
    if left_out:
        ax.set_title(f"the largest {len(order)} of {len(values)}", fontsize=10)
    return ax
