"""Is each kind of damage what it is said to be, and the same each time?"""

import io

import numpy as np
import pytest
from PIL import Image

from keras_fast.data import crappify

rng = np.random.default_rng(0)
SMOOTH = np.linspace(0, 255, 32)[:, None, None] * np.ones((1, 24, 3))
IMAGES = np.stack([SMOOTH, SMOOTH[::-1], np.full((32, 24, 3), 99.0)])
pytestmark = pytest.mark.once


def test_nothing_asked_nothing_done():
    assert (crappify(IMAGES) == np.rint(IMAGES)).all()
    assert crappify(IMAGES).dtype == np.uint8


@pytest.mark.parametrize(
    ("scale", "shape"), [(4, (8, 6)), (1.5, (21, 16)), (24, (1, 1))]
)
def test_smaller(scale, shape):
    damaged = crappify(IMAGES, scale=scale)
    assert damaged.shape == (3, *shape, 3)
    assert (damaged[2] == 99).all()
    means = damaged.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(means, IMAGES.mean(axis=(1, 2, 3)), atol=1.5)


def test_jpeg_is_pillows():
    image = rng.integers(0, 256, (1, 16, 24, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image[0]).save(buffer, "JPEG", quality=20)
    wanted = np.asarray(Image.open(buffer))
    assert (crappify(image, quality=20)[0] == wanted).all()
    many = np.repeat(image, 30, axis=0)
    kinds = {each.tobytes() for each in crappify(many, quality=(20, 22))}
    ends = [crappify(image, quality=q)[0].tobytes() for q in (20, 21, 22)]
    assert kinds == {*ends}
    grey = crappify(image[..., :1], quality=20)
    assert grey.shape == (1, 16, 24, 1)
    assert (grey != image[..., :1]).any()


def test_noise_has_its_deviation():
    images = np.full((2, 64, 64, 3), 128)
    noise = crappify(images, noise=10) - images
    assert noise.std() == pytest.approx(10, rel=0.02)
    assert np.abs(noise.mean()) < 0.2
    assert (noise[0] != noise[1]).any()


def test_text_is_within_and_elsewhere_nothing_changes():
    images = np.full((20, 48, 64, 3), 128)
    changed = (crappify(images, text="42") != 128).any(axis=-1)
    assert changed.any(axis=(1, 2)).all()
    assert changed.mean() < 0.15
    tops = [np.flatnonzero(image.any(axis=1))[0] for image in changed]
    assert max(tops) > 20 > min(tops)
    assert (crappify(images[..., :1], text="42") != 128).any(axis=(1, 2)).all()


def test_the_same_for_a_seed_whoever_else_is_damaged():
    damage = {"scale": 2, "quality": (5, 90), "noise": 3, "text": "a"}
    first = crappify(IMAGES, **damage, seed=1)
    assert (first == crappify(IMAGES, **damage, seed=1)).all()
    assert (first[:2] == crappify(IMAGES[:2], **damage, seed=1)).all()
    assert (first != crappify(IMAGES, **damage, seed=2)).any()
    free = [crappify(IMAGES, **damage, seed=None) for _ in range(2)]
    assert (free[0] != free[1]).any()


@pytest.mark.tensorflow_only
def test_in_a_pipeline_as_the_page_says():
    import tensorflow as tf

    def damaged(image):
        pixels = tf.numpy_function(
            lambda x: crappify(x[None], scale=2, quality=(10, 60), seed=None)[
                0
            ],
            [image],
            tf.uint8,
        )
        return tf.ensure_shape(pixels, (16, 12, 3)), image

    data = tf.data.Dataset.from_tensor_slices(IMAGES).map(damaged).batch(3)
    x, y = next(iter(data))
    assert x.shape == (3, 16, 12, 3)
    assert (y.numpy() == IMAGES).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES[0]}, "`images` must be .*shape \\(32, 24, 3\\)"),
        ({"images": IMAGES - 9}, "pixels from 0 to 255. .*from -9 to 246"),
        ({"images": IMAGES / 255}, "`images` must have pixels from 0 to 255"),
        ({"images": IMAGES * np.nan}, "`images` must have pixels from 0 to"),
        ({"scale": 0.5}, "`scale` must be a finite number of at least 1"),
        ({"scale": 100}, "`scale` must leave a pixel. .*scale=100"),
        ({"quality": 0}, "`quality` must be a whole number of at least 1"),
        ({"quality": 101}, "`quality` must be from 1 to 100, .*quality=101"),
        ({"quality": (60, 10)}, r"`quality` must be .*quality=\(60, 10\)"),
        ({"noise": -1}, "`noise` must be a finite number of at least 0"),
        ({"text": 3}, "`text` must be a name"),
        ({"seed": -1}, "`seed` must be a whole number of at least 0"),
    ],
)
def test_what_makes_no_sense_is_refused(change, message):
    with pytest.raises((TypeError, ValueError), match=message):
        crappify(**{"images": IMAGES, **change})
