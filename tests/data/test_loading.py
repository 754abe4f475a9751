"""Images from files, against what Keras trains on and against Pillow."""

import os
import struct

import keras
import numpy as np
import pytest
from PIL import Image, ImageOps

from keras_fast.data import load_images

pytestmark = pytest.mark.once

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (45, 60, 3), dtype=np.uint8)
WHITE = (255, 255, 255)


def save(path, mode="RGB", **how):
    image = Image.fromarray(PIXELS)
    if mode in ("RGBA", "LA"):
        alpha = np.zeros((45, 60), np.uint8)
        alpha[:, 30:] = 255
        image.putalpha(Image.fromarray(alpha))
    if mode == "I;16":
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    else:
        image = image.convert(mode)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)
    return path


FILES = {
    "photo.jpg": {"quality": 90},
    "rgb.png": {},
    "clear.png": {"mode": "RGBA"},
    "clear_gray.png": {"mode": "LA"},
    "gray.png": {"mode": "L"},
    "gray.jpg": {"mode": "L"},
    "16_bits.png": {"mode": "I;16"},
    "ink.jpg": {"mode": "CMYK"},
    "palette.png": {"mode": "P"},
    "first.gif": {},
    "windows.bmp": {},
    "gray.bmp": {"mode": "L"},
}


@pytest.fixture
def folder(tmp_path):
    for name, how in FILES.items():
        save(tmp_path / "a" / name, **how)
    return tmp_path


@pytest.mark.parametrize("color_mode", ["rgb", "grayscale"])
@pytest.mark.parametrize("size", [32, (24, 50), (90, 120)])
def test_bit_for_bit_what_keras_trains_on(folder, size, color_mode):
    if color_mode == "grayscale":  # TensorFlow decodes these to RGB alone
        for name in ("first.gif", "ink.jpg", "windows.bmp", "gray.bmp"):
            (folder / "a" / name).unlink()
    data = keras.utils.image_dataset_from_directory(
        folder,
        image_size=size if isinstance(size, tuple) else (size, size),
        color_mode=color_mode,
        shuffle=False,
        verbose=False,
    )
    right = np.concatenate([x.numpy() for x, _ in data])
    found = load_images(data.file_paths, size, color_mode=color_mode)
    assert found.dtype == right.dtype
    np.testing.assert_array_equal(found, right)


def test_what_keras_does_not_see_is_no_other_image(folder):
    paths = sorted((folder / "a").iterdir())
    opaque = [p for p in paths if not p.name.startswith("clear")]
    np.testing.assert_array_equal(
        load_images(opaque, 32, background=WHITE, upright=True),
        load_images(opaque, 32),
    )


@pytest.mark.parametrize(
    ("name", "how"), [("clear.png", {}), ("clear.webp", {"lossless": True})]
)
@pytest.mark.parametrize("color", [WHITE, (10, 200, 30)])
def test_transparent_pixels_are_laid_on_a_color(tmp_path, color, name, how):
    clear = save(tmp_path / name, "RGBA", **how)
    found = load_images([clear], (45, 60), background=color)[0]
    np.testing.assert_array_equal(found[:, :30], np.full((45, 30, 3), color))
    np.testing.assert_array_equal(found[:, 30:], PIXELS[:, 30:])


def test_half_transparent_and_gray(tmp_path):
    rgba = np.dstack([PIXELS, np.full((45, 60), 51, np.uint8)])  # a fifth
    Image.fromarray(rgba).save(tmp_path / "fifth.png")
    found = load_images([tmp_path / "fifth.png"], (45, 60), background=WHITE)
    np.testing.assert_allclose(found[0], 0.2 * PIXELS + 204.0, rtol=1e-5)
    gray = load_images(
        [tmp_path / "fifth.png"],
        (45, 60),
        background=WHITE,
        color_mode="grayscale",
    )
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(gray[0, ..., 0], found[0] @ weights, rtol=1e-5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_as_pillow_turns_them(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "photo.png", exif=exif)
    with Image.open(path) as image:
        right = np.asarray(ImageOps.exif_transpose(image))
    found = load_images([path], right.shape[:2], upright=True)
    np.testing.assert_array_equal(found[0], right)
    np.testing.assert_array_equal(load_images([path], (45, 60))[0], PIXELS)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"paths": []}, ValueError, "`paths` must have at least one path"),
        ({"paths": "a.png"}, TypeError, r"Pass one as \[path\]"),
        ({"paths": ["none.png"]}, ValueError, "Received: 'none.png'"),
        ({"size": 0}, ValueError, "Received: size=0"),
        ({"size": (1, 2, 3)}, ValueError, "height and width"),
        ({"color_mode": "rgba"}, ValueError, "Received: color_mode='rgba'"),
        ({"background": "white"}, ValueError, "Received: background='white'"),
        ({"background": (0, 0, 256)}, ValueError, "each from 0 to 255"),
    ],
)
def test_bad_arguments(tmp_path, arguments, error, message):
    path = save(tmp_path / "rgb.png")
    arguments = {"paths": [path], "size": 8} | arguments
    with pytest.raises(error, match=message):
        load_images(**arguments)


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("palette.bmp", "P", "ignores the palette"),
        ("one_bit.bmp", "1", "save it as PNG"),
        ("clear.webp", "RGBA", "pass `background`"),
    ],
)
def test_what_tensorflow_cannot_decode_is_refused(
    tmp_path, name, mode, message
):
    path = save(tmp_path / name, mode)
    with pytest.raises(ValueError, match=f"Received: .*{name}.*{message}"):
        load_images([path], 8)


def bmp_with_masks(*masks):
    """One pixel of red 1, green 2 and blue 3, its bytes in that order."""
    header = struct.pack("<IiiHHIIiiII", 108, 1, 1, 1, 32, 3, 4, 0, 0, 0, 0)
    header += struct.pack("<4I", *masks) + bytes(52)
    begin = 14 + len(header)
    file = struct.pack("<2sIHHI", b"BM", begin + 4, 0, 0, begin)
    return file + header + bytes([1, 2, 3, 255])


def test_a_bmp_with_its_channels_in_another_order_is_refused(tmp_path):
    path = tmp_path / "rgba.bmp"
    path.write_bytes(bmp_with_masks(0xFF, 0xFF00, 0xFF0000, 0xFF000000))
    with pytest.raises(ValueError, match=r"rgba\.bmp.*gets wrong"):
        load_images([path], 1)
    path.write_bytes(bmp_with_masks(0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    np.testing.assert_array_equal(load_images([path], 1).ravel(), [3, 2, 1])


def test_16_bits_with_a_transparent_gray(tmp_path):
    gray = np.full((4, 4), 100 * 257, np.uint16)
    gray[0] = 30 * 257
    path = tmp_path / "gray.png"
    Image.fromarray(gray).save(path, transparency=30 * 257)
    found = load_images([path], 4, background=(255, 0, 0))[0]
    np.testing.assert_array_equal(found[0], [(255, 0, 0)] * 4)
    np.testing.assert_array_equal(found[1:], np.full((3, 4, 3), 100))


@pytest.mark.parametrize("exif", [b"garbage!!", b"II*\0"])
def test_a_damaged_exif_does_not_turn_the_image(tmp_path, exif):
    path = save(tmp_path / "rgb.png", exif=b"Exif\0\0" + exif)
    found = load_images([path], (45, 60), upright=True)
    np.testing.assert_array_equal(found[0], PIXELS)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png.*is no file"):
        load_images([tmp_path / "pipe.png"], 8)


def test_a_cut_image_is_refused_with_a_background_too(tmp_path):
    path = save(tmp_path / "cut.png", "RGBA")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"Received: .*cut\.png"):
        load_images([path], 8, background=WHITE)


def test_a_broken_file_is_named(tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"verify_images\(folder\).*bad\.jpg"):
        load_images([save(tmp_path / "good.png"), bad], 8)
