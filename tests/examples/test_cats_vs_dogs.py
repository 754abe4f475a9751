"""The pipeline, on images that tensorflow-datasets makes up."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_fast.data import AugTransforms

pytestmark = pytest.mark.tensorflow_only

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def cats_vs_dogs(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import cats_vs_dogs

    with tfds.testing.mock_data(num_examples=70):
        yield cats_vs_dogs


def test_each_photo_once_in_batches(cats_vs_dogs):
    photos = list(cats_vs_dogs.load("train").as_numpy_iterator())
    assert [len(labels) for _, labels in photos] == [32, 32, 6]
    for x, y in photos:
        assert x.shape[1:] == (96, 96, 3)
        assert 0 <= x.min() <= x.max() <= 255
        assert x.max() > 1
        assert {*y} <= {0, 1}


def test_augmented_photos_differ_each_epoch(cats_vs_dogs):
    photos = cats_vs_dogs.load("train", AugTransforms(seed=0))
    first, second = (next(photos.as_numpy_iterator())[0] for _ in range(2))
    assert first.shape == second.shape == (32, 96, 96, 3)
    assert np.abs(first - second).max() > 1
