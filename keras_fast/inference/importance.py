"""How much does the model rely on each column?"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_fast._checks import compiled, function, whole
from keras_fast._checks import model as checked_model
from keras_fast._keras.metrics import declares_larger_better
from keras_fast.inference._compiled_loss import compiled_loss, sample_losses
from keras_fast.inference._permuted import (
    as_array,
    checked_data,
    keys_of,
    permuted,
)
from keras_fast.inference._predictions import predictor
from keras_fast.plots.bars import plot_bars
from keras_fast.plots.table import as_html

__all__ = ["FeatureImportance", "feature_importance"]

# A function of outputs and mask that returns a number.
Score = Callable[[np.ndarray, np.ndarray | None], float]


@dataclass(frozen=True, eq=False, repr=False)
class FeatureImportance:
    """How much worse a model's predictions get without each column.

    Args:
        names: Names of the columns, in the order of the data.
        importances: How much worse the metric gets when a column is permuted,
            the mean over the repeats, (columns,) float64. Around 0 for a
            column that the model does not use, or that does not help.
        spread: Standard deviation over the repeats, (columns,) float64.
        baseline: The metric on the unpermuted data.
        metric: Name of the metric.
        larger_is_better: Whether larger values of the metric are better.

    Examples:
        >>> from keras_fast.inference import FeatureImportance
        >>> result = FeatureImportance(
        ...     ["cut", "carat"], np.array([0.1, 0.5]), np.zeros(2), 0.2, "mse"
        ... )
        >>> result
        FeatureImportance(increase in mse from 0.2: carat 0.5, cut 0.1)
        >>> ax = result.plot()
    """

    names: list[str]
    importances: np.ndarray
    spread: np.ndarray
    baseline: float
    metric: str
    larger_is_better: bool = False

    def __repr__(self) -> str:
        order = self._order()
        largest = ", ".join(
            f"{self.names[i]} {self.importances[i]:.3g}" for i in order[:3]
        )
        rest = f", ... of {len(order)} columns" if len(order) > 3 else ""
        return (
            f"FeatureImportance({self._label()} from {self.baseline:.4g}: "
            f"{largest}{rest})"
        )

    def _repr_html_(self) -> str:
        return as_html(
            [
                {
                    "column": self.names[i],
                    self._label(): f"{self.importances[i]:.3g}",
                    "spread": f"{self.spread[i]:.2g}",
                }
                for i in self._order()
            ]
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw a bar for each column and return the matplotlib `Axes`.

        The most important column is at the top; a line shows the spread. With
        more than 30 columns, the 30 most important ones are drawn.

        Args:
            ax: Axes to draw on; new ones if None.
        """
        label = f"{self._label()} from {self.baseline:.3g} when permuted"
        return plot_bars(self.names, self.importances, self.spread, label, ax)

    def _order(self) -> np.ndarray:
        return np.argsort(-self.importances, kind="stable")

    def _label(self) -> str:
        change = "decrease" if self.larger_is_better else "increase"
        return f"{change} in {self.metric.replace('_', ' ')}"


def feature_importance(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    metric: Callable[..., Any] | None = None,
    larger_is_better: bool | None = None,
    columns: Mapping[str, Sequence[Any]] | None = None,
    num_repeats: int = 5,
    batch_size: int = 1024,
    seed: int | None = 0,
) -> FeatureImportance:
    """Measure how much worse predictions get when a column is permuted.

    A permuted column keeps its values, but each in the wrong row: it no longer
    carries information about the label. The more the metric suffers, the more
    the model relies on the column. Measure it on data that the model was not
    trained on. Of two redundant columns, each looks unimportant, because the
    other is still there: permute them together with `columns`.

    If the model was built on a `TableEncoder`, all arrays of a table column
    are permuted together: a number and the flag of its missing values, or all
    parts of a date.

    Args:
        model: A model with one output; compiled, unless `metric` is passed.
            Nothing in it changes.
        x: Inputs by name, arrays (rows, ...) as a `TableEncoder` returns them,
            or one array (rows, columns).
        y: Labels, (rows, ...).
        metric: A Keras metric, or a function of labels and predictions, both
            arrays of all rows, that returns a number. Predictions have the
            shape of the labels if they are as many numbers. None takes the
            loss that the model is compiled with.
        larger_is_better: Whether a larger metric is better. None takes what a
            Keras metric declares, and False for the loss and for functions.
        columns: Groups to permute together, by the name to show: names of
            inputs, or column numbers of an array. Others are not permuted.
            None takes every column of the encoder's table and every other
            input, or every column of the array.
        num_repeats: How often each column is permuted. The permutations are
            the same for all columns.
        batch_size: Maximum number of rows in a batch.
        seed: Seed of the permutations; None for new ones at each call.
            call.

    Returns:
        A `FeatureImportance`.

    Raises:
        TypeError: `x` is neither a dict nor an array of two axes, there are no
            labels, or an argument has the wrong type.
        ValueError: The model is not compiled and there is no metric; there is
            no column or no row; an array is not an input of the model; lengths
            differ; `columns` names a missing input; an argument is out of
            range; or the metric is not finite.

    Examples:
        >>> result = keras_fast.inference.feature_importance(model, x, y)
        >>> result.names, result.importances.shape
        (['0', '1', '2', '3'], (4,))
        >>> def largest_error(y_true, y_pred):
        ...     return np.abs(y_true - y_pred).max()
        >>> result = keras_fast.inference.feature_importance(
        ...     model, x, y, metric=largest_error, columns={"first two": [0, 1]}
        ... )
        >>> result.names
        ['first two']

    Reference:

    - [Breiman, 2001](https://doi.org/10.1023/A:1010933404324)
    - [Fisher et al., 2019](https://arxiv.org/abs/1801.01489)
    """
    (compiled if metric is None else checked_model)(model)
    x, y = checked_data(x, y)
    keys = keys_of(model, x, columns)
    size = whole("batch_size", batch_size)
    generator = np.random.default_rng(seed)
    orders = [
        generator.permutation(len(y))
        for _ in range(whole("num_repeats", num_repeats))
    ]
    score, name = _scored(model, metric, y)
    predict = predictor(model)

    def measured(keys: list[Any], order: np.ndarray) -> float:
        batches = permuted(x, keys, order, size)
        return score(*_joined(map(predict, batches), len(y)))

    with _as_it_was(metric):
        baseline = measured([], orders[0])
        scores = [[measured(k, o) for o in orders] for k in keys.values()]
    if larger_is_better is None:
        larger_is_better = declares_larger_better(metric)
    worse = np.array(scores) - baseline
    if larger_is_better:
        worse = -worse
    mean, spread = worse.mean(axis=1), worse.std(axis=1)
    larger = bool(larger_is_better)
    return FeatureImportance([*keys], mean, spread, baseline, name, larger)


def _joined(
    batches: Iterable[tuple[np.ndarray, np.ndarray | None]], rows: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Outputs and mask of all rows, without the padding of the last batch."""
    outputs, masks = zip(*batches, strict=True)
    mask = None if masks[0] is None else np.concatenate(masks)[:rows]
    return np.concatenate(outputs)[:rows], mask


def _scored(
    model: keras.Model, metric: Any, y: np.ndarray
) -> tuple[Score, str]:
    """A function that scores outputs, and its name."""
    if metric is None:
        loss = compiled_loss(model)
        return lambda outputs, mask: _number(
            sample_losses(loss, y, outputs, mask).mean()
        ), loss.name
    if isinstance(metric, str):
        raise TypeError(
            "`metric` must be callable. Pass `keras.metrics.get(name)`. "
            f"Received: metric={metric!r}"
        )
    function("metric", metric)
    keeps_state = isinstance(metric, keras.metrics.Metric)

    def score(outputs: np.ndarray, mask: np.ndarray | None) -> float:
        if outputs.size == y.size:
            # Otherwise (rows,) - (rows, 1) would be (rows, rows).
            outputs = outputs.reshape(y.shape)
        if keeps_state:
            metric.reset_state()
        return _number(metric(y, outputs))

    if keeps_state:
        return score, metric.name
    name = getattr(metric, "__name__", "metric")
    return score, "metric" if name == "<lambda>" else name


def _number(value: Any) -> float:
    with contextlib.suppress(TypeError, ValueError):
        found = as_array(value)
        if found.size == 1 and np.isfinite(found).all():
            return float(found.reshape(()))
    raise ValueError(
        "The metric must be one finite number. Return one for all rows, and "
        f"check that the predictions are finite. Received: {value!r}"
    )


@contextlib.contextmanager
def _as_it_was(metric: Any) -> Iterator[None]:
    """Restore the state of a Keras metric."""
    is_metric = isinstance(metric, keras.metrics.Metric)
    variables = metric.variables if is_metric else []
    before = [(variable, np.array(variable.numpy())) for variable in variables]
    try:
        yield
    finally:
        if is_metric:
            metric.reset_state()
        for variable, value in before:
            variable.assign(value)
