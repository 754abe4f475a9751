"""Which of several labels does the model detect, and at which thresholds?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_fast._checks import compiled, positive, shown
from keras_fast.inference._compiled_loss import compiled_loss
from keras_fast.inference._meaning import Evidence
from keras_fast.inference._predictions import predictions
from keras_fast.plots.images import plot_matrices
from keras_fast.plots.labels import names_of
from keras_fast.plots.table import as_html

__all__ = ["LabelReport", "label_report"]


@dataclass(frozen=True, eq=False, repr=False)
class LabelReport:
    """How well each of several labels is detected.

    Args:
        thresholds: The probability from which a label counts as detected,
            (labels,) float64.
        matrices: A confusion matrix for each label, (labels, 2, 2) int64: rows
            are true, columns predicted, first without the label.
        average_precisions: Area under precision over recall, (labels,)
            float64; NaN for a label that no sample has.
        class_names: Names of the labels, or None.

    Examples:
        >>> from keras_fast.inference import LabelReport
        >>> report = LabelReport(
        ...     thresholds=np.array([0.5, 0.3]),
        ...     matrices=np.array([[[6, 2], [0, 2]], [[5, 0], [1, 4]]]),
        ...     average_precisions=np.array([0.5, 0.9]),
        ...     class_names=["boat", "bird"],
        ... )
        >>> report.precision, report.recall
        (array([0.5, 1. ]), array([1. , 0.8]))
        >>> axes = report.plot()
    """

    thresholds: np.ndarray
    matrices: np.ndarray
    average_precisions: np.ndarray
    class_names: list[str] | None = None

    def __repr__(self) -> str:
        return (
            f"LabelReport({len(self.thresholds)} labels of "
            f"{self.matrices[0].sum()} samples, mean average precision "
            f"{self.mean_average_precision:.3f}, mean F1 "
            f"{np.nanmean(self.f1):.3f})"
        )

    def _repr_html_(self) -> str:
        columns = {
            "threshold": self.thresholds,
            "precision": self.precision,
            "recall": self.recall,
            "F1": self.f1,
            "average precision": self.average_precisions,
        }
        return as_html(
            [
                {"label": name}
                | {key: f"{values[i]:.2f}" for key, values in columns.items()}
                for i, name in enumerate(self._names)
            ]
        )

    @property
    def mean_average_precision(self) -> float:
        """The mean over the labels that at least one sample has."""
        return float(np.nanmean(self.average_precisions))

    @property
    def precision(self) -> np.ndarray:
        """Of the detected labels, the share that is right, (labels,)."""
        return _share(self.matrices[:, 1, 1], self.matrices[:, :, 1].sum(1))

    @property
    def recall(self) -> np.ndarray:
        """Of the true labels, the share that is detected, (labels,)."""
        return _share(self.matrices[:, 1, 1], self.matrices[:, 1].sum(1))

    @property
    def f1(self) -> np.ndarray:
        """The harmonic mean of precision and recall, (labels,)."""
        found, missed, right = (
            self.matrices[:, i, j] for i, j in ((0, 1), (1, 0), (1, 1))
        )
        return _share(2 * right, 2 * right + found + missed)

    @property
    def _names(self) -> list[str]:
        return self.class_names or list(map(str, range(len(self.thresholds))))

    def plot(self) -> Any:
        """Draw the confusion matrices and return the `Axes`, (labels,)."""
        return plot_matrices(self.matrices, self._names)


def label_report(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    thresholds: ArrayLike | None = None,
    beta: float = 1.0,
    class_names: Sequence[str] | None = None,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: int | str = 0,
) -> LabelReport:
    """Choose a threshold for each of several labels, and count the results.

    0.5 is seldom the best threshold for a rare label. Choose thresholds on
    validation data, and pass them when you evaluate on the test data:

    ```python
    chosen = label_report(model, x_val, y_val).thresholds
    report = label_report(model, x_test, y_test, thresholds=chosen)
    found = model.predict(x_new) >= chosen
    ```

    Args:
        model: A compiled model whose outputs are independent probabilities, as
            after a sigmoid, or their logits. Nothing in it changes.
        x: Data, as accepted by `fit()`.
        y: Labels (n, labels), 1 for each label that a sample has, else 0.
        thresholds: Probabilities, one or (labels,). None chooses those with
            the largest F score on these data; where no sample has the label,
            or every sample has it, 0.5.
        beta: How much more recall counts than precision for the choice.
        class_names: Names of the labels; by default `x.class_names`, if any.
        batch_size: As in `predict()`.
        steps: Number of batches; all if None.
        verbose: `"auto"` or 1 shows a progress bar, as in `predict()`.

    Returns:
        A `LabelReport`.

    Raises:
        ValueError: The model is not compiled, or its outputs are not one
            probability for each label; labels are not 0 and 1.

    Examples:
        >>> tagger = keras.Sequential(
        ...     [keras.layers.Dense(2, activation="sigmoid")]
        ... )
        >>> tagger.compile(loss="binary_crossentropy")
        >>> labels = np.stack([x[:, 0] > 0, x[:, 1] > 0.5], axis=-1)
        >>> report = keras_fast.inference.label_report(tagger, x, labels)
        >>> report.thresholds.shape
        (2,)

    Reference:

    - fastai 2.8, `optim_metric`, `accuracy_multi`, `APScoreMulti`
    """
    known = Evidence(model, compiled_loss(compiled(model)))
    beta = positive("beta", beta)
    how = {"batch_size": batch_size, "steps": steps, "verbose": verbose}
    batches = []
    for _, labels, outputs, _ in predictions(model, x, y, **how):
        _check_labels(labels, outputs)
        known.see(labels, outputs)
        batches.append((labels > 0.5, outputs))
    labels, outputs = map(np.concatenate, zip(*batches, strict=True))
    shares = _probabilities(known, outputs)
    if thresholds is None:
        chosen = [_best(*c, beta) for c in zip(shares.T, labels.T, strict=True)]
        chosen = np.array(chosen)
    else:
        chosen = _given(thresholds, shares.shape[1])
    precisions = map(average_precision, shares.T, labels.T)
    return LabelReport(
        chosen,
        _matrices(shares >= chosen, labels),
        np.array(list(precisions)),
        _names(x, class_names, len(chosen)),
    )


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Precision at each score, weighted by the recall gained there.

    Args:
        scores: Scores of the samples, (n,).
        labels: Whether each has the label, (n,) bool.
    """
    if not labels.any():
        return float("nan")
    _, right, found = _cuts(scores, labels)
    recall = right / right[-1]
    return float(np.sum(np.diff(recall, prepend=0) * right / found))


def _cuts(scores: Any, labels: Any) -> tuple[np.ndarray, Any, Any]:
    """Scores from the highest on; how many are right and found up to each."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # of equal scores
    right = np.cumsum(labels[order])[last]
    return scores[order][last], right, np.flatnonzero(last) + 1


def _best(scores: np.ndarray, labels: np.ndarray, beta: float) -> float:
    """The threshold with the largest F score, midway between two scores."""
    if labels.all() or not labels.any():
        return 0.5
    cuts, right, found = _cuts(scores, labels)
    f = (1 + beta**2) * right / (found + beta**2 * right[-1])
    best = int(f.argmax())
    lower = cuts[best + 1] if best + 1 < len(cuts) else 0.0
    return float((cuts[best] + lower) / 2)


def _matrices(found: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(labels, 2, 2) counts."""
    counts = [
        [
            np.sum((labels == actual) & (found == predicted), axis=0)
            for predicted in (False, True)
        ]
        for actual in (False, True)
    ]
    return np.moveaxis(np.array(counts), -1, 0)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(
        part, whole, out=np.full(len(part), np.nan), where=whole > 0
    )


def _check_labels(labels: np.ndarray, outputs: np.ndarray) -> None:
    if labels.shape != outputs.shape or labels.ndim != 2:
        raise ValueError(
            "`y` must be 0 or 1 for each label of a sample, in the shape of "
            "the model's outputs, (n, labels). Give a single label an axis, "
            "`y[:, None]`; for one class a sample look at `confusion_matrix`. "
            f"Received: y of shape {labels.shape}, outputs of shape "
            f"{outputs.shape}"
        )
    known = np.isin(labels, (0, 1))
    if not known.all():
        raise ValueError(
            "`y` must be 0 or 1 for each label of a sample. Leave out samples "
            f"whose labels are not known. Received: {labels[~known][0]:g}"
        )
    if not np.isfinite(outputs).all():
        raise ValueError(
            "The model's outputs must be finite. Look at its weights and at "
            "the data. Received: outputs with NaN or inf"
        )


def _names(x: Any, class_names: Any, size: int) -> list[str] | None:
    names = names_of(x, class_names)
    if names is not None and len(names) != size:
        raise ValueError(
            f"`class_names` must have a name for each of {size} labels. "
            f"Received: class_names={shown(names)}"
        )
    return names


def _probabilities(known: Evidence, outputs: np.ndarray) -> np.ndarray:
    meaning = known.meaning()
    shares = meaning.probabilities(outputs)
    if shares is None or meaning.link != "sigmoid":
        raise ValueError(
            "`model` must give an independent probability for each label. End "
            "it in a sigmoid, and compile it with 'binary_crossentropy'. "
            f"Received: loss={known.loss.name!r}"
        )
    return shares[:, -outputs.shape[-1] :]


def _given(thresholds: Any, size: int) -> np.ndarray:
    try:
        values = np.asarray(thresholds, float)
    except (TypeError, ValueError):
        values = np.array([np.nan])
    if values.shape not in ((), (size,)) or not np.all(
        (values >= 0) & (values <= 1)
    ):
        raise ValueError(
            f"`thresholds` must be a probability, or one for each of {size} "
            "labels. Pass `label_report(...).thresholds` of validation data. "
            f"Received: thresholds={thresholds!r}"
        )
    return np.broadcast_to(values, size).copy()
