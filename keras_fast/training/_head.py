"""How does a head end up where a regularized linear model would be?

It trains for many short epochs on features of the frozen body, computed once.
Adam from a last layer of zeros does as well as a logistic regression whose
penalty is chosen by cross-validation: few small steps act as the penalty.
Random weights would remain where the features carry no information, as noise
in each prediction.
"""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_fast._keras.batches import is_one_shot
from keras_fast._keras.compilation import given_loss_weights, given_metrics
from keras_fast._keras.layers import layers_of
from keras_fast._keras.progress import OneBar, heading
from keras_fast._keras.unwrap import scope
from keras_fast.callbacks import OneCycle
from keras_fast.training._features import Features, NoFeatures, features
from keras_fast.training._points import start_points
from keras_fast.transfer.batch_norm import batch_norms, update_batch_norm
from keras_fast.transfer.split import cut

__all__ = ["train_head", "validated"]

PEAK = 1e-3
MOST_ROWS = 32  # in a batch
FEWEST_UPDATES = 100
QUIET = {"verbose": 0, "return_dict": True}
Metrics = dict[str, float]


def train_head(
    model: keras.Model,
    data: Mapping[str, Any],
    epochs: int,
    num_views: int,
) -> tuple[keras.callbacks.History, Metrics | None]:
    """Train the model's head on features of its body.

    Args:
        model: The compiled model.
        data: Arguments of `fit()`.
        epochs: Passes over one view.
        num_views: Views of augmented data.

    Returns:
        The History, and the metrics of a linear model on the same features, if
        there is one and there are validation data.

    Raises:
        NoFeatures: Features can't be computed; the message says why.
    """
    body, head = _cut(model)
    names = ("y", "sample_weight", "class_weight", "batch_size")
    how = {name: data.get(name) for name in names}
    steps = data.get("steps_per_epoch")
    how |= {"steps": steps, "verbose": data.get("verbose", "auto")}
    heading("Features of the base", how["verbose"])
    given = features(body, data["x"], num_views=num_views, **how)
    if given.y is None:
        raise NoFeatures("`x` has no labels")
    heading("Head, on these features", how["verbose"])
    linear = _linear(head, given)
    history = _fit(model, head, given, epochs, verbose=how["verbose"])
    if _validation(data) is None or linear is None:
        return history, None
    if _is_linear(head):
        return history, validated(model, data)
    _fit(model, linear, given, epochs, metrics=_metrics(model))
    there = features(
        body,
        *keras.utils.unpack_x_y_sample_weight(_validation(data)),
        num_views=1,
        steps=data.get("validation_steps"),
        batch_size=given.batch_size,
    )
    weights = there.sample_weight
    return history, linear.evaluate(
        there.x, there.y, sample_weight=weights, **QUIET
    )


def _cut(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Body and head, if training the head alone trains the model."""
    for name in ("train_step", "compute_loss"):
        if getattr(type(model), name) is not getattr(keras.Model, name):
            raise NoFeatures(f"the model has a `{name}` of its own")
    if model.loss is None:
        raise NoFeatures("the model is compiled without a loss")
    # A Sequential model of unknown shapes has no outputs yet.
    if len(getattr(model, "outputs", ())) > 1:
        raise NoFeatures("the model has several outputs")
    try:
        return cut(model)
    except ValueError as error:
        raise NoFeatures(str(error)) from error


def validated(model: keras.Model, data: Mapping[str, Any]) -> Metrics:
    """Loss and metrics on the validation data; empty without."""
    if _validation(data) is None:
        return {}
    x, y, weights = keras.utils.unpack_x_y_sample_weight(_validation(data))
    sizes = ("validation_batch_size", "batch_size")
    return model.evaluate(
        x,
        y,
        sample_weight=weights,
        batch_size=next((data[s] for s in sizes if data.get(s)), None),
        steps=data.get("validation_steps"),
        **QUIET,
    )


def _validation(data: Mapping[str, Any]) -> Any:
    """Validation data, if it is still complete for `fit()` afterwards."""
    validation = data.get("validation_data")
    return None if is_one_shot(validation) else validation


def _fit(
    model: keras.Model,
    head: keras.Model,
    given: Features,
    epochs: int,
    metrics: Any = None,
    verbose: int | str = 0,
) -> keras.callbacks.History:
    """Train this head with the model's compiled loss."""
    rate = PEAK * _start(_last_dense(head), given.y)
    start_points(head, given)
    with scope(model):
        head.compile(
            keras.optimizers.AdamW(rate, weight_decay=0.01),
            loss=model.loss,
            loss_weights=given_loss_weights(model),
            metrics=metrics,
            jit_compile=model.jit_compile,
        )
    batch_size = min(given.batch_size, MOST_ROWS)
    rows = len(keras.tree.flatten(given.x)[0])
    steps = -(-rows // batch_size)
    updates = max(epochs * steps // given.num_views, FEWEST_UPDATES)
    epochs = -(-updates // steps)
    history = head.fit(
        given.x,
        given.y,
        sample_weight=given.sample_weight,
        batch_size=batch_size,
        epochs=epochs,
        callbacks=[OneCycle(rate), OneBar(epochs * steps, verbose)],
        verbose=0,
    )
    if batch_norms(head):
        update_batch_norm(head, given.x, batch_size=rows)
    return history


def _start(last: Any, y: Any) -> float:
    """Set the last layer to know nothing; return the scale of the targets.

    Regression targets may have any scale, but Adam's steps have a fixed one.
    """
    if last is None:
        return 1.0
    last.kernel.assign(np.zeros(last.kernel.shape))
    targets = keras.tree.flatten(y)[0]
    regression = (
        last.activation is keras.activations.linear
        and last.bias is not None
        and targets.dtype.kind == "f"
        and targets.reshape(len(targets), -1).shape[1] == last.units
        and np.abs(targets).max() > 1  # otherwise it may be a share
    )
    if not regression:
        return 1.0
    columns = targets.reshape(len(targets), -1)
    last.bias.assign(columns.mean(axis=0))
    return float(columns.std(axis=0).max()) or 1.0


def _linear(head: keras.Model, given: Features) -> keras.Model | None:
    """A linear model on the same features, with the same outputs.

    None for feature maps, and if the outputs are not a dense layer's.
    """
    last = _last_dense(head)
    if last is None or head.output_shape != (None, last.units):
        return None
    if given.x.ndim != 2:
        return None
    return keras.Sequential(
        [
            keras.Input(given.x.shape[1:]),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Dense(last.units, last.activation, dtype="float32"),
        ]
    )


def _last_dense(model: keras.Model) -> Any:
    for layer in reversed(model.layers):
        if isinstance(layer, keras.Model):
            layer = _last_dense(layer)
        if isinstance(layer, keras.layers.Dense):
            return layer
    return None


def _is_linear(head: keras.Model) -> bool:
    """Whether a single dense layer learns from flat features."""
    last = _last_dense(head)
    learns = [
        layer
        for layer in layers_of(head, itself=False)
        if layer.weights
        and not isinstance(layer, keras.layers.BatchNormalization)
    ]
    return len(head.input_shape) == 2 and learns == [last]


def _metrics(model: keras.Model) -> Any:
    """The metrics that the model is compiled with, in their initial state."""

    def copied(metric: Any) -> Any:
        if not isinstance(metric, keras.metrics.Metric):
            return metric
        return type(metric).from_config(metric.get_config())

    return keras.tree.map_structure(copied, given_metrics(model))
