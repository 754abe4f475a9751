"""What can be known of data before it is read."""

import keras
import numpy as np
import pytest
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from keras_fast import cache_features, lr_find
from keras_fast._keras.batches import has_length, is_one_shot

# What Keras says of a class of its own, before 3.12.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Your `PyDataset` class should call"
)

X = np.random.default_rng(0).uniform(0, 1, (8, 6, 6, 3)).astype("float32")
Y = np.arange(8) % 2


class Batches(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return X[4 * index :][:4], Y[4 * index :][:4]


class Endless(Batches):
    @property
    def num_batches(self):
        return None


class Reader:
    """An iterator in all but its class."""

    def __iter__(self):
        return self

    def __next__(self):
        return X, Y


def tf_data():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)


def flow(folder):
    return ImageDataGenerator().flow(X, Y, batch_size=4, shuffle=False)


def flow_of_files(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        keras.utils.save_img(folder / name / "0.png", 255 * X[0], scale=False)
    return ImageDataGenerator().flow_from_directory(folder, (6, 6))


# How each is made in a folder; whether it can be read once only, and whether
# the length of an epoch is known.
DATA = {
    "array": (lambda _: X, False, True),
    "pair of arrays": (lambda _: (X, Y), False, True),
    "dictionary": (lambda _: {"a": X}, False, True),
    "PyDataset": (lambda _: Batches(), False, True),
    "endless PyDataset": (lambda _: Endless(), False, False),
    "NumpyArrayIterator": (flow, False, True),
    "DirectoryIterator": (flow_of_files, False, True),
    "tf.data": (lambda _: tf_data(), False, True),
    "endless tf.data": (lambda _: tf_data().repeat(), False, False),
    "filtered tf.data": (
        lambda _: tf_data().filter(lambda x, y: True),
        False,
        False,
    ),
    "generator": (lambda _: (batch for batch in [X]), True, False),
    "zip": (lambda _: zip([X], [Y], strict=True), True, False),
    "map": (lambda _: map(abs, [X]), True, False),
    "enumerate": (lambda _: enumerate([X]), True, False),
    "iterator of tf.data": (lambda _: iter(tf_data()), True, False),
    "tf.data as NumPy": (
        lambda _: tf_data().as_numpy_iterator(),
        True,
        False,
    ),
    "reader": (lambda _: Reader(), True, False),
}


@pytest.mark.parametrize("name", DATA)
def test_what_is_known_beforehand(name, tmp_path):
    make, once, known = DATA[name]
    assert is_one_shot(make(tmp_path)) is once
    (tmp_path / "again").mkdir()
    assert has_length(make(tmp_path / "again")) is known


def model():
    built = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(1, kernel_initializer="ones"),
        ]
    )
    built.compile("sgd", "mse")
    return built


def test_a_generator_of_images_is_read_by_number():
    seen = []

    class Watched(type(flow(None))):
        def __getitem__(self, index):
            seen.append(index)
            return super().__getitem__(index)

    images = Watched(X, Y, ImageDataGenerator(), batch_size=4, shuffle=False)
    lr_find(model(), images, end_lr=1e-3, num_steps=6)
    # Over and over, and not by `next()`, whose batches would be kept.
    assert {*seen} == {0, 1} and len(seen) >= 6


def test_a_generator_of_images_is_known_by_content(tmp_path):
    body = keras.Sequential([keras.Input((6, 6, 3)), keras.layers.Flatten()])
    first = cache_features(body, flow(None), directory=tmp_path)
    np.testing.assert_array_equal(first.arrays()[0], X.reshape(8, -1))
    again = cache_features(body, Batches(), directory=tmp_path)
    assert again.directory == first.directory
