"""Odd data: each function takes them as they are, or says what is wrong."""

import warnings

import keras
import numpy as np
import pytest
from helpers import weights

import keras_fast
from keras_fast import inference
from keras_fast.callbacks import OneCycle, Recorder
from keras_fast.models import image_classifier

RNG = np.random.default_rng(0)
ROWS, CLASSES = 12, 3
Y = np.arange(ROWS) % CLASSES


def images(rows=ROWS, dtype="float32"):
    return RNG.uniform(0, 120, (rows, 8, 8, 3)).astype(dtype)


def build():
    base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
    model = image_classifier(base, CLASSES, input_shape=(8, 8, 3), head_units=4)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.fixture(scope="module")
def shared():
    return build()


def fit(model, *data):
    recorder = Recorder()
    model.fit(*data, epochs=2, verbose=0, callbacks=[OneCycle(1e-3), recorder])
    return recorder.losses


def cached(model, x, y=None):
    body, _ = keras_fast.split_head(model)
    return keras_fast.cache_features(body, x, y, directory=cached.directory)


FUNCTIONS = {
    "fit": fit,
    "lr_find": lambda model, *data: keras_fast.lr_find(
        model, *data, num_steps=6
    ),
    "fine_tune": lambda model, *data: keras_fast.fine_tune(
        model, *data, epochs=1, verbose=0
    ),
    "cache_features": cached,
    "predict_tta": lambda model, x, y=None: keras_fast.predict_tta(
        model, x, inference.flips()
    ),
    "top_losses": inference.top_losses,
    "confusion_matrix": inference.confusion_matrix,
}


TAKEN = {
    "one row": lambda: (images(1), Y[:1]),
    "one class": lambda: (images(), 0 * Y),
    "a class that is missing": lambda: (images(), Y % 2),
    "fewer than a batch": lambda: (images(5), Y[:5]),
    "doubles": lambda: (images(dtype="float64"), Y.astype("float64")),
    "bytes": lambda: (images(dtype="uint8"), Y.astype("uint8")),
    "signed bytes": lambda: (images(dtype="int8"), Y.astype("int8")),
    "not in a row": lambda: (images(2 * ROWS)[::2], np.repeat(Y, 2)[::2]),
}


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.matrix(16)
def test_taken(shared, tmp_path, function, name):
    cached.directory = tmp_path
    with warnings.catch_warnings():
        # Keras's words about epochs of one batch.
        warnings.filterwarnings("ignore", "Your input ran out of data")
        FUNCTIONS[function](shared, *TAKEN[name]())
    assert np.isfinite(weights(shared)).all()


class Endless(keras.utils.PyDataset):
    @property
    def num_batches(self):
        return None

    def __getitem__(self, index):
        return images(4), Y[:4]


class Empty(Endless):
    @property
    def num_batches(self):
        return 0


REFUSED = {
    "no row": lambda: (images(0), Y[:0]),
    "no batch": lambda: (Empty(),),
    "no end": lambda: (Endless(),),
    "one image": lambda: (images()[0], Y[:8]),
    "one label missing": lambda: (images(), Y[1:]),
    "text": lambda: (np.array(["a", "b"]), Y[:2]),
    "objects": lambda: (np.array([images(1)[0], 1], object), Y[:2]),
    "a list of images": lambda: (list(images()), Y),
}


# The last is Keras's own on JAX where there is no data.
ERRORS = (TypeError, ValueError, StopIteration)


PAIRS = [
    (function, name)
    for function in FUNCTIONS
    for name in REFUSED
    if (function, name)
    not in {
        ("lr_find", "no end"),  # it takes as much as it needs
        ("predict_tta", "one label missing"),  # it takes none
    }
]


@pytest.mark.parametrize(("function", "name"), PAIRS)
def test_refused(tmp_path, function, name):
    cached.directory = tmp_path
    model = build()
    before = weights(model)
    with warnings.catch_warnings(), pytest.raises(ERRORS):
        warnings.simplefilter("ignore")
        FUNCTIONS[function](model, *REFUSED[name]())
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_one_number_that_is_none(tmp_path, value):
    model = build()
    x = images()
    x[3, 0, 0, 0] = value
    before = weights(model)
    found = keras_fast.lr_find(model, x, Y, num_steps=6)
    assert found.stop_reason == "non_finite"
    np.testing.assert_array_equal(weights(model), before)
    # Elsewhere it is seen where it is, and nowhere else.
    cached.directory = tmp_path
    features, _ = cached(model, x, Y).arrays()
    outputs = keras_fast.predict_tta(model, x, inference.flips())
    for array in (features, outputs):
        bad = ~np.isfinite(array).all(axis=1)
        assert np.flatnonzero(bad).tolist() == [3]
    assert inference.top_losses(model, x, Y, k=1).indices.tolist() == [3]
