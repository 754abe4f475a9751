"""Where do these words lie, and what are they?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from keras_fast.plots._axes import COLORS, GREY, axes, labelled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_words"]

MOST_LABELS = 40
LONGEST = 28
# This many fit in smaller axes.
FEW = 16
# Between a dot and its label, in points.
GAP = np.array([5, 3])
# Positions of a label beside its dot, in order of preference.
SIDES = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]


def plot_words(
    points: ArrayLike,
    words: Sequence[str],
    names: tuple[str, str],
    ax: Axes | None = None,
) -> Axes:
    """Draw a dot for each word, and write the word beside it.

    Args:
        points: (n, 2).
        words: One for each point, the most important first: up to 40 of them
            are written. A label that does not fit is left out.
        names: Names of the two axes.
        ax: Axes to draw on; new ones if None.

    Returns:
        The Axes.

    Examples:
        >>> ax = plot_words([[0, 0], [1, 2]], ["Fair", "Ideal"], ("1st", "2nd"))
        >>> [text.get_text() for text in ax.texts]
        ['Fair', 'Ideal']
    """
    points = np.asarray(points, float)
    ax = axes(ax, (8, 5) if len(points) <= FEW else (10, 7))
    ax.margins(0.12)
    ax.scatter(*points.T, s=8, color=GREY, linewidths=0)
    labelled(ax, *names, legend=False)
    written = _write(ax, points[:MOST_LABELS], [_short(word) for word in words])
    # Above the backgrounds of labels.
    ax.scatter(*points[written].T, s=26, color=COLORS[0], lw=0, zorder=4)
    return ax


def _write(ax: Axes, points: np.ndarray, words: Sequence[str]) -> list[int]:
    """Write each word beside its point, unless it would overlap another.

    Returns:
        Indices of the written words.
    """
    # Lay out the axes, so that points have pixel positions.
    ax.figure.canvas.figure.draw_without_rendering()
    scale = ax.figure.dpi / 72  # pixels per point
    pixels = ax.transData.transform(points)
    taken = np.hstack([pixels - 3 * scale, pixels + 3 * scale])
    frame = np.array(ax.get_window_extent().extents)
    written = []
    for i, (point, pixel) in enumerate(zip(points, pixels, strict=True)):
        text: Any = ax.annotate(
            words[i],
            point,
            (0, 0),
            textcoords="offset points",
            va="bottom",
            parse_math=False,
            fontsize=9,
            zorder=3,
            bbox={"pad": 0.5, "color": "white", "alpha": 0.6},
        )
        size = np.array(text.get_window_extent().size)
        for side in np.array(SIDES):
            # From the dot to the label's lower left corner.
            offset = side * GAP * scale + (side - 1) / 2 * size
            box = np.concatenate([pixel + offset, pixel + offset + size])
            if _inside(box, frame) and not _meets(box, taken).any():
                text.set_position(tuple(offset / scale))
                taken = np.vstack([taken, box])
                written.append(i)
                break
        else:
            text.remove()
    return written


def _inside(box: np.ndarray, frame: np.ndarray) -> bool:
    return bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())


def _meets(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Which of the boxes, (n, 4) with the lower left corner first, it meets."""
    low, high = others[:, :2], others[:, 2:]
    return np.all((box[:2] < high) & (box[2:] > low), axis=1)


def _short(word: str) -> str:
    return word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…"
