"""How do image files become the pixels that a model was trained on?"""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_fast._checks import one_of, whole
from keras_fast._keras.decoder import decoded, has_tensorflow, resized

__all__ = ["load_images"]

Color = tuple[int, int, int]
COLOR_MODES = {"rgb": 3, "grayscale": 1}
# For a rotated camera: whether to mirror left to right, and quarter turns.
ORIENTATIONS = {
    2: (True, 0),
    3: (False, 2),
    4: (True, 2),
    5: (True, 1),
    6: (False, 3),
    7: (True, 3),
    8: (False, 1),
}
ORIENTATION = 0x0112  # EXIF's tag


def load_images(
    paths: Iterable[str | os.PathLike],
    size: int | tuple[int, int],
    *,
    color_mode: str = "rgb",
    background: Color | None = None,
    upright: bool = False,
) -> np.ndarray:
    """Load images as `keras.utils.image_dataset_from_directory` does.

    The pixels are the same, bit for bit. `keras.utils.load_img` with a
    `target_size` differs: it takes the nearest pixel where that function
    interpolates, and a model trained with one loses accuracy with the other.
    So use this function to predict, or for both training and prediction.

    The formats are BMP (without a palette), GIF (the first frame), JPEG, PNG
    and, from TensorFlow 2.20 on, WebP that is not animated. Grayscale images
    become RGB, 16 bits become 8 and CMYK becomes RGB, as in training. Keras
    ignores transparency, which often turns transparent pixels black, and the
    EXIF orientation of photos. `background` and `upright` take care of them;
    then load the training data with this function too.

    Args:
        paths: The files.
        size: Height and width in pixels, or one number for both. The aspect
            ratio is not kept.
        color_mode: `"rgb"` or `"grayscale"`; for the latter TensorFlow accepts
            PNG and JPEG, but not CMYK.
        background: Color, such as (255, 255, 255) for white, to put behind
            transparent images. None ignores transparency; transparent WebP
            images are refused then, as by Keras.
        upright: Whether to rotate photos by their EXIF orientation.

    Returns:
        Pixels from 0 to 255, (n, height, width, channels) float32, in the
        order of `paths`.

    Raises:
        ValueError: There are no paths, or a file can't be read or decoded.
        ImportError: TensorFlow is not installed.

    Examples:
        >>> keras.utils.save_img("cat.png", np.full((40, 50, 3), 99.0))
        >>> images = keras_fast.data.load_images(["cat.png"], 32)
        >>> images.shape, images.dtype
        ((1, 32, 32, 3), dtype('float32'))
    """
    channels = COLOR_MODES[one_of("color_mode", color_mode, [*COLOR_MODES])]
    height, width = _size(size)
    color = None if background is None else _color(background)
    if isinstance(paths, str | os.PathLike):
        raise TypeError(
            "`paths` must be a list of paths. Pass one as [path]. "
            f"Received: paths={paths!r}"
        )
    if not has_tensorflow():
        raise ImportError(
            "TensorFlow must be installed: Keras's loader decodes and resizes "
            "with it, on every backend. Run `pip install tensorflow`, or train "
            "and predict with what `keras.utils.load_img` loads. Received: no "
            "module named 'tensorflow'"
        )
    images = [
        resized(_pixels(Path(path), channels, color, upright), (height, width))
        for path in paths
    ]
    if not images:
        raise ValueError(
            "`paths` must have at least one path. Check the pattern that "
            "found them. Received: paths of no file"
        )
    return np.stack(images)


def _pixels(
    path: Path, channels: int, color: np.ndarray | None, upright: bool
) -> Any:
    try:
        if path.exists() and not path.is_file():
            raise ValueError("is no file")  # reading a pipe would never end
        content = path.read_bytes()
        pixels = None
        if color is not None:
            pixels = _on_background(content, channels, color)
        if pixels is None:
            pixels = decoded(content, channels)
        return _turned(content, pixels) if upright else pixels
    except (OSError, ValueError) as error:
        raise ValueError(
            "`paths` must be image files that exist and that TensorFlow can "
            "decode. Check the path; `keras_fast.data.verify_images(folder)` "
            f"lists damaged files. Received: {os.fspath(path)!r} ({error})"
        ) from error


def _on_background(
    content: bytes, channels: int, color: np.ndarray
) -> np.ndarray | None:
    """The image on a background color, or None if it is not transparent."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if not image.has_transparency_data:
                return None
            rgba = _rgba(image)
    # A damaged file can raise anything.
    except Exception as error:
        raise ValueError(str(error) or type(error).__name__) from error
    opacity = rgba[..., 3:] / 255
    laid = opacity * rgba[..., :3] + (1 - opacity) * color
    if channels == 1:  # JPEG's luma, as TensorFlow computes it
        laid = laid @ np.array([[0.299], [0.587], [0.114]], np.float32)
    return laid


def _rgba(image: Any) -> np.ndarray:
    if not image.mode.startswith("I"):
        return np.asarray(image.convert("RGBA"), np.float32)
    # 16 bits, which Pillow would clip to 8, and one gray that is transparent.
    gray = np.asarray(image)
    opacity = np.where(gray == image.info["transparency"], 0, 255)
    return np.stack([*[gray >> 8] * 3, opacity], axis=-1).astype("float32")


def _turned(content: bytes, pixels: Any) -> Any:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
    # A damaged EXIF can raise anything; it doesn't turn the image.
    except Exception:
        orientation = 1
    mirrored, quarters = ORIENTATIONS.get(orientation, (False, 0))
    pixels = np.asarray(pixels)
    pixels = pixels[:, ::-1] if mirrored else pixels
    return np.rot90(pixels, quarters)


def _size(size: Any) -> tuple[int, int]:
    if not isinstance(size, tuple | list):
        return whole("size", size), whole("size", size)
    if len(size) != 2:
        raise ValueError(
            "`size` must be one number, or height and width. Pass e.g. "
            f"(224, 224). Received: size={size!r}"
        )
    return whole("size", size[0]), whole("size", size[1])


def _color(background: Any) -> np.ndarray:
    color = np.asarray(background)
    if (
        color.shape != (3,)
        or color.dtype.kind not in "iuf"
        or not ((color >= 0) & (color <= 255)).all()
    ):
        raise ValueError(
            "`background` must be red, green and blue, each from 0 to 255. "
            "Pass (255, 255, 255) for white. "
            f"Received: background={background!r}"
        )
    return color.astype(np.float32)
