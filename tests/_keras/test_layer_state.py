"""Copies, against what Keras loads from a file of the model."""

import os

import keras
import numpy as np
import pytest

from keras_fast._keras.layer_state import copied

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(30, 5, (8, 1)).astype("float32")
WORDS = np.array([["red dog"], ["cat"], ["dog"], ["red red"]])
NUMBERS = np.array([[17], [12], [17], [3]])
LOOKUPS = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="TensorFlow's tables, and its float64",
)


@keras.saving.register_keras_serializable("tests")
class Told(layers.Layer):
    """Was told a number and a word, neither of which is a variable."""

    number, word = 1.0, ""

    def call(self, x):
        return x * self.number + len(self.word)

    def save_own_variables(self, store):
        store["number"] = np.array(self.number)

    def load_own_variables(self, store):
        self.number = float(np.array(store["number"]))

    def save_assets(self, dir_path):
        with open(os.path.join(dir_path, "word"), "w") as file:
            file.write(self.word)

    def load_assets(self, dir_path):
        with open(os.path.join(dir_path, "word")) as file:
            self.word = file.read()


def told():
    layer = Told()
    layer.number, layer.word = 0.5, "four"
    return layer


def adapted(layer, x):
    layer.adapt(x[:, 0] if isinstance(layer, layers.TextVectorization) else x)
    return layer


def mean():
    return adapted(layers.Normalization(), X)


def words(**arguments):
    return adapted(layers.TextVectorization(**arguments), WORDS)


LAYERS = {
    "normalization": (X, mean),
    "discretization": (
        X,
        lambda: adapted(layers.Discretization(num_bins=3), X),
    ),
    "own": (X, told),
    "nested": (X, lambda: keras.Sequential([keras.Input((1,)), mean()])),
    "float64": (X, lambda: layers.Dense(2, dtype="float64")),
    "hashing": (NUMBERS, lambda: layers.Hashing(3)),
    "strings": (WORDS, lambda: adapted(layers.StringLookup(), WORDS)),
    "integers": (NUMBERS, lambda: adapted(layers.IntegerLookup(), NUMBERS)),
    "text": (WORDS, words),
    "weights of words": (WORDS, lambda: words(output_mode="tf_idf")),
}
TENSORFLOW = {*LAYERS} - {"normalization", "discretization", "own", "nested"}
CASES = [
    pytest.param(name, marks=[LOOKUPS] if name in TENSORFLOW else [])
    for name in LAYERS
]


def with_layer(x, layer):
    dtype = {"U": "string", "i": "int64", "f": "float32"}[x.dtype.kind]
    inputs = keras.Input((1,), dtype=dtype)
    return keras.Model(inputs, layer(inputs))


def said(model, x):
    if x.dtype.kind == "U":
        import tensorflow as tf

        x = tf.constant(x)
    return keras.ops.convert_to_numpy(model(x))


@pytest.mark.parametrize("name", CASES)
def test_a_copy_says_what_the_model_says(name, tmp_path):
    x, layer = LAYERS[name]
    model = with_layer(x, layer())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    copy = copied(model)
    wanted = said(loaded, x)
    assert said(copy, x).dtype == wanted.dtype
    np.testing.assert_array_equal(said(copy, x), wanted)
    np.testing.assert_array_equal(said(model, x), wanted)


def test_a_copy_has_variables_of_its_own():
    model = with_layer(X, layers.Dense(2))
    copy = copied(model)
    before = said(model, X)
    copy.layers[-1].kernel.assign(np.zeros((1, 2)))
    np.testing.assert_array_equal(said(model, X), before)
