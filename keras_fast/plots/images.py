"""What do these images look like?

As in `plots`, nothing is shown, only drawn, and matplotlib is imported inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "one_image_each",
    "plot_matrix",
    "plot_images",
    "plot_matrices",
    "shown_images",
]

# One from light to dark, one from dark to light: distinguishable with every
# kind of color vision, and in grayscale print.
COUNT_COLORS = "Blues"
HEAT_COLORS = "plasma"
# Per side; more would overlap.
MOST_NUMBERS = 20
MOST_NAMES = 40


def plot_images(
    images: ArrayLike,
    titles: Sequence[str] | None = None,
    heatmaps: ArrayLike | None = None,
) -> np.ndarray:
    """Draw images side by side, each with a title.

    Args:
        images: (n, height, width, channels) with one channel, three, or four
            with transparency, or (n, channels, height, width) likewise; with
            any other number the first channel is drawn. Integers range from 0
            to 255, or to 65535 if any is above 255; floats from 0 to 1, or to
            255 if any is above 2. If any value is negative, images range from
            the lowest to the highest of all values.
        titles: One for each.
        heatmaps: From 0 to 1, (n, height, width), drawn over the images.

    Returns:
        The Axes, (n,).

    Examples:
        >>> images = np.random.default_rng(0).uniform(size=(3, 8, 8, 3))
        >>> axes = plot_images(images, ["cat", "dog", "cat"])
        >>> [ax.get_title() for ax in axes]
        ['cat', 'dog', 'cat']
    """
    shown = shown_images(np.asarray(images))
    lines = max((title.count("\n") + 1 for title in titles or []), default=0)
    axes = _grid(len(shown), 0.2 * lines)
    for i, image in enumerate(shown):
        grey = {"cmap": "gray", "vmin": 0, "vmax": 1}
        axes[i].imshow(image, **grey if image.ndim == 2 else {})
        if titles is not None:
            axes[i].set_title(titles[i], fontsize=9)
    if heatmaps is not None:
        for ax, heat in zip(axes, np.asarray(heatmaps), strict=True):
            # Where the heat is low the image shows through.
            opacity = 0.75 * np.clip(heat, 0, 1)
            ax.imshow(heat, cmap=HEAT_COLORS, vmin=0, vmax=1, alpha=opacity)
    return axes


def plot_matrix(
    matrix: ArrayLike,
    class_names: Sequence[str] | None = None,
    normalize: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw a confusion matrix, true classes from top to bottom.

    Args:
        matrix: Counts, (classes, classes).
        class_names: Names of the classes; their numbers if None.
        normalize: Whether to draw the shares of each true class.
        ax: Axes to draw on; new ones if None.

    Returns:
        The Axes.

    Examples:
        >>> ax = plot_matrix([[8, 2], [1, 9]], ["cat", "dog"])
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('predicted', 'actual')
    """
    values = np.asarray(matrix)
    size = len(values)
    if normalize:
        totals = values.sum(axis=1, keepdims=True)
        values = values / np.where(totals, totals, 1)
    if ax is None:
        from matplotlib import pyplot

        side = min(3 + 0.45 * size, 14)
        _, ax = pyplot.subplots(figsize=(side + 1, side), layout="constrained")
    highest = 1 if normalize else max(values.max(initial=0), 1)
    image = ax.imshow(values, cmap=COUNT_COLORS, vmin=0, vmax=highest)
    bar = ax.figure.colorbar(
        image, ax=ax, shrink=0.8, format="{x:.0%}" if normalize else None
    )
    bar.set_label("share of the true class" if normalize else "samples")
    _name_classes(ax, class_names or [str(i) for i in range(size)])
    if size <= MOST_NUMBERS:
        _write_counts(ax, values, highest, normalize)
    return ax


def plot_matrices(matrices: ArrayLike, names: Sequence[str]) -> np.ndarray:
    """Draw a confusion matrix of two classes for each label.

    Args:
        matrices: Counts, (labels, 2, 2).
        names: Names of the labels.

    Returns:
        The Axes, (labels,).

    Examples:
        >>> axes = plot_matrices([[[8, 2], [1, 9]]], ["cat"])
        >>> axes[0].get_title()
        'cat'
    """
    values = np.asarray(matrices)
    axes = _grid(len(values), 0.4)
    for ax, matrix, name in zip(axes, values, names, strict=True):
        ax.set_axis_on()
        ax.imshow(matrix, cmap=COUNT_COLORS, vmin=0, vmax=matrix.max())
        _write_counts(ax, matrix, matrix.max())
        _name_classes(ax, ["no", "yes"])
        ax.set_title(name, fontsize=9)
    return axes


def one_image_each(inputs: Any) -> np.ndarray:
    """The only array of images among a model's inputs, in either layout.

    Raises:
        ValueError: There is none, or more than one.
    """
    arrays = inputs
    if isinstance(inputs, dict):
        arrays = list(inputs.values())
    elif not isinstance(inputs, list | tuple):
        arrays = [inputs]
    found = [array for array in arrays if np.ndim(array) == 4]
    if len(found) == 1:
        return found[0]
    raise ValueError(
        "The inputs must be images, (n, height, width, channels), to be "
        "drawn. Draw what else they are yourself. Received: inputs of shape "
        f"{[np.shape(array) for array in arrays]}"
    )


def shown_images(images: np.ndarray) -> list[np.ndarray]:
    """Images for matplotlib: floats from 0 to 1, grayscale or in color."""
    floats = np.nan_to_num(_channels_last(images).astype(np.float32))
    # Integers may be of any type. Resizing pushes floats slightly beyond 1.
    usual, large = (255, 65535) if images.dtype.kind in "iu" else (1, 255)
    low, high = floats.min(initial=0), usual
    if low < 0:
        high = floats.max()
    elif floats.max(initial=0) > max(usual, 2):
        high = large
    floats = np.clip((floats - low) / ((high - low) or 1), 0, 1)
    channels = slice(None) if floats.shape[-1] in (3, 4) else 0
    return [image[..., channels] for image in floats]


def _channels_last(images: np.ndarray) -> np.ndarray:
    """The images with channels last, whichever axis they are on."""
    _, first, height, last = images.shape
    usual = (1, 3, 4)
    if last in usual or first not in usual or first >= min(height, last):
        return images
    return np.moveaxis(images, 1, -1)


def _grid(number: int, title: float) -> np.ndarray:
    """Axes for images with titles of this height in inches, (number,)."""
    from matplotlib import pyplot

    columns = min(math.ceil(math.sqrt(number)), 5) or 1
    rows = math.ceil(number / columns) or 1
    _, grid = pyplot.subplots(
        rows,
        columns,
        figsize=(2.3 * columns, (2.1 + title) * rows),
        layout="constrained",
        squeeze=False,
    )
    for ax in grid.ravel():
        ax.set_axis_off()
    return grid.ravel()[:number]


def _write_counts(
    ax: Axes, values: np.ndarray, highest: float, shares: bool = False
) -> None:
    for row, column in np.ndindex(values.shape):
        value = values[row, column]
        ax.text(
            column,
            row,
            f"{value:.0%}" if shares else f"{value}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if value > 0.6 * highest else "black",
        )


def _name_classes(ax: Axes, names: Sequence[str]) -> None:
    ticks = range(0, len(names), math.ceil(len(names) / MOST_NAMES) or 1)
    shown = [names[i] for i in ticks]
    turned = len(shown) > 4 or max(map(len, shown), default=0) > 8
    ax.set_xticks(ticks, shown)
    if turned:
        for label in ax.get_xticklabels():
            label.set(rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(ticks, shown)
    ax.set_xlabel("predicted")
    ax.set_ylabel("actual")
