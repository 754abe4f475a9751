"""What does Keras's loader of images make of a file?

`keras.utils.image_dataset_from_directory` decodes and resizes with TensorFlow
on every backend.
"""

import re
from typing import Any

import numpy as np

__all__ = ["decoded", "decoding_error", "resized"]


def decoded(content: bytes, channels: int) -> Any:
    """Pixels (height, width, channels) uint8, as Keras's loader decodes them.

    Raises:
        ValueError: TensorFlow can't decode it; says why.
    """
    import tensorflow as tf

    try:
        return tf.io.decode_image(
            content, channels=channels, expand_animations=False
        )
    except (tf.errors.OpError, MemoryError) as error:
        message = str(getattr(error, "message", "") or "out of memory")
        why = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", message).strip()
        raise ValueError(why) from error


def decoding_error(content: bytes) -> str | None:
    """Why Keras's loader can't decode it as RGB, or None."""
    try:
        decoded(content, 3)
    except ValueError as error:
        return str(error)
    return None


def resized(pixels: Any, size: tuple[int, int]) -> np.ndarray:
    """Pixels (*size, channels) float32, as Keras's loader resizes them."""
    import tensorflow as tf

    return tf.image.resize(pixels, size).numpy()
