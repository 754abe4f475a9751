"""Counts against scikit-learn's, and the pairs in fastai's order."""

import keras
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as reference
from subjects import CLASSES, FORMS, cnn, images, tf_data

from keras_fast.inference import (
    ConfusionMatrix,
    confusion_matrix,
    most_confused,
)


@pytest.fixture(scope="module")
def model():
    return cnn()


@pytest.mark.parametrize("form", FORMS)
def test_counts_are_those_of_sklearn_in_all_that_fit_takes(model, form):
    x, y = images(50)
    predicted = model.predict(x, verbose=0).argmax(axis=1)
    result = confusion_matrix(model, *FORMS[form](x, y))
    np.testing.assert_array_equal(result.matrix, reference(y, predicted))
    assert result.accuracy == np.mean(y == predicted)


def test_one_hot_labels_shuffled(model):
    x, y = images(50)
    predicted = model.predict(x, verbose=0).argmax(axis=1)
    data = tf_data(x, np.eye(CLASSES)[y]).unbatch().shuffle(50).batch(6)
    result = confusion_matrix(model, data)
    np.testing.assert_array_equal(result.matrix, reference(y, predicted))


@pytest.mark.parametrize("from_logits", [False, True])
def test_one_output_is_two_classes(from_logits):
    loss = keras.losses.BinaryCrossentropy(from_logits=from_logits)
    model = cnn(1, None if from_logits else "sigmoid", loss=loss)
    x, y = images(50)
    y = (y > 1)[:, None]
    middle = 0.0 if from_logits else 0.5
    predicted = model.predict(x, verbose=0)[:, 0] >= middle
    assert 0 < predicted.mean() < 1
    result = confusion_matrix(model, x, y)
    np.testing.assert_array_equal(result.matrix, reference(y, predicted))


def test_pixels_count_but_for_those_without_a_class():
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=255)
    model = keras.Sequential([keras.layers.Dense(CLASSES, "softmax")])
    model.compile("sgd", loss)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4, 4, 2)).astype("float32")
    y = rng.integers(CLASSES, size=(5, 4, 4))
    y[:, 0] = 255
    predicted = model.predict(x, verbose=0).argmax(axis=-1)
    counted = reference(y[:, 1:].ravel(), predicted[:, 1:].ravel())
    result = confusion_matrix(model, x, y)
    np.testing.assert_array_equal(result.matrix, counted)


def test_names_come_with_the_data(model):
    data = tf_data(*images())
    data.class_names = ["cat", "dog", "fox"]
    assert confusion_matrix(model, data).class_names == data.class_names
    other = ("a", "b", "c")
    result = confusion_matrix(model, data, class_names=other)
    assert result.class_names == list(other)


COUNTS = np.array([[9, 2, 0], [1, 9, 5], [2, 0, 9]])


def test_most_confused_has_the_order_of_fastai():
    # fastai 2.8: np.where row by row, then a stable sort by the count.
    pairs = [(1, 2, 5), (0, 1, 2), (2, 0, 2), (1, 0, 1)]
    assert most_confused(COUNTS) == pairs
    assert most_confused(COUNTS.tolist(), min_count=2) == pairs[:3]
    named = ConfusionMatrix(COUNTS, ["cat", "dog", "fox"])
    assert most_confused(named, min_count=5) == [("dog", "fox", 5)]
    assert named.matrix.trace() == 27


def test_accuracy_of_nothing():
    assert np.isnan(ConfusionMatrix(np.zeros((2, 2), int)).accuracy)


def test_repr():
    assert repr(ConfusionMatrix(np.array([[8, 2], [1, 9]]))) == (
        "ConfusionMatrix(20 samples of 2 classes, accuracy=0.85)"
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_plot_shows_every_count(normalize):
    names = ["cat", "dog", "fox"]
    ax = ConfusionMatrix(COUNTS, names).plot(normalize)
    ax.figure.canvas.draw()
    shares = COUNTS / COUNTS.sum(axis=1, keepdims=True)
    expected = [f"{s:.0%}" for s in shares.ravel()]
    if not normalize:
        expected = [str(count) for count in COUNTS.ravel()]
    assert [text.get_text() for text in ax.texts] == expected
    assert [t.get_text() for t in ax.get_xticklabels()] == names
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "actual")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": [0, 1, 2, 3]}, "whole numbers from 0 to 2.*Received: 3"),
        ({"y": [0, 1, -1, 2]}, "whole numbers from 0 to 2.*Received: -1"),
        ({"y": [0, 1, 0.5, 2]}, "whole numbers from 0 to 2.*Received: 0.5"),
        ({"y": [0, 1, np.nan, 2]}, "whole numbers from 0 to 2.*Received: nan"),
        ({"y": np.ones((4, 3))}, "`y` must name one class a sample"),
        ({"y": None}, "`y` must have one label a sample"),
        ({"class_names": ["a"]}, "`class_names` must be 3 names"),
    ],
    ids=["3", "-1", "half", "nan", "several", "none", "names"],
)
def test_what_is_wrong_is_named(model, change, message):
    x, y = images(4)
    arguments = {"x": x, "y": y, **change}
    if arguments["y"] is not None:
        arguments["y"] = np.asarray(arguments["y"])
    with pytest.raises(ValueError, match=message):
        confusion_matrix(model, **arguments)


def test_regression_is_refused():
    with pytest.raises(ValueError, match="`model` must be a classifier"):
        confusion_matrix(cnn(1, None, loss="mse"), *images())


@pytest.mark.parametrize("result", [[1, 2], np.zeros((2, 3))])
def test_what_is_no_matrix_is_refused(result):
    with pytest.raises(ValueError, match="`result` must be a confusion"):
        most_confused(result)


def test_min_count_is_checked():
    with pytest.raises(ValueError, match="`min_count` must be a whole number"):
        most_confused(COUNTS, min_count=0)
