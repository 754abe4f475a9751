"""Feature maps resized to the size of others."""

from typing import Any

import keras
from keras import ops

__all__ = ["ResizeLike"]


@keras.saving.register_keras_serializable("keras_fast")
class ResizeLike(keras.layers.Layer):
    """Resizes the first of two feature maps to the size of the second.

    Nearest, by index: `keras.ops.image.resize` does not accept sizes known
    only within the step. Maps one pixel too large lose their last one.
    """

    def call(self, inputs: Any) -> Any:
        maps, like = inputs
        for axis in (1, 2):
            have: Any = ops.shape(maps)[axis]
            want: Any = ops.shape(like)[axis]
            if isinstance(have, int) and isinstance(want, int) and have == want:
                continue
            rows: Any = ops.arange(want)
            maps = ops.take(maps, rows * have // want, axis=axis)
        return maps

    def compute_output_shape(self, input_shape: Any) -> Any:
        maps, like = input_shape
        return *like[:3], maps[3]
