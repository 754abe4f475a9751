"""Where in feature maps does each point lie?"""

from typing import Any

import keras
from keras import ops

from keras_fast._checks import positive, whole


@keras.saving.register_keras_serializable("keras_fast")
class SoftArgmax(keras.layers.Layer):
    """Points from feature maps of any size: where each map is highest, softly.

    Each place in the maps gives every point a score, and says how far from
    itself the point lies. The result is the mean of what all places say,
    weighted by the softmax of the scores. So a point may lie between places,
    and the layer has no weights that depend on the size of the maps.

    Args:
        num_points: Number of points.
        stride: Pixels of the image from one place in the maps to the next, for
            points in pixels; None for shares of the image.
        **kwargs: What every layer takes, as `name` and `dtype`.

    Input shape:
        Maps (batch, height, width, 3 * num_points): for each point a score,
        then how far it lies to the right, then below, in places.

    Output shape:
        (batch, num_points, 2), float32: x and y. With `stride` in pixels, of
        which (0, 0) is the middle of the first. Without it from -1 at the left
        or upper border of the maps to 1 at the other.

    Raises:
        ValueError: The maps don't have three channels for each point, or
            `stride` is not positive.
        TypeError: `num_points` is not a whole number.

    Examples:
        >>> maps = np.zeros((1, 2, 4, 3), "float32")
        >>> maps[0, 1, 3, 0] = 50  # the place in the lower right corner
        >>> points = keras_fast.layers.SoftArgmax(1)(maps)
        >>> keras.ops.convert_to_numpy(points).tolist()
        [[[0.75, 0.5]]]
        >>> points = keras_fast.layers.SoftArgmax(1, stride=32)(maps)
        >>> keras.ops.convert_to_numpy(points).tolist()
        [[[111.5, 47.5]]]

    Reference:

    - [Sun et al., 2017](https://arxiv.org/abs/1711.08229)
    """

    def __init__(
        self, num_points: int, stride: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.num_points = whole("num_points", num_points)
        self.stride = None if stride is None else positive("stride", stride)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 4 or input_shape[-1] != 3 * self.num_points:
            raise ValueError(
                "The maps must be (batch, height, width, 3 * num_points). Put "
                f"a convolution with {3 * self.num_points} filters before the "
                f"layer. Received: shape={tuple(input_shape)}"
            )

    def call(self, inputs: Any) -> Any:
        maps = ops.cast(inputs, "float32")  # a softmax over many places
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
            self._scaled(
                ops.sum(shares * (middle[:, None] + offset), axis=1), size
            )
            for middle, offset, size in ((x, right, width), (y, down, height))
        ]
        return ops.stack(points, axis=-1)

    def _scaled(self, places: Any, size: Any) -> Any:
        if self.stride is None:
            return 2 * places / ops.cast(size, "float32") - 1
        return self.stride * places - 0.5

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[0], self.num_points, 2

    def compute_output_spec(self, inputs: Any) -> Any:
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, "float32")

    def get_config(self) -> dict[str, Any]:
        config = {"num_points": self.num_points, "stride": self.stride}
        return {**super().get_config(), **config}


def _middles(number: Any) -> Any:
    places: Any = ops.arange(number, dtype="float32")
    return places + 0.5
