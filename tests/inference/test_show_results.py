"""Are predictions drawn beside what is true, whatever they are?"""

import keras
import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_fast.data import show_batch
from keras_fast.inference import show_results

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, 8, 6, 3), np.uint8)
MASKS = RNG.integers(0, 3, (5, 8, 6))
POINTS = RNG.uniform(0, 6, (5, 4, 2))


class Says(keras.layers.Layer):
    """The same for each image, whatever it is."""

    def __init__(self, answer):
        super().__init__()
        self.answer = np.asarray(answer, "float32")

    def call(self, images):
        batch = keras.ops.shape(images)[0]
        answer = keras.ops.convert_to_tensor(self.answer)[None]
        return keras.ops.repeat(answer, batch, axis=0)


def saying(answer, loss):
    inputs = keras.Input((8, 6, 3))
    model = keras.Model(inputs, Says(answer)(inputs))
    model.compile(loss=loss)
    return model


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_classes():
    model = saying([0, 5, 1], CROSSENTROPY)
    axes = show_results(
        model, IMAGES, np.array([0, 1, 2, 0, 1]), class_names=["a", "b", "c"]
    )
    assert axes[2].get_title() == "predicted: b\nactual: c"


def test_several_labels_and_numbers():
    tags = saying([9, -9, 9], keras.losses.BinaryCrossentropy(from_logits=True))
    flags = np.array([[1, 0, 0]] * 5)
    axes = show_results(tags, IMAGES, flags, class_names=["a", "b", "c"], n=2)
    assert [ax.get_title() for ax in axes] == ["predicted: a, c\nactual: a"] * 2
    number = saying([2.5], "mse")
    axes = show_results(number, IMAGES, np.arange(5) / 4, n=2)
    assert axes[1].get_title() == "predicted: 2.5\nactual: 0.25"


def test_masks():
    scores = np.zeros((8, 6, 3))
    scores[:4, :, 1] = 7  # the upper half is of class 1
    model = saying(scores, CROSSENTROPY)
    axes = show_results(model, IMAGES, MASKS, n=3)
    assert axes.shape == (3, 2)
    for (actual, predicted), mask in zip(axes, MASKS, strict=False):
        laid = actual.get_images()[1].get_array()
        np.testing.assert_array_equal(laid[..., 3] > 0, mask > 0)
        laid = predicted.get_images()[1].get_array()
        np.testing.assert_array_equal(
            laid[..., 3] > 0, np.arange(8)[:, None] < 4 * np.ones(6)
        )


def test_a_mask_of_one_class():
    scores = np.full((8, 6, 1), -7.0)
    scores[2, 3] = 7
    model = saying(scores, keras.losses.BinaryCrossentropy(from_logits=True))
    axes = show_results(model, IMAGES, (MASKS > 0)[..., None], n=1)
    laid = axes[0, 1].get_images()[1].get_array()
    assert laid[2, 3, 3] > 0 and (laid[..., 3] > 0).sum() == 1


def test_points():
    model = saying(POINTS[0] + 0.5, "mse")
    axes = show_results(model, IMAGES, POINTS, n=2)
    for (actual, predicted), points in zip(axes, POINTS, strict=False):
        np.testing.assert_allclose(actual.collections[0].get_offsets(), points)
        np.testing.assert_allclose(
            predicted.collections[0].get_offsets(), POINTS[0] + 0.5, rtol=1e-6
        )


def test_images():
    model = saying(IMAGES[4] / 255, "mae")
    targets = IMAGES[::-1] / 255
    axes = show_results(model, IMAGES, targets, n=2)
    assert axes.shape == (2, 3)
    for (given, target, output), image, right in zip(
        axes, IMAGES, targets, strict=False
    ):
        for ax, expected in (
            (given, image / 255),
            (target, right),
            (output, IMAGES[4] / 255),
        ):
            np.testing.assert_allclose(
                ax.get_images()[0].get_array(), expected, atol=1e-6
            )


def test_show_batch_draws_the_same_targets():
    axes = show_batch(IMAGES, MASKS, n=2)
    assert axes.shape == (2,) and len(axes[0].get_images()) == 2
    axes = show_batch(IMAGES, POINTS, n=2)
    np.testing.assert_allclose(axes[1].collections[0].get_offsets(), POINTS[1])
    axes = show_batch(IMAGES, IMAGES / 255, n=2)
    assert axes.shape == (2, 2)
    assert [ax.get_title() for ax in axes[0]] == ["input", "target"]


def test_data_without_labels():
    with pytest.raises(ValueError, match="`y` must have one label a sample"):
        show_results(saying([1.0], "mse"), IMAGES)


def test_several_numbers_are_no_classes():
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, kernel_initializer="zeros"))
    model.compile(loss="mse")
    axes = show_results(model, np.zeros((1, 8, 8, 3)), np.array([[1.5, 7]]))
    assert axes[0].get_title() == "predicted: none\nactual: 1.5, 7"
