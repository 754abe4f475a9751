"""Are images of every kind drawn as they look, and matrices of any size?"""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_fast.plots.images import one_image_each, plot_images, plot_matrix

pytestmark = pytest.mark.once

RAMP = np.linspace(0, 1, 48).reshape(1, 4, 4, 3)


def drawn(images, **arguments):
    axes = plot_images(images, **arguments)
    axes[0].figure.canvas.draw()
    return [np.asarray(ax.get_images()[0].get_array()) for ax in axes]


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (RAMP, RAMP),
        (RAMP * 255, RAMP),
        ((RAMP * 255).astype("uint8"), (RAMP * 255).astype("uint8") / 255),
        ((RAMP * 65535).astype("uint16"), RAMP),
        (RAMP > 0.5, (RAMP > 0.5).astype(float)),
        (RAMP * 2 - 1, RAMP),
        (RAMP * 4.5 - 2.1, RAMP),
        (RAMP.astype("float16"), RAMP),
        ((RAMP * 255).astype("int64"), (RAMP * 255).astype("uint8") / 255),
        (RAMP * 1.05, np.minimum(RAMP * 1.05, 1)),
    ],
    ids=[
        "1",
        "255",
        "uint8",
        "uint16",
        "bool",
        "-1 to 1",
        "any",
        "float16",
        "int64",
        "a little above 1",
    ],
)
def test_colours_are_as_they_were(images, expected):
    np.testing.assert_allclose(drawn(images), expected, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_channels(channels):
    images = np.random.default_rng(0).uniform(size=(2, 4, 4, channels))
    shown = drawn(images)
    kept = slice(None) if channels in (3, 4) else 0
    np.testing.assert_allclose(shown, images[..., kept], atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_channels_may_come_first(channels, dtype):
    last = np.random.default_rng(0).uniform(0, 256, (2, 7, 5, channels))
    last = last.astype(dtype)
    first = np.moveaxis(last, -1, 1)
    np.testing.assert_array_equal(drawn(first), drawn(last))
    heat = np.ones((2, 7, 5))
    shown = plot_images(first, heatmaps=heat)[0].get_images()
    assert {image.get_array().shape[:2] for image in shown} == {(7, 5)}


def test_no_image_is_drawn():
    assert plot_images(np.zeros((0, 4, 4, 3))).shape == (0,)


def test_nan_is_drawn_without_a_warning():
    drawn(np.full((1, 4, 4, 3), np.nan))
    drawn(np.zeros((1, 4, 4, 3)))
    drawn(-np.ones((1, 4, 4, 1)))


@pytest.mark.parametrize("number", [1, 2, 3, 12])
def test_grid_has_one_axes_for_each(number):
    titles = [f"{i}" for i in range(number)]
    heat = np.ones((number, 4, 4))
    images = np.repeat(RAMP, number, axis=0)
    axes = plot_images(images, titles, heat)
    axes[0].figure.canvas.draw()
    assert [ax.get_title() for ax in axes] == titles
    assert all(len(ax.get_images()) == 2 for ax in axes)
    assert plt.get_fignums() == [axes[0].figure.number]


@pytest.mark.parametrize("size", [1, 2, 20, 50])
@pytest.mark.parametrize("normalize", [False, True])
def test_matrices_of_any_size(size, normalize):
    matrix = np.zeros((size, size), int)
    matrix[: size // 2] = 3
    ax = plot_matrix(matrix, None, normalize)
    ax.figure.canvas.draw()
    assert len(ax.texts) == (size**2 if size <= 20 else 0)
    assert len(ax.get_xticklabels()) <= 40
    scale = ax.figure.axes[1].get_yticklabels()
    assert all(x.get_text().endswith("%") == normalize for x in scale)
    _, given = plt.subplots()
    assert plot_matrix(matrix, ax=given) is given


def test_the_one_input_of_images():
    images = np.zeros((2, 4, 4, 3))
    for inputs in (images, [np.ones((2, 3)), images], {"a": images}):
        assert one_image_each(inputs) is images
    for inputs in (np.ones((2, 3)), [images, images], {}):
        with pytest.raises(ValueError, match="The inputs must be images"):
            one_image_each(inputs)


def test_where_it_is_cold_the_image_shows():
    heat = np.linspace(-0.5, 1.5, 16).reshape(1, 4, 4)
    [ax] = plot_images(RAMP, heatmaps=heat)
    opacity = ax.get_images()[1].get_alpha()
    np.testing.assert_allclose(opacity, 0.75 * np.clip(heat[0], 0, 1))
