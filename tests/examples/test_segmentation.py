"""The example, with a small base and few scenes."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_fast.models import unet

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.once


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import segmentation

    return segmentation


def test_scenes_are_labelled_where_the_ink_is(example):
    digits = np.zeros((2, 8, 8))
    digits[:, 2:6, 3] = 16
    images, masks = example.scenes(digits, np.array([0, 1]), 5, seed=3)
    again, _ = example.scenes(digits, np.array([0, 1]), 5, seed=3)
    np.testing.assert_array_equal(images, again)
    assert {*np.unique(masks)} == {0, 1, 2}
    inside, outside = images[masks > 0], images[masks == 0]
    assert inside.mean() > outside.mean() + 80


def test_a_unet_learns_them(example, monkeypatch):
    monkeypatch.setattr(example, "SIZE", 32)
    monkeypatch.setattr(example, "BATCH_SIZE", 4)
    keras.utils.set_random_seed(0)
    base = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 3, 2, padding="same", activation="relu"),
        ]
    )
    model = unet(base, len(example.NAMES))
    (images, masks), _ = example.load()
    example.train(model, images[:64], masks[:64], epochs=2)
    predicted = model.predict(images[:64], verbose=0).argmax(axis=-1)
    scores = example.intersection_over_union(predicted > 0, masks[:64] > 0)
    assert scores["background"] > 0.8


def test_intersection_over_union(example):
    theirs = np.array([0, 0, 1, 1, 2, 2])
    ours = np.array([0, 1, 1, 1, 2, 0])
    scores = example.intersection_over_union(ours, theirs)
    assert scores == {
        "background": 1 / 3,
        "0": 2 / 3,
        "1": 1 / 2,
        "2": 0,
        "3": 0,
    }
