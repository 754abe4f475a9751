"""What is masked does not count: losses and counts against Keras's own."""

import functools

import keras
import numpy as np
import pytest
from helpers import digest

from keras_fast.inference import confusion_matrix, top_losses

layers, losses, ops = keras.layers, keras.losses, keras.ops
RNG = np.random.default_rng(0)
X = RNG.integers(1, 9, (5, 4))
Y = RNG.integers(0, 3, (5, 4))
X[0, 1:] = X[1, 3:] = X[4] = 0  # one of nothing but padding


class Odd(layers.Layer):
    """Makes a mask of its own."""

    supports_masking = True

    def call(self, x):
        return ops.one_hot(x, 9)

    def compute_mask(self, x, mask=None):
        return ops.cast(x % 2, "bool")


def masked():
    return [layers.Embedding(9, 4, mask_zero=True)]


def nested():
    return [keras.Sequential([keras.Input((4,), dtype="int32"), *masked()])]


def ones():
    return [
        layers.Embedding(9, 4, embeddings_initializer="ones"),
        layers.Masking(1.0),
    ]


BUILDS = {
    "an embedding": (masked, X > 0),
    "one in a nested model": (nested, X > 0),
    "a recurrent layer behind it": (
        lambda: [*masked(), layers.SimpleRNN(4, return_sequences=True)],
        X > 0,
    ),
    "a layer of one's own": (lambda: [Odd()], X % 2 > 0),
    "a masking": (ones, np.zeros_like(X, bool)),
    "none": (lambda: [layers.Embedding(9, 4)], np.ones_like(X, bool)),
}


def tagger(build, loss, **kwargs):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,), dtype="int32")
    parts = [*build(), layers.Dense(3, "softmax", activity_regularizer="l2")]
    model = keras.Sequential([inputs, *parts])
    model.compile("sgd", loss, **kwargs)
    return model


def alone(model, loss, x, y):
    """Keras's loss of each sample, reduced by Keras."""
    pairs = zip(np.split(x, len(x)), np.split(y, len(y)), strict=True)
    return [float(loss(y, model(x, training=False))) for x, y in pairs]


def counts(model, x, y, places):
    predicted = ops.convert_to_numpy(model(x, training=False)).argmax(-1)
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (y[places], predicted[places]), 1)
    return expected


@pytest.mark.parametrize("case", BUILDS)
def test_masked_places_of_a_sequence(case):
    build, places = BUILDS[case]
    loss = losses.SparseCategoricalCrossentropy()
    model = tagger(build, loss)
    before = digest(model)
    found = top_losses(model, X, Y, batch_size=3)
    expected = np.array(alone(model, loss, X, Y))
    order = np.argsort(-expected, kind="stable")
    np.testing.assert_allclose(found.losses, expected[order], rtol=1e-5)
    result = confusion_matrix(model, X, Y, batch_size=3)
    np.testing.assert_array_equal(result.matrix, counts(model, X, Y, places))
    assert digest(model) == before


@pytest.mark.parametrize(
    "loss",
    [
        losses.SparseCategoricalCrossentropy(ignore_class=255),
        functools.partial(
            losses.sparse_categorical_crossentropy, ignore_class=255
        ),
    ],
)
@pytest.mark.parametrize("build", [masked, BUILDS["none"][0]])
def test_places_that_the_loss_ignores(loss, build):
    y = np.where(RNG.uniform(size=Y.shape) < 0.5, 255, Y)
    y[2] = 255
    model = tagger(build, loss)
    keras_s = losses.SparseCategoricalCrossentropy(ignore_class=255)
    expected = alone(model, keras_s, X, y)
    found = top_losses(model, X, y)
    np.testing.assert_allclose(found.losses, sorted(expected)[::-1], rtol=1e-5)
    places = (y != 255) & ((X > 0) | (build is not masked))
    result = confusion_matrix(model, X, y)
    np.testing.assert_array_equal(result.matrix, counts(model, X, y, places))


def test_a_sequence_with_one_loss_counts_if_any_place_does():
    def summed(y, p):
        return ops.sum(losses.sparse_categorical_crossentropy(y, p), axis=-1)

    model = tagger(masked, summed, run_eagerly=True)
    each = losses.sparse_categorical_crossentropy(Y, model(X))
    expected = ops.convert_to_numpy(each).sum(axis=1) * (X > 0).any(axis=1)
    found = top_losses(model, X, Y)
    np.testing.assert_allclose(found.losses, sorted(expected)[::-1], rtol=1e-5)
