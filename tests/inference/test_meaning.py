"""Probabilities against NumPy's, whatever a model ends in and is trained on."""

import functools

import keras
import numpy as np
import pytest

from keras_fast.inference import confusion_matrix, top_losses
from keras_fast.inference._compiled_loss import compiled_loss
from keras_fast.inference._meaning import Evidence

layers, losses, ops = keras.layers, keras.losses, keras.ops
SCORES = np.random.default_rng(0).normal(scale=2, size=(40, 3))
SCORES = SCORES.astype("float32")


class Subclassed(keras.Model):
    """Its outputs are its inputs, after a function that no one can see."""

    def __init__(self, function=None):
        super().__init__()
        self.function = function or (lambda x: x)

    def call(self, x):
        return self.function(x)


def softmax(scores):
    powers = np.exp(scores.astype(float))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(scores):
    return 1 / (1 + np.exp(-scores.astype(float)))


def functional(end=None, units=3):
    inputs = keras.Input((units,))
    return keras.Model(inputs, (end or layers.Identity())(inputs))


def known(model, loss, labels, outputs):
    model.compile(loss=loss)
    found = Evidence(model, compiled_loss(model))
    found.see(labels, outputs)
    return found.meaning()


# Losses of one's own, as they are written everywhere.
def clipped_binary(y, p):
    p = ops.clip(p, 1e-7, 1 - 1e-7)
    return -ops.mean(y * ops.log(p) + (1 - y) * ops.log(1 - p), -1)


def focal(y, p):
    p = ops.clip(p, 1e-7, 1 - 1e-7)
    share = ops.where(y == 1, p, 1 - p)
    return -ops.mean((1 - share) ** 2 * ops.log(share), -1)


def weighted_binary_crossentropy(y, z):
    return ops.mean((1 + y) * ops.softplus(z) - 2 * y * z, -1)


def binary_and_dice(y, z):
    """One number a batch, as losses for masks often are."""
    p = ops.sigmoid(z)
    dice = 1 - (2 * ops.sum(y * p) + 1) / (ops.sum(y) + ops.sum(p) + 1)
    return ops.mean(losses.binary_crossentropy(y, z, from_logits=True)) + dice


def categorical(y, z):
    return ops.logsumexp(z, axis=-1) - ops.sum(y * z, axis=-1)


def sparse(y, z):
    return losses.sparse_categorical_crossentropy(y, z, from_logits=True)


class Focal(losses.Loss):
    def __init__(self, from_logits):
        super().__init__()
        self.from_logits = from_logits

    def call(self, y, z):
        return losses.categorical_focal_crossentropy(
            y, z, from_logits=self.from_logits
        )


partial = functools.partial
SIGMOID, SOFTMAX = ("sigmoid", True), ("softmax", True)
FLAGS, ONE_HOT, WHOLE = "flags", "one-hot", "whole numbers"
LOGITS = {
    "class": (losses.BinaryCrossentropy(from_logits=True), 1, FLAGS, SIGMOID),
    "several": (losses.BinaryCrossentropy(from_logits=True), 3, FLAGS, SIGMOID),
    "BinaryFocal": (
        losses.BinaryFocalCrossentropy(from_logits=True),
        1,
        FLAGS,
        SIGMOID,
    ),
    "bound": (
        partial(losses.binary_crossentropy, from_logits=True),
        1,
        FLAGS,
        SIGMOID,
    ),
    "lambda": (
        lambda y, z: losses.binary_crossentropy(y, z, from_logits=True),
        3,
        FLAGS,
        SIGMOID,
    ),
    "weighted": (weighted_binary_crossentropy, 1, FLAGS, SIGMOID),
    "binary and Dice": (binary_and_dice, 1, FLAGS, SIGMOID),
    "categorical": (
        losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        3,
        ONE_HOT,
        SOFTMAX,
    ),
    "categorical of one's own": (categorical, 3, ONE_HOT, SOFTMAX),
    "sparse": (
        losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=9),
        3,
        WHOLE,
        SOFTMAX,
    ),
    "sparse of one's own": (sparse, 3, WHOLE, SOFTMAX),
    "focal of one's own": (Focal(from_logits=True), 3, ONE_HOT, SOFTMAX),
}


def labels_of(kind, size):
    rng = np.random.default_rng(1)
    if kind == WHOLE:
        return rng.integers(size, size=len(SCORES))
    if kind == ONE_HOT:
        return np.eye(size, dtype="float32")[labels_of(WHOLE, size)]
    return rng.integers(2, size=(len(SCORES), size))


@pytest.mark.parametrize("case", LOGITS)
@pytest.mark.parametrize("model", [functional, Subclassed])
def test_logits_are_told_by_the_loss(case, model):
    loss, size, kind, (link, _) = LOGITS[case]
    scores = SCORES[:, :size]
    made = model(units=size) if model is functional else model()
    meaning = known(made, loss, labels_of(kind, size), scores)
    assert (meaning.link, meaning.logits) == (link, True)
    expected = softmax(scores) if link == "softmax" else sigmoid(scores)
    if size == 1:
        expected = np.concatenate([1 - expected, expected], axis=1)
    shares = meaning.probabilities(scores)
    np.testing.assert_allclose(shares, expected, rtol=1e-5)
    predicted = expected.argmax(axis=1)
    if link == "sigmoid" and size > 1:
        predicted = scores >= 0
    np.testing.assert_array_equal(meaning.predicted(scores), predicted)


PROBABILITIES = {
    "name": ("binary_crossentropy", 1, FLAGS),
    "own": (clipped_binary, 1, FLAGS),
    "own of several": (clipped_binary, 3, FLAGS),
    "focal": (focal, 1, FLAGS),
    "several": ("binary_crossentropy", 3, FLAGS),
    "sparse": ("sparse_categorical_crossentropy", 3, WHOLE),
    "sparse of one's own": (
        lambda y, p: losses.sparse_categorical_crossentropy(y, p),
        3,
        WHOLE,
    ),
    "shorthand": ("ce", 3, WHOLE),
    "divergence": ("kl_divergence", 3, ONE_HOT),
}


@pytest.mark.parametrize("case", PROBABILITIES)
def test_probabilities_are_told_by_the_loss(case):
    loss, size, kind = PROBABILITIES[case]
    labels = labels_of(kind, size)
    shares = sigmoid(SCORES[:, :1]) if size == 1 else softmax(SCORES)
    if kind == FLAGS:
        shares = sigmoid(SCORES[:, :size])
    meaning = known(Subclassed(), loss, labels, shares)
    several = kind == FLAGS and size > 1
    assert meaning.link == ("sigmoid" if kind == FLAGS else "softmax")
    expected = shares
    if size == 1:
        expected = np.concatenate([1 - shares, shares], axis=1)
    np.testing.assert_allclose(meaning.probabilities(shares), expected)
    predicted = shares >= 0.5 if several else expected.argmax(axis=1)
    np.testing.assert_array_equal(meaning.predicted(shares), predicted)
    # The same loss on scores: each is told what to do about it.
    with pytest.raises(ValueError, match="Compile it with `from_logits=True`"):
        known(Subclassed(), loss, labels, SCORES[:, :size])


@pytest.mark.parametrize(
    "loss",
    ["mse", "mae", "huber", "poisson", "cosine_similarity", "hinge", "dice"],
)
def test_other_losses_say_nothing_and_the_end_decides(loss):
    for size in (1, 3):
        labels = labels_of(FLAGS, size)
        scores = SCORES[:, :size]
        assert known(functional(units=size), loss, labels, scores).link is None
        shares = sigmoid(scores)
        end = layers.Activation("sigmoid")
        meaning = known(functional(end, size), loss, labels, shares)
        assert (meaning.link, meaning.logits) == ("sigmoid", False)
    end = layers.Activation("softmax")
    meaning = known(
        functional(end), loss, labels_of(ONE_HOT, 3), softmax(SCORES)
    )
    assert (meaning.link, meaning.logits) == ("softmax", False)


def test_a_sigmoid_on_numbers_between_is_a_regression():
    end, shares = layers.Activation("sigmoid"), sigmoid(SCORES)
    assert known(functional(end), "mse", shares, shares).link is None


def nll(y, logs):
    """Of logarithms of probabilities: linear in them."""
    return -ops.sum(y * logs, -1)


@pytest.mark.parametrize("loss", [nll, "mse", categorical])
@pytest.mark.parametrize("model", [functional, Subclassed])
def test_logarithms_of_probabilities(loss, model):
    end = layers.Activation("log_softmax")
    made = functional(end) if model is functional else Subclassed()
    shares = softmax(SCORES)
    meaning = known(made, loss, labels_of(ONE_HOT, 3), np.log(shares))
    assert meaning.link == "softmax"
    found = meaning.probabilities(np.log(shares))
    np.testing.assert_allclose(found, shares, rtol=1e-5)
    predicted = meaning.predicted(np.log(shares))
    np.testing.assert_array_equal(predicted, shares.argmax(axis=1))


def test_logarithms_of_one_or_several_sigmoids():
    end = layers.Activation("log_sigmoid")
    for size in (1, 3):
        shares = sigmoid(SCORES[:, :size])
        labels = labels_of(FLAGS, size)
        meaning = known(functional(end, size), nll, labels, np.log(shares))
        assert meaning.link == "sigmoid"
        found = meaning.probabilities(np.log(shares))
        np.testing.assert_allclose(found[:, -size:], shares, rtol=1e-5)


def test_logarithms_of_a_softmax_are_scores_but_not_of_a_sigmoid():
    logs, shares = np.log(softmax(SCORES)), softmax(SCORES)
    end = layers.Activation("log_softmax")
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    meaning = known(functional(end), loss, labels_of(WHOLE, 3), logs)
    found = meaning.probabilities(logs)
    np.testing.assert_allclose(found, shares, rtol=1e-5)
    loss = losses.BinaryCrossentropy(from_logits=True)
    for name in ("log_softmax", "log_sigmoid"):
        model = functional(layers.Activation(name))
        with pytest.raises(ValueError, match=f"leave out the {name} at its"):
            known(model, loss, labels_of(FLAGS, 3), logs)
    with pytest.raises(ValueError, match="must be probabilities"):
        known(functional(end), "ce", labels_of(WHOLE, 3), logs)


def test_a_loss_linear_in_scores_says_nothing_of_them():
    for size in (1, 3):
        labels = labels_of(FLAGS, size)
        assert known(Subclassed(), nll, labels, SCORES[:, :size]).link is None


def test_one_class_of_several_sigmoids_is_a_share_of_their_sum():
    end, shares = layers.Activation("sigmoid"), sigmoid(SCORES)
    for loss, kind in (
        ("sparse_categorical_crossentropy", WHOLE),
        ("categorical_crossentropy", ONE_HOT),
    ):
        meaning = known(functional(end), loss, labels_of(kind, 3), shares)
        np.testing.assert_allclose(
            meaning.probabilities(shares),
            shares / shares.sum(axis=1, keepdims=True),
        )


def test_numbers_that_share_one_are_classes_though_no_end_is_known():
    shares = softmax(SCORES)
    meaning = known(Subclassed(), "mse", labels_of(ONE_HOT, 3), shares)
    assert meaning.link == "softmax"


CONTRADICTIONS = {
    "scores that are probabilities": (
        functional(layers.Softmax()),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        WHOLE,
        softmax(SCORES),
        "without `from_logits=True`, or leave out the softmax",
    ),
    "a softmax of one": (
        functional(layers.Softmax(), 1),
        "binary_crossentropy",
        FLAGS,
        np.ones((40, 1)),
        "`model` must end in a sigmoid if it has one output",
    ),
    "another axis": (
        functional(),
        losses.CategoricalCrossentropy(axis=0),
        ONE_HOT,
        softmax(SCORES),
        "The last axis of outputs must be that of the classes",
    ),
    "a loss that tells half": (
        functional(),
        partial(lambda y, z, from_logits: ops.mean(z**2, -1), from_logits=True),
        ONE_HOT,
        SCORES,
        "must tell whether a sample is of one class or of several",
    ),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_contradictions_are_named(case):
    model, loss, kind, outputs, message = CONTRADICTIONS[case]
    size = outputs.shape[-1]
    with pytest.raises(ValueError, match=message):
        known(model, loss, labels_of(kind, size), outputs)


def test_a_matrix_has_the_accuracy_of_keras_at_the_right_threshold():
    model = functional(units=1)
    metric = keras.metrics.BinaryAccuracy(threshold=0)
    model.compile(loss=weighted_binary_crossentropy, metrics=[metric])
    x, y = SCORES[:, :1], labels_of(FLAGS, 1)
    assert (sigmoid(x) > 0.5).sum() != (x > 0.5).sum()
    expected = model.evaluate(x, y, verbose=0)[1]
    assert confusion_matrix(model, x, y).accuracy == pytest.approx(expected)
    worst = top_losses(model, x, y, k=40)
    np.testing.assert_allclose(
        worst.probabilities[:, 1], sigmoid(x)[worst.indices, 0], rtol=1e-5
    )
    assert np.mean(worst.predicted == worst.labels[:, 0]) == pytest.approx(
        expected
    )


def test_logits_that_a_loss_takes_for_probabilities_are_refused():
    model = functional()
    model.compile(loss="sparse_categorical_crossentropy")
    y = labels_of(WHOLE, 3)
    with pytest.raises(ValueError, match="Compile it with `from_logits=True`"):
        top_losses(model, SCORES, y)
    # Which is the largest is the same in any case.
    found = confusion_matrix(model, SCORES, y)
    assert found.accuracy == np.mean(SCORES.argmax(1) == y)


@pytest.mark.tensorflow_only
def test_losses_of_tensorflow():
    import tensorflow as tf

    def wrapped(y, z):
        return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(y, z.dtype), z)

    def of_one_class(y, z):
        return tf.nn.softmax_cross_entropy_with_logits(tf.cast(y, z.dtype), z)

    meaning = known(Subclassed(), wrapped, labels_of(FLAGS, 3), SCORES)
    assert (meaning.link, meaning.logits) == SIGMOID
    labels = labels_of(ONE_HOT, 3)
    meaning = known(Subclassed(), of_one_class, labels, SCORES)
    assert (meaning.link, meaning.logits) == SOFTMAX
