"""The examples of points and of several labels: are their scenes right?"""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_fast.models import point_regressor

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.once
SQUARES = np.zeros((4, 8, 8))
SQUARES[:, 1:7, 1:7] = 16


@pytest.fixture(autouse=True)
def _examples(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)


def test_points_are_in_the_middle_of_the_ink():
    import points as example

    images, middles = example.scenes(SQUARES, 6, seed=0)
    for image, [(x, y)] in zip(images, middles, strict=True):
        light = image.mean(axis=-1)
        # Less than half of a row has ink.
        light = light - np.median(light, axis=1, keepdims=True)
        rows, columns = np.nonzero(light > 60)
        assert abs(columns.mean() - x) < 1.5
        assert abs(rows.mean() - y) < 1.5


def test_points_are_learned():
    import points as example

    base = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(8, 8, 8, activation="relu"),
        ]
    )
    model = point_regressor(base, 1, input_shape=(64, 64, 3))
    model.compile(keras.optimizers.Adam(0.05), "mae")
    images, middles = example.scenes(SQUARES, 64, seed=0)
    model.fit(images, middles, batch_size=8, epochs=4, verbose=0)
    found = model.predict(images, verbose=0)
    constant = np.median(middles, axis=0)
    assert example.error(found, middles) < example.error(constant, middles) / 2


def test_labels_are_those_of_the_digits():
    import multi_label as example

    images, found = example.scenes(SQUARES, np.array([0, 0, 2, 2]), 9, seed=0)
    assert images.shape == (9, 64, 64, 3)
    assert found.shape == (9, 5)
    assert {*np.flatnonzero(found.any(axis=0))} == {0, 2}
    assert found.any(axis=1).all()
    train, valid, test = example.load()
    assert [len(x) for x, _ in (train, valid, test)] == [400, 100, 100]
