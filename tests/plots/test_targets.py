"""Is each target drawn as what it is, and where it is?"""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_fast.plots._axes import COLORS, GREY
from keras_fast.plots.targets import kind_of, plot_targets

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (3, 8, 6, 3), np.uint8)
MASKS = RNG.integers(0, 3, (3, 8, 6))
KINDS = {
    "classes": ("label", np.arange(3)),
    "one-hot": ("label", np.eye(3)),
    "numbers": ("label", np.ones((3, 1))),
    "masks": ("mask", MASKS),
    "masks with an axis": ("mask", MASKS[..., None].astype("uint8")),
    "masks as floats": ("mask", (MASKS > 0)[..., None].astype("float32")),
    "one-hot masks": ("mask", np.eye(3)[MASKS]),
    "points": ("points", np.zeros((3, 5, 2))),
    "images": ("image", IMAGES),
    "grey images": ("image", IMAGES[..., :1] / 255),
    "grey images of whole numbers": (
        "image",
        RNG.integers(0, 256, (3, 40, 40, 1), np.uint8),
    ),
}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name):
    kind, targets = KINDS[name]
    assert kind_of(targets) == kind


@pytest.mark.parametrize(
    "masks", ["masks", "masks with an axis", "one-hot masks"]
)
def test_masks_are_laid_over_and_background_is_clear(masks):
    axes = plot_targets(
        IMAGES, {"": KINDS[masks][1]}, class_names=["none", "cat", "dog"]
    )
    assert axes.shape == (3,)
    for ax, mask in zip(axes, MASKS, strict=True):
        image, laid = (drawn.get_array() for drawn in ax.get_images())
        assert image.shape == (8, 6, 3)
        np.testing.assert_array_equal(laid[..., 3] > 0, mask > 0)
        assert len({tuple(c) for c in laid[mask == 1]}) == 1
    (legend,) = axes[0].figure.legends
    assert [t.get_text() for t in legend.get_texts()] == ["cat", "dog"]


def test_what_the_loss_ignores_is_grey():
    masks = np.full((1, 8, 6), 255)
    (ax,) = plot_targets(IMAGES[:1], {"": masks})
    laid = ax.get_images()[1].get_array()
    rgb = [int(GREY[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    np.testing.assert_allclose(laid[0, 0, :3], rgb)
    assert GREY not in COLORS


def test_points_in_pixels_and_as_shares():
    points = np.array([[[0, 0], [5, 7]]], float)
    shares = (points + 0.5) / [6, 8] * 2 - 1
    for given in (points, shares):
        (ax,) = plot_targets(IMAGES[:1], {"": given})
        (drawn,) = ax.collections
        np.testing.assert_allclose(drawn.get_offsets(), points[0], atol=1e-9)


def test_columns_stand_side_by_side_with_names_and_titles():
    columns = {"input": None, "target": IMAGES, "output": IMAGES / 255}
    axes = plot_targets(IMAGES, columns, titles=["a", "b", "c"])
    assert axes.shape == (3, 3)
    assert [ax.get_title() for ax in axes[0]] == [
        "input\na",
        "target",
        "output",
    ]
    assert axes[2, 0].get_title() == "c"
    np.testing.assert_allclose(
        axes[1, 1].get_images()[0].get_array(), IMAGES[1] / 255
    )


def test_a_mask_of_another_size_lies_over_the_whole_image():
    (ax,) = plot_targets(IMAGES[:1], {"": MASKS[:1, ::2, ::2]})
    image, laid = ax.get_images()
    assert list(image.get_extent()) == list(laid.get_extent())


def test_many_classes_and_maps_of_numbers():
    masks = np.arange(2 * 8 * 8).reshape(2, 8, 8) % 120
    assert kind_of(masks) == "mask"
    depths = np.random.default_rng(0).uniform(size=(2, 8, 8))
    assert kind_of(depths) == "image"
    axes = plot_targets(np.zeros((2, 8, 8, 3)), {"input": None, "a": depths})
    shown = axes[0, 1].get_images()[0].get_array()
    np.testing.assert_allclose(shown, depths[0], atol=1e-6)


def test_predicted_points_are_in_the_unit_of_the_actual_ones():
    columns = {
        "actual": np.full((1, 1, 2), 0.5),
        "predicted": np.full((1, 1, 2), 1.1),
    }
    axes = plot_targets(np.zeros((1, 8, 8, 3)), columns)
    places = [ax.collections[0].get_offsets()[0] for ax in axes[0]]
    np.testing.assert_allclose(places, [[5.5, 5.5], [7.9, 7.9]])
