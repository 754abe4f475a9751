"""How are good images damaged, so that a model can learn to repair them?"""

import io
from typing import Any

import numpy as np

from keras_fast._checks import at_least, non_negative, several, string, whole

__all__ = ["crappify"]

# Height of the letters as a share of the image's height; and its minimum.
TEXT_HEIGHTS = 0.15, 0.35
LEAST_TEXT_HEIGHT = 8


def crappify(
    images: Any,
    *,
    scale: float = 1,
    quality: Any = None,
    noise: float = 0.0,
    text: str | None = None,
    seed: int | None = 0,
) -> np.ndarray:
    """Damage images, so that a model can learn to repair them.

    Each image is made smaller, gets a text, then noise, and is saved as JPEG
    and read again; only what you ask for. With a seed, the random numbers
    depend only on it and on the index of the image: each run is the same.

    Args:
        images: Pixels from 0 to 255, (n, height, width, channels), with one
            channel or three. Floats are rounded.
        scale: Factor by which height and width are reduced, rounded.
        quality: JPEG quality, from 1 to 100, or a pair, both included, from
            which each image gets a random one; None for no JPEG.
        noise: Standard deviation of normal noise, in pixel values.
        text: Written on each image at a random place, in a random size and
            color; None for none.
        seed: Seed of the random numbers; None for new damage at each call.

    Returns:
        A uint8 array (n, height / scale, width / scale, channels).

    Raises:
        ValueError: The images do not have that shape or range, no pixel would
            be left, or a number is out of range.
        TypeError: An argument has the wrong type.

    Examples:
        >>> images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3))
        >>> damaged = keras_fast.data.crappify(
        ...     images, scale=4, quality=(10, 60), text="42"
        ... )
        >>> damaged.shape, str(damaged.dtype)
        ((4, 16, 16, 3), 'uint8')

    Reference:

    - fast.ai's course, lesson 7 of 2019, `crappify`
    """
    pixels = _pixels(images)
    scale = at_least("scale", scale, 1)
    size = tuple(round(side / scale) for side in pixels.shape[1:3])
    if 0 in size:
        raise ValueError(
            "`scale` must leave a pixel. Pass a smaller one. "
            f"Received: scale={scale:g}, images of shape {pixels.shape}"
        )
    qualities = None if quality is None else _qualities(quality)
    non_negative("noise", noise)
    if text is not None:
        string("text", text)
    if seed is not None:
        whole("seed", seed, 0)
    damaged = np.empty((len(pixels), *size, pixels.shape[-1]), np.uint8)
    for i, image in enumerate(pixels):
        rng = np.random.default_rng(None if seed is None else [seed, i])
        image = _resized(image, size)
        if text is not None:
            image = _with_text(image, text, rng)
        if noise:
            image = _rounded(image + rng.normal(scale=noise, size=image.shape))
        if qualities is not None:
            image = _as_jpeg(image, int(rng.integers(*qualities)))
        damaged[i] = image
    return damaged


def _pixels(images: Any) -> np.ndarray:
    pixels = np.asarray(images)
    if pixels.ndim != 4 or pixels.shape[-1] not in (1, 3) or not len(pixels):
        raise ValueError(
            "`images` must be (n, height, width, channels) of one channel or "
            "three. Pass a batch, without transparency. "
            f"Received: images of shape {pixels.shape}"
        )
    low, high = pixels.min(initial=0), pixels.max(initial=0)
    small = pixels.dtype.kind == "f" and 0 < high <= 1
    if not (low >= 0 and high <= 255) or small:
        raise ValueError(
            "`images` must have pixels from 0 to 255. Rescale them. "
            f"Received: images from {low:g} to {high:g}"
        )
    return _rounded(pixels)


def _rounded(pixels: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _qualities(quality: Any) -> tuple[int, int]:
    """The lowest quality, and the first above the highest."""
    pair = [quality] * 2 if np.ndim(quality) == 0 else quality
    ends = [whole("quality", each) for each in several("quality", pair)]
    if len(ends) != 2 or not ends[0] <= ends[1] <= 100:
        raise ValueError(
            "`quality` must be from 1 to 100, or a pair of such, the lower one "
            f"first. Pass one such as (10, 60). Received: quality={quality!r}"
        )
    return ends[0], ends[1] + 1


def _resized(image: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    from PIL import Image

    if image.shape[:2] == size:
        return image
    height, width = size
    smaller = _as_pillow(image).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    return np.asarray(smaller).reshape(*size, -1)


def _with_text(
    image: np.ndarray, text: str, rng: np.random.Generator
) -> np.ndarray:
    from PIL import ImageDraw, ImageFont

    height, width, channels = image.shape
    letters = max(height * rng.uniform(*TEXT_HEIGHTS), LEAST_TEXT_HEIGHT)
    font: Any = ImageFont.load_default(letters)
    canvas = _as_pillow(image)
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    # All of it is within the image, if there is room.
    x, y = rng.uniform(size=2) * np.maximum(
        (width - (right - left), height - (bottom - top)), 0
    )
    color = tuple(rng.integers(256, size=channels).tolist())
    draw.text((x - left, y - top), text, fill=color, font=font)
    return np.asarray(canvas).reshape(image.shape)


def _as_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    from PIL import Image

    buffer = io.BytesIO()
    _as_pillow(image).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as read:
        return np.asarray(read).reshape(image.shape)


def _as_pillow(image: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
