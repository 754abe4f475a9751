"""Which images in a folder would stop training?"""

import os
import warnings
from pathlib import Path

import numpy as np

from keras_fast._checks import shown, whole
from keras_fast._keras.decoder import decoding_error

__all__ = ["verify_images"]

# Extensions that `keras.utils.image_dataset_from_directory` reads.
EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# Of images that it ignores silently.
IGNORED = (".avif", ".heic", ".jfif", ".tif", ".tiff", ".webp")
# Formats that it can decode, whatever the file name.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")


def verify_images(
    directory: str | os.PathLike, *, max_pixels: int = 50_000_000
) -> dict[Path, str]:
    """Find the images in a folder that can't be loaded, and why.

    It checks the files that `keras.utils.image_dataset_from_directory` reads:
    bmp, gif, jpeg, jpg and png, in all subfolders. That function can load the
    files not in the result as RGB, whatever their names. Images that are too
    large are recognized by their header and not decoded. Nothing is changed:
    what to do with a file is up to you.

    That function decodes with TensorFlow. If TensorFlow is not installed,
    Keras decodes with Pillow, as `keras.utils.load_img` always does, and so
    does this function: then Pillow can load the files not in the result.

    Args:
        directory: The folder.
        max_pixels: Refuse larger images. Decoding takes 3 bytes per pixel,
            and a file of a few kilobytes can hold any number of them.

    Returns:
        The reason for each bad file, by its path, in sorted order; empty if
        all are good.

    Raises:
        ValueError: There is no such folder, or it contains no image.

    Warns:
        UserWarning: Good images have transparent pixels. Keras ignores
            transparency and shows the color stored in them, often black.
            `load_images(..., background=...)` puts a color behind them.
            Or images have an extension that Keras ignores, such as webp.

    Examples:
        >>> from pathlib import Path
        >>> pixels = np.zeros((8, 8, 3))
        >>> keras.utils.save_img("good.png", pixels)
        >>> _ = Path("bad.jpg").write_bytes(b"no image")
        >>> for path, reason in keras_fast.data.verify_images(".").items():
        ...     print(path, "-", reason)
        bad.jpg - is none of BMP, GIF, JPEG, PNG, WEBP

    Reference:

    - fastai 2.8, `verify_images`
    """
    whole("max_pixels", max_pixels)
    if not os.path.isdir(directory):
        raise ValueError(
            "`directory` must be a folder. Check the path. "
            f"Received: directory={os.fspath(directory)!r}"
        )
    paths = _paths(directory, EXTENSIONS)
    if not paths:
        raise ValueError(
            f"`directory` must have a file of {', '.join(EXTENSIONS)} in it. "
            "Check the path, and convert what is of another kind. "
            f"Received: directory={os.fspath(directory)!r}"
        )
    reasons = {path: _reason(path, max_pixels) for path in paths}
    good = [path for path, reason in reasons.items() if reason is None]
    _warn_of_transparent(list(filter(_is_transparent, good)), len(good))
    _warn_of_ignored(_paths(directory, IGNORED))
    return {path: reason for path, reason in reasons.items() if reason}


def _paths(
    directory: str | os.PathLike, extensions: tuple[str, ...]
) -> list[Path]:
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(directory)
        for name in names
        if name.lower().endswith(extensions)
    )


def _warn_of_ignored(paths: list[Path]) -> None:
    if not paths:
        return
    warnings.warn(
        f"{len(paths)} images have an extension that Keras's loader "
        f"ignores: it reads {', '.join(EXTENSIONS)}. Save them as one of "
        f"these. Received: {shown([path.name for path in paths])}",
        stacklevel=3,
    )


def _warn_of_transparent(transparent: list[Path], num_good: int) -> None:
    if not transparent:
        return
    warnings.warn(
        f"{len(transparent)} of {num_good} good images have transparent "
        "pixels, which Keras's loader shows in the color behind them, often "
        "black. Load them with `keras_fast.data.load_images(paths, size, "
        "background=(255, 255, 255))`. Received: "
        f"{shown([path.name for path in transparent])}",
        stacklevel=3,
    )


def _is_transparent(path: Path) -> bool:
    """Whether a good image has a pixel that is not opaque."""
    from PIL import Image

    try:
        with Image.open(path, formats=FORMATS) as image:
            if not image.has_transparency_data:
                return False
            opacity = np.asarray(image.convert("RGBA"))[..., 3]
    # Images that only TensorFlow can decode are not checked.
    except Exception:
        return False
    return bool(opacity.min() < 255)


def _reason(path: Path, max_pixels: int) -> str | None:
    if not path.is_file():  # reading a pipe would never end
        return "is no file"
    try:
        return _too_large(path, max_pixels) or decoding_error(path.read_bytes())
    except OSError as error:
        return f"can't be read: {error}"


def _too_large(path: Path, max_pixels: int) -> str | None:
    """The size, if the header shows it is too large; or the header's fault."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=FORMATS) as image:
                width, height = image.size
                # TensorFlow reads all their frames, at a byte per pixel.
                animated = image.format in ("GIF", "WEBP")
                frames = getattr(image, "n_frames", 1) if animated else 1
    except UnidentifiedImageError:
        return f"is none of {', '.join(FORMATS)}"
    except Image.DecompressionBombError as error:
        return str(error)
    except OSError:
        raise
    # A damaged header can raise anything.
    except Exception as error:
        return f"has a damaged header: {error}"
    if width * height > max_pixels:
        return f"has {width} x {height} pixels, more than {max_pixels}"
    if frames * width * height > 3 * max_pixels:
        return f"has {frames} frames of {width} x {height} pixels, too many"
    return None
