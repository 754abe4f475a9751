"""Where in feature maps does each point lie?"""

from typing import Any

import keras
from keras import ops

from keras_fast._checks import whole


@keras.saving.register_keras_serializable("keras_fast")
class SoftArgmax(keras.layers.Layer):
    """Points from feature maps of any size: where each map is highest, softly.

    Each place in the maps gives every point a score, and says how far from
    itself the point lies. The result is the mean of what all places say,
    weighted by the softmax of the scores. So a point may lie between places,
    and the layer has no weights that depend on the size of the maps.

    Args:
        num_points: Number of points.
        **kwargs: What every layer takes, as `name` and `dtype`.

    Call arguments:
        inputs: Maps (batch, height, width, 3 * num_points): scores, then
            distances in x, then in y, for each point, in units of half an
            image. Or a list of maps and the images, (batch, image_height,
            image_width, channels).

    Output shape:
        (batch, num_points, 2), float32: x and y. With images in their pixels,
        of which (0, 0) is the middle of the first; without them from -1 at the
        left or upper border to 1 at the other.

    Raises:
        ValueError: The maps don't have three channels for each point.
        TypeError: `num_points` is not a whole number.

    Examples:
        >>> maps = np.zeros((1, 2, 4, 3), "float32")
        >>> maps[0, 1, 3, 0] = 50  # the place in the lower right corner
        >>> points = keras_fast.layers.SoftArgmax(1)(maps)
        >>> keras.ops.convert_to_numpy(points).tolist()
        [[[0.75, 0.5]]]

    Reference:

    - [Sun et al., 2017](https://arxiv.org/abs/1711.08229)
    """

    def __init__(self, num_points: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_points = whole("num_points", num_points)

    def build(self, input_shape: Any) -> None:
        shape = _shapes(input_shape)[0]
        if len(shape) != 4 or shape[-1] != 3 * self.num_points:
            raise ValueError(
                "The maps must be (batch, height, width, 3 * num_points). Put "
                f"a convolution with {3 * self.num_points} filters before the "
                f"layer. Received: shape={shape}"
            )

    def call(self, inputs: Any) -> Any:
        maps, *images = inputs if isinstance(inputs, list | tuple) else [inputs]
        maps = ops.cast(maps, "float32")  # a softmax over many places
        shape: Any = ops.shape(maps)
        batch, height, width, _ = shape
        flat = (batch, height * width, self.num_points)
        parts: Any = ops.split(maps, 3, axis=-1)
        scores, right, down = (ops.reshape(part, flat) for part in parts)
        shares: Any = ops.softmax(scores, axis=1)
        # The middles of the places, row by row.
        x = ops.tile(_middles(width), [height])
        y = ops.repeat(_middles(height), width)
        points = [
            ops.sum(shares * (middle[:, None] + offset), axis=1)
            for middle, offset in ((x, right), (y, down))
        ]
        points: Any = ops.stack(points, axis=-1)
        return _in_pixels(points, images[0]) if images else points

    def compute_output_shape(self, input_shape: Any) -> Any:
        return _shapes(input_shape)[0][0], self.num_points, 2

    def compute_output_spec(self, inputs: Any) -> Any:
        shapes = keras.tree.map_structure(lambda x: tuple(x.shape), inputs)
        return keras.KerasTensor(self.compute_output_shape(shapes), "float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_points": self.num_points}


def _shapes(shape: Any) -> list[tuple[int | None, ...]]:
    nested = shape and isinstance(shape[0], list | tuple)
    return [tuple(each) for each in (shape if nested else [shape])]


def _middles(size: Any) -> Any:
    """Of so many places from -1 to 1."""
    places: Any = ops.cast(ops.arange(size), "float32")
    return (2 * places + 1) / ops.cast(size, "float32") - 1


def _in_pixels(points: Any, images: Any) -> Any:
    shape: Any = ops.shape(images)
    height, width = shape[1:3]
    sides: Any = ops.stack([ops.cast(v, "float32") for v in (width, height)])
    return (points + 1) * (sides / 2) - 0.5
