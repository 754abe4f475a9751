"""What does a function of two numbers look like?"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["plot_landscape"]

# From dark to light, for every kind of color vision.
MAP = "viridis"
LEVELS = 16


def plot_landscape(losses: ArrayLike, steps: ArrayLike) -> np.ndarray:
    """Draw a loss as contours, and as a surface.

    Args:
        losses: (n, n): a row for each step in the first direction. Values that
            are not finite are left out.
        steps: (n,).

    Returns:
        The Axes, (2,): contours and surface.

    Examples:
        >>> steps = np.linspace(-1, 1, 5)
        >>> axes = plot_landscape(steps[:, None] ** 2 + steps**2, steps)
        >>> axes[1].get_zlabel()
        'loss'
    """
    from matplotlib import pyplot

    values = np.array(losses, float)
    values[~np.isfinite(values)] = np.nan
    steps = np.asarray(steps, float)
    low, high = np.nanmin(values), np.nanmax(values)
    logarithmic = low > 0 and high > 10 * low
    name = "loss (log scale)" if logarithmic else "loss"
    figure = pyplot.figure(figsize=(10, 4.2), layout="constrained")
    flat = figure.add_subplot(1, 2, 1)
    levels = (np.geomspace if logarithmic else np.linspace)(
        low, high if high > low else low + 1, LEVELS
    )
    norm = "log" if logarithmic else "linear"
    drawn = flat.contourf(steps, steps, values, levels, cmap=MAP, norm=norm)
    flat.contour(steps, steps, values, levels, colors="white", linewidths=0.4)
    flat.plot(0, 0, "o", color="white", markeredgecolor="black")
    flat.set_xlabel("second direction")
    flat.set_ylabel("first direction")
    flat.set_aspect("equal")
    shown = levels[:: LEVELS // 5]
    bar = figure.colorbar(drawn, ax=flat, ticks=shown, shrink=0.9)
    bar.ax.set_yticklabels([f"{level:.3g}" for level in shown])
    bar.ax.minorticks_off()
    bar.set_label(name)
    solid = figure.add_subplot(1, 2, 2, projection="3d")
    second, first = np.meshgrid(steps, steps)
    heights = np.log10(values) if logarithmic else values
    solid.plot_surface(second, first, heights, cmap=MAP, rstride=1, cstride=1)
    solid.set(xlabel="second direction", ylabel="first direction")
    solid.set_box_aspect(None, zoom=0.8)  # or the label is cut off
    solid.set_zlabel("log10 of the loss" if logarithmic else "loss")
    return np.array([flat, solid])
