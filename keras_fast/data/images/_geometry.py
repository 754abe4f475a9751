"""Where does each pixel go, and how bright does it become?

`ops` is a module with the operations of a backend: in `tf.data` that is
TensorFlow, whatever backend Keras uses. A matrix is three rows of three
numbers, each a tensor (batch,) or a float, and maps the position a pixel goes
to to the position it comes from.
"""

import math
from typing import Any

__all__ = [
    "Matrix",
    "compose",
    "in_pixels",
    "move_points",
    "relight",
    "resample",
    "rotation",
    "sides",
    "warp",
    "weights_inside",
]

Matrix = list[list[Any]]
# Black and white have no finite logit.
EPSILON = 1e-7


def sides(ops: Any, images: Any) -> tuple[Any, Any]:
    """Height and width to compute with: numbers, or tensors of float32."""
    height, width = (
        size if isinstance(size, int) else ops.cast(size, "float32")
        for size in ops.shape(images)[1:3]
    )
    return height, width


def compose(*matrices: Matrix) -> Matrix:
    """The product. Sums are exact where a matrix product may not be."""
    product, *others = matrices
    for other in others:
        product = [
            [
                sum(a * b for a, b in zip(row, column, strict=True))
                for column in zip(*other, strict=True)
            ]
            for row in product
        ]
    return product


def rotation(ops: Any, degrees: Any, aspect: float) -> Matrix:
    """A rotation of pixels, if width and height both range from -1 to 1."""
    angle = degrees * (math.pi / 180)
    sine, cosine = ops.numpy.sin(angle), ops.numpy.cos(angle)
    return [
        [cosine, -sine / aspect, 0.0],
        [sine * aspect, cosine, 0.0],
        [0.0, 0.0, 1.0],
    ]


def warp(x: Any, y: Any) -> Matrix:
    """The perspective that takes a corner (i, j) to (i - ijy, j - ijx)."""
    return [
        [1 - y * y, -x * y, x],
        [-x * y, 1 - x * x, y],
        [x, y, 1.0],
    ]


def in_pixels(matrix: Matrix, height: int, width: int) -> Matrix:
    """Convert a matrix from coordinates of -1 to 1 to pixels.

    A mirror image stays exact: its offset is `width - 1` and nothing else.
    """
    half = (width / 2, height / 2, 1.0)
    scaled = [
        [value * (half[i] / half[j]) for j, value in enumerate(row)]
        for i, row in enumerate(matrix)
    ]
    x, y = (width - 1) / 2, (height - 1) / 2
    to_centre = [[1.0, 0.0, -x], [0.0, 1.0, -y], [0.0, 0.0, 1.0]]
    back = [[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]]
    return compose(back, scaled, to_centre)


def resample(ops: Any, images: Any, matrix: Any, nearest: bool) -> Any:
    """Return the pixels a matrix points at, reflected at the borders.

    Args:
        ops: The backend.
        images: Images (batch, height, width, channels).
        matrix: The matrix, in pixels.
        nearest: Whether to take one pixel, or the weighted mean of four.
    """
    batch, height, width, channels = ops.shape(images)
    column = ops.numpy.arange(width, dtype="float32")[None, None, :]
    row = ops.numpy.arange(height, dtype="float32")[None, :, None]
    x, y, z = (
        a[:, None, None] * column + b[:, None, None] * row + c[:, None, None]
        for a, b, c in matrix
    )
    tall, wide = sides(ops, images)
    x = _reflect(ops, x / z, wide)
    y = _reflect(ops, y / z, tall)
    flat = ops.numpy.reshape(images, (batch * height * width, channels))
    first = ops.numpy.arange(batch, dtype="int32")[:, None, None]
    first = first * (height * width)
    if nearest:
        x, y = (ops.cast(ops.numpy.floor(v + 0.5), "int32") for v in (x, y))
        return ops.numpy.take(flat, first + y * width + x, axis=0)
    most = ops.numpy.maximum
    left = ops.numpy.floor(ops.numpy.minimum(x, most(wide - 2, 0)))
    top = ops.numpy.floor(ops.numpy.minimum(y, most(tall - 2, 0)))
    x, y = (x - left)[..., None], (y - top)[..., None]
    # One index for all four: XLA computes it once.
    corner = first + ops.cast(top * wide + left, "int32")
    least = ops.numpy.minimum
    right, below = least(width - 1, 1), least(height - 1, 1) * width
    rows = []
    for step in (0, below):
        pixel = ops.numpy.take(flat, corner + step, axis=0)
        other = ops.numpy.take(flat, corner + (step + right), axis=0)
        rows.append((1 - x) * pixel + x * other)
    return (1 - y) * rows[0] + y * rows[1]


def _reflect(ops: Any, position: Any, size: int) -> Any:
    """Reflect positions into the image; the outermost pixels occur twice."""
    position = size - ops.numpy.abs(size - ops.numpy.abs(position + 0.5))
    return ops.numpy.clip(position - 0.5, 0, size - 1)


def move_points(ops: Any, points: Any, matrix: Matrix) -> Any:
    """Where points go, (batch, ..., 2): the matrix maps back."""
    (a, b, c), (d, e, f), (g, h, i) = matrix
    # The inverse up to a factor, which the division removes.
    inverse = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    x, y = points[..., 0], points[..., 1]
    each = (slice(None), *[None] * (len(points.shape) - 2))
    moved = [p[each] * x + q[each] * y + r[each] for p, q, r in inverse]
    return ops.numpy.stack([v / moved[2] for v in moved[:2]], axis=-1)


def weights_inside(
    ops: Any, points: Any, height: Any, width: Any
) -> tuple[Any, Any]:
    """The points, finite; and 1 for each that is in the image, else 0."""
    known = ops.numpy.logical_not(ops.numpy.isnan(points))
    finite = ops.numpy.where(known, points, 0.0)
    last = ops.numpy.stack([ops.cast(v, "float32") for v in (width, height)])
    inside = ops.numpy.logical_and(points >= -0.5, points <= last - 0.5)
    return finite, ops.cast(ops.numpy.all(inside, axis=-1), "float32")


def relight(ops: Any, images: Any, brightness: Any, contrast: Any) -> Any:
    """Shift and stretch the logits of pixels from 0 to 255.

    Args:
        ops: The backend.
        images: Images (batch, height, width, channels).
        brightness: Offset of the logits, (batch,); 0 for none.
        contrast: Factor of the logits, (batch,); 1 for none.
    """
    brightness, contrast = (
        v[:, None, None, None] for v in (brightness, contrast)
    )
    share = ops.numpy.clip(images / 255, EPSILON, 1 - EPSILON)
    logit = ops.numpy.log(share / (1 - share))
    lit = 255 * ops.nn.sigmoid(contrast * (logit + brightness))
    unlit = ops.numpy.logical_and(brightness == 0, contrast == 1)
    return ops.numpy.where(unlit, images, lit)
