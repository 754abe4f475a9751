"""What kind of target does an image have, and how are both drawn?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_fast.plots._axes import COLORS, GREY
from keras_fast.plots.images import plot_images, shown_images
from keras_fast.plots.labels import class_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["kind_of", "plot_targets"]

# Images with fewer gray levels than this are rare.
MOST_CLASSES = 64
OPACITY = 0.6
# Side of an image, in inches.
SIDE = 2.3


def kind_of(targets: np.ndarray) -> str:
    """The kind of the targets of images.

    Args:
        targets: (n, ...).

    Returns:
        - `"mask"` for a class of each pixel: whole numbers (n, height, width),
          with or without an axis of length 1, or one-hot ones;
        - `"points"` for (n, num_points, 2);
        - `"image"` for other numbers (n, height, width) or in the shape of
          images;
        - `"label"` for anything else.
    """
    targets = np.asarray(targets)
    if targets.ndim not in (3, 4):
        return "label"
    if targets.ndim == 3 and targets.shape[-1] == 2:
        return "points"
    if targets.ndim == 3 and targets.dtype.kind in "biu":
        return "mask"
    flat = targets.ndim == 3 or targets.shape[-1] == 1
    if flat and _few_whole_numbers(targets):
        return "mask"
    if not flat and targets.shape[-1] > 1 and _is_one_hot(targets):
        return "mask"
    return "image"


def plot_targets(
    images: np.ndarray,
    columns: Mapping[str, np.ndarray | None],
    titles: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Draw each image with its masks or points, and images beside it.

    Args:
        images: (n, height, width, channels).
        columns: What to draw for each image, by its name, (n, ...); None for
            only the image. In masks class 0 is left clear. Points are in
            pixels, x and y; if those of the first column are all from -1 to 1,
            all are taken as relative to the image.
        titles: One for each image, drawn above its first column.
        class_names: Names of the classes of masks, for a legend.

    Returns:
        The Axes: (n,) of one column, else (n, columns).

    Examples:
        >>> images = np.zeros((2, 8, 8, 3))
        >>> masks = np.ones((2, 8, 8), int)
        >>> axes = plot_targets(images, {"actual": masks, "predicted": masks})
        >>> axes.shape, axes[0, 1].get_title()
        ((2, 2), 'predicted')
    """
    if len(columns) == 1:
        axes = plot_images(images, titles)
        grid = axes[:, None]
    else:
        grid = _grid(len(images), list(columns), titles)
        axes = grid
    relative = _are_relative(columns)
    masks = [_classes(x) for x in columns.values() if _kind(x) == "mask"]
    for column, values in zip(grid.T, columns.values(), strict=True):
        kind = _kind(values)
        pixels = images
        if kind == "image":
            pixels = np.asarray(values)
            pixels = pixels if pixels.ndim == 4 else pixels[..., None]
        for ax, image in zip(column, shown_images(pixels), strict=True):
            if not ax.get_images():
                ax.imshow(image, **_grey(image))
        if kind == "mask":
            for ax, mask in zip(column, _classes(values), strict=True):
                _draw_mask(ax, mask)
        if kind == "points":
            places = np.asarray(values, float)
            if relative:
                places = _in_pixels(places, images)
            for ax, points in zip(column, places, strict=True):
                _draw_points(ax, points)
    if masks:
        _add_legend(grid, masks, class_names)
    return axes


def _kind(values: np.ndarray | None) -> str | None:
    return None if values is None else kind_of(values)


def _few_whole_numbers(values: np.ndarray) -> bool:
    if values.dtype.kind == "f" and not np.array_equal(values, values.round()):
        return False
    return len(np.unique(values)) <= MOST_CLASSES


def _is_one_hot(values: np.ndarray) -> bool:
    return bool(
        np.isin(values, (0, 1)).all() and (values.sum(axis=-1) == 1).all()
    )


def _classes(masks: Any) -> np.ndarray:
    """The class of each pixel, (n, height, width)."""
    masks = np.asarray(masks)
    if masks.ndim == 4:
        one = masks.shape[-1] == 1
        masks = masks[..., 0] if one else masks.argmax(axis=-1)
    return masks.astype(int)


def _are_relative(columns: Mapping[str, np.ndarray | None]) -> bool:
    points = [np.asarray(x) for x in columns.values() if _kind(x) == "points"]
    return bool(points) and bool(np.abs(points[0]).max(initial=0) <= 1)


def _in_pixels(points: np.ndarray, images: np.ndarray) -> np.ndarray:
    height, width = shown_images(images[:1])[0].shape[:2]
    return (points + 1) / 2 * [width, height] - 0.5


def _draw_mask(ax: Axes, mask: np.ndarray) -> None:
    from matplotlib.colors import to_rgb

    colours = np.zeros((*mask.shape, 4))
    for number in np.unique(mask[mask != 0]):
        colours[mask == number] = (*to_rgb(_colour(number)), OPACITY)
    height, width = mask.shape
    extent = _extent(ax, width, height)
    ax.imshow(colours, interpolation="nearest", extent=extent)


def _extent(ax: Axes, width: int, height: int) -> Any:
    """The extent of the image, even if the mask has another size."""
    images = ax.get_images()
    return images[0].get_extent() if images else (0, width, height, 0)


def _colour(number: int) -> str:
    # 255 is usually the class that the loss ignores.
    usual = number > 0 and number != 255
    return COLORS[(number - 1) % len(COLORS)] if usual else GREY


def _draw_points(ax: Axes, points: np.ndarray) -> None:
    size, edge = (30, 0.5) if len(points) < 20 else (6, 0)
    ax.scatter(
        *points.T, s=size, color=COLORS[4], edgecolor="black", linewidth=edge
    )


def _add_legend(
    grid: np.ndarray, masks: list[np.ndarray], names: Sequence[str] | None
) -> None:
    from matplotlib.patches import Patch

    seen = sorted({int(v) for mask in masks for v in np.unique(mask)} - {0})
    handles = [
        Patch(color=_colour(v), alpha=OPACITY, label=class_name(v, names))
        for v in seen
    ]
    if handles and (names is not None or len(handles) > 1):
        grid.flat[0].figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(len(handles), 6),
            frameon=False,
            fontsize=9,
        )


def _grey(image: np.ndarray) -> dict[str, Any]:
    return {"cmap": "gray", "vmin": 0, "vmax": 1} if image.ndim == 2 else {}


def _grid(
    number: int, names: list[str], titles: Sequence[str] | None
) -> np.ndarray:
    """Axes (number, columns), with column titles."""
    from matplotlib import pyplot

    _, grid = pyplot.subplots(
        number,
        len(names),
        figsize=(SIDE * len(names), SIDE * number + 0.3),
        layout="constrained",
        squeeze=False,
    )
    for ax in grid.flat:
        ax.set_axis_off()
    for ax, name in zip(grid[0], names, strict=True):
        ax.set_title(name, fontsize=9)
    for ax, title in zip(grid[:, 0], titles or [], strict=False):
        ax.set_title(f"{ax.get_title()}\n{title}".strip(), fontsize=9)
    return grid
