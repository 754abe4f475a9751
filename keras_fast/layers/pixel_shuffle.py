"""Channels that become pixels."""

from typing import Any

import keras

from keras_fast._checks import whole


@keras.saving.register_keras_serializable("keras_fast")
class PixelShuffle(keras.layers.Layer):
    """Rearranges channels into pixels: images become `scale` times as large.

    After a 1 x 1 convolution it is a learned upsampling without the overlap of
    a transposed convolution, which shows as a checkerboard. Initialize the
    convolution with `ICNR`, and the first images have no checkerboard either.

    Args:
        scale: How many times higher and wider the output is.
        **kwargs: Arguments of every layer, such as `name` and `dtype`.

    Input shape:
        (batch, height, width, scale ** 2 * channels)

    Output shape:
        (batch, scale * height, scale * width, channels)

    Raises:
        ValueError: `scale` is below 1, or the channels can't be divided.
        TypeError: `scale` is not a whole number.

    Examples:
        >>> layer = keras_fast.layers.PixelShuffle(2)
        >>> x = np.arange(4.0).reshape(1, 1, 1, 4)
        >>> keras.ops.convert_to_numpy(layer(x))[0, ..., 0].tolist()
        [[0.0, 1.0], [2.0, 3.0]]

    Reference:

    - [Shi et al., 2016](https://arxiv.org/abs/1609.05158)
    """

    def __init__(self, scale: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = whole("scale", scale)

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 4 or input_shape[-1] % self.scale**2:
            raise ValueError(
                "The input must be feature maps (batch, height, width, "
                f"channels) with a multiple of {self.scale**2} channels. Give "
                "the layer before it `scale ** 2` times the filters. "
                f"Received: input_shape={tuple(input_shape)}, "
                f"scale={self.scale}"
            )

    def call(self, inputs: Any) -> Any:
        # Older versions of Keras have no `ops.depth_to_space`.
        shape: Any = keras.ops.shape(inputs)
        _, height, width, _ = shape
        channels = inputs.shape[-1] // self.scale**2
        blocks = keras.ops.reshape(
            inputs, (-1, height, width, self.scale, self.scale, channels)
        )
        return keras.ops.reshape(
            keras.ops.transpose(blocks, (0, 1, 3, 2, 4, 5)),
            (-1, height * self.scale, width * self.scale, channels),
        )

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, *sizes, channels = input_shape
        sizes = [None if size is None else size * self.scale for size in sizes]
        return batch, *sizes, channels // self.scale**2

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale}
