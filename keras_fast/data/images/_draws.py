"""What do random numbers do to an image?

`ops` is a module with the operations of a backend, as in `_geometry`.
"""

import math
from typing import Any, NamedTuple

from keras_fast.data.images._geometry import (
    Matrix,
    compose,
    in_pixels,
    rotation,
    warp,
)

__all__ = ["DRAWS", "Limits", "lighting_of", "matrix_of"]

# Random numbers per image: 3 for its side, 2 each for angle and zoom, 2 for
# the zoom's center, 2 each for two warps, brightness and contrast.
DRAWS = 17


class Limits(NamedTuple):
    """The arguments of `AugTransforms`."""

    rotate: float
    zoom: float
    warp: float
    lighting: float
    flip: str | None
    p: float

    @property
    def move(self) -> bool:
        """Whether pixels move at all."""
        return bool(self.flip or self.rotate or self.warp or self.zoom > 1)


def matrix_of(
    ops: Any, drawn: Any, limits: Limits, height: Any, width: Any
) -> Matrix:
    """Zoom, rotate, flip, warp, in fastai's order. In pixels."""
    draws = _columns(drawn)
    aspect = width / height
    flip = _side(ops, draws[:3], limits.flip, aspect)
    angle = _chance(ops, draws[3:5], limits, limits.rotate)
    rotate = rotation(ops, angle, aspect)
    zoom = 1 + (limits.zoom - 1) * draws[5]
    size = ops.numpy.where(draws[6] < limits.p, 1 / zoom, 1.0)
    x, y = ((1 - size) * (2 * centre - 1) for centre in draws[7:9])
    zoomed = [[size, 0.0, x], [0.0, size, y], [0.0, 0.0, 1.0]]
    warped = warp(
        _chance(ops, draws[9:11], limits, limits.warp),
        _chance(ops, draws[11:13], limits, limits.warp),
    )
    matrix = compose(warped, flip, rotate, zoomed)
    return in_pixels(matrix, height, width)


def lighting_of(ops: Any, drawn: Any, limits: Limits) -> tuple[Any, Any]:
    """The offset and the factor for the logits of pixels."""
    draws = _columns(drawn)
    change = _chance(ops, draws[13:15], limits, limits.lighting)
    brightness = ops.numpy.log((1 + change) / (1 - change))
    stretch = -math.log(1 - limits.lighting)
    contrast = ops.numpy.exp(_chance(ops, draws[15:17], limits, stretch))
    return brightness, contrast


def _columns(drawn: Any) -> list[Any]:
    return [drawn[:, i] for i in range(DRAWS)]


def _side(ops: Any, draws: Any, flip: str | None, aspect: Any) -> Matrix:
    one = ops.numpy.ones_like(draws[0])
    x, y, turned = (ops.numpy.where(draw < 0.5, -one, one) for draw in draws)
    if flip is None:
        x = one
    if flip != "dihedral":
        y, turned = one, one
    keep, turn = (1 + turned) / 2, (1 - turned) / 2
    return [
        [x * keep, x * turn / aspect, 0.0],
        [y * turn * aspect, y * keep, 0.0],
        [0.0, 0.0, 1.0],
    ]


def _chance(ops: Any, draws: Any, limits: Limits, most: float) -> Any:
    """A number from -most to most with probability p, else 0."""
    value, chance = draws
    return ops.numpy.where(chance < limits.p, most * (2 * value - 1), 0.0)
