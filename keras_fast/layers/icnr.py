"""An initializer for pixel shuffle that avoids a checkerboard."""

from typing import Any

import keras

from keras_fast._checks import whole


@keras.saving.register_keras_serializable("keras_fast")
class ICNR(keras.initializers.Initializer):
    """Initializes the convolution before `PixelShuffle` as nearest upsampling.

    All channels that become one block of pixels start with the same weights.
    So the output starts without a checkerboard: it is that of a convolution to
    1 / `scale ** 2` of the channels, with each pixel repeated.

    Args:
        scale: The `scale` of the `PixelShuffle` after it.
        initializer: Initializer of the weights that are repeated: an instance
            or a name.

    Raises:
        ValueError: `scale` is below 1, or the channels can't be divided.
        TypeError: `scale` is not a whole number.

    Examples:
        >>> start = keras_fast.layers.ICNR(scale=2)
        >>> kernel = keras.ops.convert_to_numpy(start((1, 1, 3, 4)))
        >>> bool((kernel == kernel[..., :1]).all())
        True

    Reference:

    - [Aitken et al., 2017](https://arxiv.org/abs/1707.02937)
    """

    def __init__(
        self, scale: int = 2, initializer: Any = "glorot_uniform"
    ) -> None:
        self.scale = whole("scale", scale)
        self.initializer: Any = keras.initializers.get(initializer)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        *sizes, channels = shape
        repeats = self.scale**2
        if channels % repeats:
            raise ValueError(
                f"The kernel must have a multiple of {repeats} channels. Give "
                "the layer `scale ** 2` times the filters. Received: "
                f"shape={tuple(shape)}, scale={self.scale}"
            )
        small = self.initializer((*sizes, channels // repeats), dtype=dtype)
        # Keras orders the channels by position first, PyTorch by channel.
        return keras.ops.tile(small, [*(1 for _ in sizes), repeats])

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.initializer)
        return {"scale": self.scale, "initializer": initializer}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "ICNR":
        return cls(**config)
