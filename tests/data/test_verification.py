"""Is every bad image named, and can Keras load every other?"""

import io
import os
import resource
import struct
import zlib

import keras
import numpy as np
import psutil
import pytest
from PIL import Image

from keras_fast.data import verify_images

pytestmark = pytest.mark.once

HEIGHT, WIDTH = 96, 120
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]
PIXELS = np.stack([COLUMNS * 2, ROWS * 2, ROWS + COLUMNS], -1).astype("uint8")
IMAGE = Image.fromarray(PIXELS)
OTHERS = [IMAGE.rotate(90), IMAGE.rotate(45)]


def encoded(kind, image=IMAGE, **arguments):
    file = io.BytesIO()
    image.save(file, kind, **arguments)
    return file.getvalue()


def png_of_size(width, height):
    """A header alone: a bomb, were it decoded."""

    def chunk(kind, content):
        check = zlib.crc32(kind + content)
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", check)
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def rotated_by_exif():
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded("JPEG", exif=exif)


JPEG, PNG, GIF, BMP = map(encoded, ("JPEG", "PNG", "GIF", "BMP"))
SIXTEEN_BITS = Image.fromarray((COLUMNS * 500).astype("uint16"))
GOOD = {
    "plain.jpg": JPEG,
    "plain.JPEG": JPEG,
    "plain.png": PNG,
    "plain.gif": GIF,
    "plain.bmp": BMP,
    "a png.jpg": PNG,
    "cmyk.jpg": encoded("JPEG", IMAGE.convert("CMYK")),
    "grey.jpg": encoded("JPEG", IMAGE.convert("L")),
    "grey.bmp": encoded("BMP", IMAGE.convert("L")),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "exif.jpg": rotated_by_exif(),
    "palette.png": encoded("PNG", IMAGE.convert("P")),
    "opaque alpha.png": encoded("PNG", IMAGE.convert("RGBA")),
    "webp.jpg": encoded("WEBP", lossless=True),
    "16 bits.png": encoded("PNG", SIXTEEN_BITS),
    "one pixel.png": encoded("PNG", IMAGE.resize((1, 1))),
    "animated.gif": encoded("GIF", save_all=True, append_images=OTHERS),
}
BAD = {
    "empty.jpg": (b"", "is none of BMP, GIF, JPEG, PNG, WEBP"),
    "text.png": (b"no image" * 99, "is none of BMP, GIF, JPEG, PNG, WEBP"),
    "tiff.jpg": (encoded("TIFF"), "is none of BMP, GIF, JPEG, PNG, WEBP"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "Invalid JPEG data"),
    "cut.png": (PNG[: len(PNG) // 2], "Invalid PNG data"),
    "cut.gif": (GIF[: len(GIF) // 2], "Invalid GIF data"),
    "cut.bmp": (BMP[: len(BMP) // 2], ""),
    "without its end.png": (PNG[:-2], "Invalid PNG data"),
    "one bit.bmp": (encoded("BMP", IMAGE.convert("1")), ""),
    "bomb.png": (png_of_size(20_000, 20_000), "400000000 pixels"),
    "large.png": (png_of_size(8_000, 7_000), "has 8000 x 7000 pixels, more"),
}


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)


def loaded(folder):
    """How many images Keras loads; it stops at one that it can't."""
    data = keras.utils.image_dataset_from_directory(
        folder,
        labels=None,
        batch_size=1,
        image_size=(8, 8),
        shuffle=False,
        verbose=False,
    )
    return sum(1 for _ in data)


def test_good_images_pass_and_load(tmp_path):
    write(tmp_path, GOOD)
    (tmp_path / "notes.txt").write_text("no image, and not taken for one")
    assert verify_images(tmp_path) == {}
    assert loaded(tmp_path) == len(GOOD)


def test_bad_images_are_named_with_the_reason(tmp_path):
    folder = tmp_path / "cats"
    folder.mkdir()
    write(folder, GOOD | {name: content for name, (content, _) in BAD.items()})
    found = verify_images(tmp_path)
    assert list(found) == sorted(folder / name for name in BAD)
    for path, reason in found.items():
        assert BAD[path.name][1] in reason
        assert reason
        path.unlink()
    assert loaded(tmp_path) == len(GOOD)


@pytest.mark.parametrize("name", [n for n in BAD if "m" not in n.split(".")[0]])
def test_keras_fails_at_each_of_them(name, tmp_path):
    write(tmp_path, {name: BAD[name][0]})
    with pytest.raises(Exception, match=r"DecodeImage|Unknown image"):
        loaded(tmp_path)


def test_what_is_no_file_is_named(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "broken link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    write(tmp_path, {"plain.jpg": JPEG})
    found = {
        path.name: reason for path, reason in verify_images(tmp_path).items()
    }
    assert found == dict.fromkeys(["broken link.jpg", "pipe.jpg"], "is no file")


def test_frames_count_too(tmp_path):
    write(tmp_path, {"animated.gif": GOOD["animated.gif"]})
    pixels = HEIGHT * WIDTH
    assert not verify_images(tmp_path, max_pixels=pixels)
    (reason,) = verify_images(tmp_path, max_pixels=pixels - 1).values()
    assert reason == f"has {WIDTH} x {HEIGHT} pixels, more than {pixels - 1}"
    many = encoded("GIF", save_all=True, append_images=[*OTHERS, *OTHERS])
    write(tmp_path, {"animated.gif": many})
    (reason,) = verify_images(tmp_path, max_pixels=pixels).values()
    assert reason == f"has 5 frames of {WIDTH} x {HEIGHT} pixels, too many"


def test_transparent_images_are_told(tmp_path):
    image = IMAGE.convert("RGBA")
    image.putpixel((3, 3), (0, 0, 0, 254))
    files = {
        "a.png": encoded("PNG", image),
        "b.jpg": encoded("PNG", IMAGE.convert("P"), transparency=0),
    }
    write(tmp_path, files | {"opaque.png": GOOD["opaque alpha.png"]})
    with pytest.warns(UserWarning) as caught:
        assert verify_images(tmp_path) == {}
    assert str(caught[0].message) == (
        "2 of 3 good images have transparent pixels, which Keras's loader "
        "shows in the color behind them, often black. Load them with "
        "`keras_fast.data.load_images(paths, size, background=(255, 255, "
        "255))`. Received: ['a.png', 'b.jpg']"
    )
    assert caught[0].filename == __file__


def test_a_bmp_whose_palette_keras_ignores(tmp_path):
    image = IMAGE.convert("P", palette=Image.Palette.ADAPTIVE, colors=16)
    write(tmp_path, {"palette.bmp": encoded("BMP", image)})
    [path] = tmp_path.iterdir()
    pixels = keras.utils.image_dataset_from_directory(
        tmp_path, labels=None, image_size=image.size[::-1], verbose=False
    )
    assert next(iter(pixels)).numpy().max() < 16  # indices, no colors
    assert "ignores the palette" in verify_images(tmp_path)[path]


def test_images_that_keras_ignores_are_listed(tmp_path):
    files = {
        "a.png": PNG,
        "b.WEBP": encoded("WEBP"),
        "c.tif": b"",
        "d.txt": b"",
    }
    write(tmp_path, files)
    with pytest.warns(UserWarning, match="2 images have .*'b.WEBP', 'c.tif'"):
        assert verify_images(tmp_path) == {}
    assert loaded(tmp_path) == 1


def flipped(content, seed):
    rng = np.random.default_rng(seed)
    damaged = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 5)):
        damaged[place] ^= 1 << rng.integers(8)
    return bytes(damaged)


@pytest.mark.parametrize(
    "number", [60, pytest.param(300, marks=pytest.mark.stress)]
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_flipped_bits(kind, number, tmp_path):
    good = encoded(kind)
    # Keras takes up none that is named WebP, and decodes those that are.
    name = "jpg" if kind == "WEBP" else kind
    files = {f"{i}.{name}": flipped(good, i) for i in range(number)}
    write(tmp_path, files)
    found = verify_images(tmp_path)
    for path in found:
        path.unlink()
    if len(found) < number:
        assert loaded(tmp_path) == number - len(found)
    assert kind == "BMP" or found


def peak():
    """The most bytes that this process ever had."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_large_images_take_little_memory(tmp_path, tmp_path_factory):
    small = tmp_path_factory.mktemp("small")
    write(small, {"plain.png": PNG})
    pixels = np.zeros((7_000, 7_000), "uint8")
    for name in ("a.png", "b.jpg", "c.gif"):
        Image.fromarray(pixels).save(tmp_path / name)
    write(tmp_path, {"bomb.png": png_of_size(60_000, 60_000)})
    verify_images(small)  # which loads the decoder
    before = max(psutil.Process().memory_info().rss, peak())
    assert [path.name for path in verify_images(tmp_path)] == ["bomb.png"]
    assert peak() - before < 500e6


def test_wrong_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="`directory` must be a folder"):
        verify_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="`directory` must have a file of"):
        verify_images(tmp_path)
    with pytest.raises(ValueError, match="`max_pixels` must be a whole"):
        verify_images(tmp_path, max_pixels=0)
