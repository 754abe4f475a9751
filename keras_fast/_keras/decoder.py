"""How does Keras's image loader decode a file?

`keras.utils.image_dataset_from_directory` decodes and resizes with TensorFlow
on every backend. Without TensorFlow Keras decodes with Pillow, in `load_img`
and in that function with `format="grain"`.
"""

import importlib.util
import io
import re
import warnings
from typing import Any

import numpy as np

__all__ = ["decoded", "decoding_error", "has_tensorflow", "resized"]


def has_tensorflow() -> bool:
    """Whether the loader's decoder is installed."""
    return importlib.util.find_spec("tensorflow") is not None


def decoded(content: bytes, channels: int) -> Any:
    """Pixels (height, width, channels) uint8, as Keras's loader decodes them.

    Raises:
        ValueError: TensorFlow can't decode it, or gets its colors wrong; the
            message says why.
    """
    import tensorflow as tf

    try:
        pixels = tf.io.decode_image(
            content, channels=channels, expand_animations=False
        )
    except (tf.errors.OpError, MemoryError) as error:
        message = str(getattr(error, "message", "") or "out of memory")
        why = re.sub(r"\{\{.*?\}\}|\[Op:.*?\]", "", message).strip()
        raise ValueError(f"{why}{_way_out(content)}") from error
    if content[:2] == b"BM" and _differs(content, pixels):
        raise ValueError(
            "a BMP whose colors TensorFlow gets wrong: it ignores the palette "
            "and the order of the channels; save it as PNG"
        )
    return pixels


def _differs(content: bytes, pixels: Any) -> bool:
    from PIL import Image

    mode = "RGB" if pixels.shape[-1] == 3 else "L"
    with Image.open(io.BytesIO(content)) as image:
        right = np.asarray(image.convert(mode))
    return not np.array_equal(right.reshape(pixels.shape), pixels)


def _way_out(content: bytes) -> str:
    """What to do about an image that is not damaged."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            if image.format == "BMP":
                return ": save it as PNG"
            if image.format != "WEBP":
                return ""
            if getattr(image, "n_frames", 1) > 1:
                return ": an animated WebP; save one image of it"
            return ": a transparent WebP; pass `background` to `load_images`"
    # A damaged file can raise anything.
    except Exception:
        return ""


def decoding_error(content: bytes) -> str | None:
    """Why Keras's loader can't decode it as RGB, or None."""
    if not has_tensorflow():
        return _decoding_error_of_pillow(content)
    try:
        decoded(content, 3)
    except ValueError as error:
        return str(error)
    return None


def _decoding_error_of_pillow(content: bytes) -> str | None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content)) as image:
                image.convert("RGB")
    # A damaged file can raise anything.
    except Exception as error:
        return str(error) or type(error).__name__
    return None


def resized(pixels: Any, size: tuple[int, int]) -> np.ndarray:
    """Pixels (*size, channels) float32, as Keras's loader resizes them."""
    import tensorflow as tf

    return tf.image.resize(pixels, size).numpy()
