"""Thresholds and counts, against scikit-learn and a search over all cuts."""

import keras
import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    fbeta_score,
    multilabel_confusion_matrix,
)

from keras_fast.inference import label_report

RNG = np.random.default_rng(0)
SCORES = RNG.normal(size=(80, 4)).astype("float32")
SCORES[:, 3] = SCORES[:, 3].round(1)  # with ties
LABELS = (SCORES + RNG.normal(size=SCORES.shape) > [0, 1, -1, 0.5]).astype(int)
SHARES = 1 / (1 + np.exp(-SCORES.astype("float64")))


@pytest.fixture(scope="module")
def tagger():
    """Its logits are its inputs."""
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def test_average_precision_as_in_scikit_learn(tagger):
    report = label_report(tagger, SCORES, LABELS)
    expected = average_precision_score(LABELS, SHARES, average=None)
    np.testing.assert_allclose(report.average_precisions, expected)
    assert np.isclose(report.mean_average_precision, expected.mean())


@pytest.mark.parametrize("beta", [1, 2])
def test_no_other_threshold_has_a_larger_score(tagger, beta):
    report = label_report(tagger, SCORES, LABELS, beta=beta)
    for label, (threshold, matrix) in enumerate(
        zip(report.thresholds, report.matrices, strict=True)
    ):
        found = SHARES[:, label] >= threshold
        reached = fbeta_score(LABELS[:, label], found, beta=beta)
        best = max(
            fbeta_score(LABELS[:, label], SHARES[:, label] >= t, beta=beta)
            for t in SHARES[:, label]
        )
        assert np.isclose(reached, best)
        assert matrix.sum() == len(SCORES)


def test_counts_at_given_thresholds_as_in_scikit_learn(tagger):
    thresholds = [0.2, 0.5, 0.7, 0.4]
    report = label_report(
        tagger, SCORES, LABELS, thresholds=thresholds, batch_size=7
    )
    found = thresholds <= SHARES
    np.testing.assert_array_equal(
        report.matrices, multilabel_confusion_matrix(LABELS, found)
    )
    np.testing.assert_allclose(report.f1, f1_score(LABELS, found, average=None))
    np.testing.assert_array_equal(report.thresholds, thresholds)
    one = label_report(tagger, SCORES, LABELS, thresholds=0.5)
    np.testing.assert_array_equal(one.thresholds, [0.5] * 4)


def test_a_label_that_nothing_has(tagger):
    labels = LABELS.copy()
    labels[:, 1], labels[:, 2] = 0, 1
    report = label_report(tagger, SCORES, labels)
    assert report.thresholds[1] == report.thresholds[2] == 0.5
    assert np.isnan(report.average_precisions[1])
    assert np.isfinite(report.mean_average_precision)


def test_probabilities_are_taken_as_they_are():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(inputs))
    model.compile(loss="binary_crossentropy")
    report = label_report(model, SCORES, LABELS, thresholds=0.5)
    np.testing.assert_array_equal(
        report.matrices, multilabel_confusion_matrix(LABELS, SHARES >= 0.5)
    )


def test_is_shown(tagger):
    names = ["sky", "sea", "sun", "sand"]
    report = label_report(tagger, SCORES, LABELS, class_names=names)
    assert "4 labels of 80 samples" in repr(report)
    assert "<td>sand</td>" in report._repr_html_()
    axes = report.plot()
    assert [ax.get_title() for ax in axes] == names
    texts = [text.get_text() for text in axes[0].texts]
    assert texts == [str(v) for v in report.matrices[0].ravel()]
    plt.close("all")


def test_what_it_refuses(tagger):
    with pytest.raises(ValueError, match="`y` must be 0 or 1 for each label"):
        label_report(tagger, SCORES, np.arange(80) % 4)
    with pytest.raises(ValueError, match="`thresholds` must be a probability"):
        label_report(tagger, SCORES, LABELS, thresholds=[0.5, 0.5])
    with pytest.raises(ValueError, match=r"probability.*thresholds='a'"):
        label_report(tagger, SCORES, LABELS, thresholds="a")
    with pytest.raises(ValueError, match=r"labels are not known.*0\.5"):
        label_report(tagger, SCORES, LABELS / 2)
    with pytest.raises(ValueError, match="a name for each of 4 labels"):
        label_report(tagger, SCORES, LABELS, class_names=["a"])
    with pytest.raises(ValueError, match="outputs must be finite"):
        label_report(tagger, SCORES * np.nan, LABELS)
    inputs = keras.Input((4,))
    softmax = keras.Model(inputs, keras.layers.Softmax()(inputs))
    softmax.compile(loss="categorical_crossentropy")
    with pytest.raises(ValueError, match="independent probability"):
        label_report(softmax, SCORES, np.eye(4)[LABELS.argmax(1)])
