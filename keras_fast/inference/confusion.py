"""Which classes does the model confuse?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_fast._checks import compiled, whole
from keras_fast.inference._compiled_loss import (
    compiled_loss,
    counted,
    ignored_class,
)
from keras_fast.inference._meaning import Evidence
from keras_fast.inference._predictions import predictions
from keras_fast.plots.images import plot_matrix
from keras_fast.plots.labels import class_index, names_of

__all__ = ["ConfusionMatrix", "confusion_matrix", "most_confused"]


@dataclass(frozen=True, eq=False, repr=False)
class ConfusionMatrix:
    """How often each class was predicted for each true class.

    Args:
        matrix: Counts, (classes, classes) int64: a row for each true class,
            a column for each predicted one.
        class_names: Names of the classes, or None.

    Examples:
        >>> from keras_fast.inference import ConfusionMatrix
        >>> result = ConfusionMatrix(np.array([[8, 2], [1, 9]]), ["cat", "dog"])
        >>> result.accuracy
        0.85
        >>> ax = result.plot()
    """

    matrix: np.ndarray
    class_names: list[str] | None = None

    def __repr__(self) -> str:
        return (
            f"ConfusionMatrix({self.matrix.sum()} samples of "
            f"{len(self.matrix)} classes, accuracy={self.accuracy:.4g})"
        )

    @property
    def accuracy(self) -> float:
        """The share on the diagonal, NaN without samples."""
        total = self.matrix.sum()
        return float(self.matrix.trace() / total) if total else float("nan")

    def plot(self, normalize: bool = False, ax: Any = None) -> Any:
        """Draw it and return the matplotlib `Axes`.

        Args:
            normalize: Whether to draw the share of each true class instead of
                the count.
            ax: Axes to draw on; new ones if None.
        """
        return plot_matrix(self.matrix, self.class_names, normalize, ax)


def confusion_matrix(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    class_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: int | str = 0,
) -> ConfusionMatrix:
    """Count the predictions for the samples of each class.

    Labels and outputs come from one pass over the data, so they match even if
    the data is shuffled. In segmentation each pixel counts, except places that
    the model masks or the loss ignores.
    Weights do not count.

    Args:
        model: A compiled classifier with one output: one number for each
            class, or one for two classes. Nothing in it changes.
        x: Data, as accepted by `fit()`.
        y: Labels, whole numbers or one-hot, as in `fit()`.
        class_names: Names of the classes; by default `x.class_names`, if any.
        batch_size: As in `predict()`.
        steps: Number of batches; all if None.
        verbose: `"auto"` or 1 shows a progress bar, as in `predict()`.

    Returns:
        A `ConfusionMatrix`.

    Raises:
        ValueError: The model is not compiled or not a classifier, its loss
            interprets its one output differently, such as a logit as a
            probability; a label is not a class, or there are no labels, no
            data, or the data never ends.

    Examples:
        >>> classifier = keras.Sequential(
        ...     [keras.layers.Dense(2, activation="softmax")]
        ... )
        >>> classifier.compile(loss="sparse_categorical_crossentropy")
        >>> result = keras_fast.inference.confusion_matrix(
        ...     classifier, x, y > 0, class_names=["negative", "positive"]
        ... )
        >>> int(result.matrix.sum()) == len(x)
        True

    Reference:

    - fastai 2.8, `ClassificationInterpretation.confusion_matrix`
    """
    loss = compiled_loss(compiled(model))
    known = Evidence(model, loss)
    names = names_of(x, class_names)
    matrix = np.zeros((0, 0), np.int64)
    for _, labels, outputs, mask in predictions(
        model, x, y, batch_size=batch_size, steps=steps, verbose=verbose
    ):
        known.see(labels, outputs)
        if outputs.shape[-1] == 1:
            outputs = _two_classes(known, outputs)
        size = outputs.shape[-1]
        if not len(matrix):
            _check_names(names, size)
            matrix = np.zeros((size, size), np.int64)
        predicted = outputs.argmax(axis=-1)
        places = counted(mask, predicted.ndim) > 0
        places = np.broadcast_to(places, predicted.shape).ravel()
        predicted = predicted.ravel()
        labels = labels.reshape(len(predicted), -1)
        places = places & (labels != ignored_class(loss)).all(axis=1)
        actual = class_index(labels[places], size)
        np.add.at(matrix, (actual, predicted[places]), 1)
    return ConfusionMatrix(matrix, names)


def most_confused(
    result: ConfusionMatrix | ArrayLike, min_count: int = 1
) -> list[tuple[Any, Any, int]]:
    """The pairs of classes that are confused, most frequent first.

    Args:
        result: A `ConfusionMatrix`, or its counts alone.
        min_count: Leave out pairs that are confused less often.

    Returns:
        True class, predicted class and count, for each pair of different
        classes. They are names if the result has names, else numbers.

    Examples:
        >>> counts = [[8, 2, 0], [1, 9, 0], [4, 0, 5]]
        >>> keras_fast.inference.most_confused(counts, min_count=2)
        [(2, 0, 4), (0, 1, 2)]

    Reference:

    - fastai 2.8, `ClassificationInterpretation.most_confused`
    """
    whole("min_count", min_count)
    names = None
    if isinstance(result, ConfusionMatrix):
        names, result = result.class_names, result.matrix
    counts = np.array(result)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(
            "`result` must be a confusion matrix. Pass what "
            "`confusion_matrix()` returns, or counts (classes, classes). "
            f"Received: result of shape {counts.shape}"
        )
    np.fill_diagonal(counts, 0)
    classes = names or list(range(len(counts)))
    pairs = [
        (classes[actual], classes[predicted], int(counts[actual, predicted]))
        for actual, predicted in np.argwhere(counts >= min_count)
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


def _two_classes(known: Evidence, outputs: np.ndarray) -> np.ndarray:
    shares = known.meaning().probabilities(outputs)
    if shares is not None:
        return shares
    raise ValueError(
        "`model` must be a classifier. End one of one output in a sigmoid, or "
        "compile it with 'binary_crossentropy', so that its output is known "
        f"for a probability. Received: loss={known.loss.name!r}"
    )


def _check_names(names: list[str] | None, size: int) -> None:
    if names is not None and len(names) != size:
        raise ValueError(
            f"`class_names` must be {size} names, as many as the model has "
            "classes. Pass them in the order of the labels. "
            f"Received: class_names={names!r}"
        )
