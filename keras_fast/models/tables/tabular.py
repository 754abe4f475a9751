"""A network for tables: categories embedded, numbers cut into bins."""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_fast._checks import several, share, shown, whole
from keras_fast.layers._table import TableFeatures
from keras_fast.models.tables._table_ends import (
    checked_targets,
    config_of,
    free_name,
    inputs_of,
    scaled,
)

__all__ = ["dense_layers", "tabular_model"]

# The encoder keeps no more quantiles than this.
MOST_BINS = 256


def tabular_model(
    encoder: Any,
    num_outputs: int,
    *,
    units: Sequence[int] = (200, 100),
    dropout: float = 0.0,
    num_bins: int = 32,
    targets: Any = None,
    y_range: tuple[float, float] | None = None,
    activation: str | None = None,
) -> keras.Model:
    """A network for tables, with entity embeddings.

    It takes the encoder's arrays. Each category has an embedding of fastai's
    size, `min(600, round(1.6 * n**0.56))` for n codes. Each number, scaled by
    the encoder, is squeezed smoothly into -3 to 3, and in addition encoded
    piecewise linearly: the share of each bin that lies below the number. Half
    of the edges are at quantiles of the training data, half at quantiles of
    its distinct values. A plain network follows: a dense layer, ReLU and
    dropout for each of `units`, and a dense layer.

    Unlike fastai's model it has no batch normalization, which did worse in the
    benchmarks. There, 5 epochs of `AdamW(weight_decay=0.01, beta_2=0.99)` with
    `OneCycle(2e-2)`, batches of 256 and `decay_weights_only(model)` did well.

    Values unknown to the encoder have code 0. If none occurred in the training
    data, the mean of all other rows takes its place.

    The encoder is saved with the model; `TableEncoder.of(model)` returns it.
    The embeddings are in one layer, `model.get_layer("table")`, whose
    `embeddings` have them by the name of the array, with a row for each code.

    Args:
        encoder: A `keras_fast.data.TableEncoder`, adapted to the training data.
        num_outputs: Number of outputs: classes, or numbers to predict.
        units: Units of each hidden layer.
        dropout: Share dropped after each hidden layer.
        num_bins: Maximum number of bins per number, up to 256; 0 for none.
        targets: For regression, the targets of the training data, (rows,) or
            (rows, num_outputs). The last layer starts with their mean and
            spread, so that the learning rate does not depend on their unit.
        y_range: For regression, two numbers that bound the predictions, as in
            `ScaledSigmoid`.
        activation: "softmax" or "sigmoid" for probabilities of classes; None
            for logits and for regression.

    Returns:
        An uncompiled model that takes dicts of arrays. Its output is float32
        also under mixed precision. The last dense layer is its head.

    Raises:
        TypeError: `encoder` is not a TableEncoder, or an argument has the
            wrong type.
        ValueError: The encoder is not adapted, an argument is out of range,
            targets are not finite or beyond `y_range`, or `activation` is
            passed for regression.

    Examples:
        >>> table = {"cut": ["Ideal", "Fair"] * 8, "carat": np.arange(16) / 8}
        >>> price = 300 + 4000 * table["carat"]
        >>> encoder = keras_fast.data.TableEncoder(["cut"], ["carat"])
        >>> encoder.adapt(table)
        >>> model = keras_fast.models.tabular_model(encoder, 1, targets=price)
        >>> model.compile(keras.optimizers.AdamW(1e-2), "mse")
        >>> history = model.fit(encoder(table), price, epochs=2, verbose=0)
        >>> rows = {"cut": [None], "carat": [0.5]}
        >>> model.predict(encoder(rows), verbose=0).shape
        (1, 1)

    Reference:

    - [Guo and Berkhahn, 2016](https://arxiv.org/abs/1604.06737)
    - [Gorishniy et al., 2022](https://arxiv.org/abs/2203.05556)
    - [Holzmüller et al., 2024](https://arxiv.org/abs/2407.04491)
    """
    config = config_of(encoder)
    _check_end(num_outputs, activation, targets, y_range)
    _check_bins(num_bins)
    values = checked_targets(targets, num_outputs, y_range)
    inputs = inputs_of(config)
    name = free_name("table", inputs)
    x = TableFeatures(config, num_bins, name=name)(inputs)
    x = dense_layers(x, units, dropout, inputs)
    x = keras.layers.Dense(
        num_outputs,
        activation,
        name=free_name("scores", inputs),
        dtype="float32",
    )(x)
    outputs = scaled(x, values, y_range, inputs)
    return keras.Model(inputs, outputs, name="tabular_model")


def dense_layers(
    x: Any, units: Sequence[int], dropout: float, taken: Iterable[str]
) -> Any:
    """A dense layer with ReLU and dropout for each of `units`."""
    rate = share("dropout", dropout, 0.3)
    for i, size in enumerate(several("units", units), 1):
        x = keras.layers.Dense(
            whole("units", size),
            "relu",
            kernel_initializer="he_normal",
            name=free_name(f"hidden_{i}", taken),
        )(x)
        if rate:
            name = free_name(f"dropout_{i}", taken)
            x = keras.layers.Dropout(rate, name=name)(x)
    return x


def _check_bins(num_bins: Any) -> None:
    if whole("num_bins", num_bins, 0) > MOST_BINS:
        raise ValueError(
            f"`num_bins` must be at most {MOST_BINS}. The encoder keeps no "
            f"more quantiles; pass fewer. Received: num_bins={num_bins!r}"
        )


def _check_end(
    num_outputs: Any, activation: Any, targets: Any, y_range: Any
) -> None:
    whole("num_outputs", num_outputs)
    if activation not in ("softmax", "sigmoid", None):
        raise ValueError(
            "`activation` must be 'softmax', 'sigmoid' or None. Pass None for "
            f"logits and for regression. Received: activation={activation!r}"
        )
    if num_outputs == 1 and activation == "softmax":
        raise ValueError(
            "`num_outputs` must be at least 2 with softmax, which gives one "
            "class always 1. Pass 2, or activation='sigmoid'. "
            "Received: num_outputs=1"
        )
    if activation is not None and (targets is not None or y_range is not None):
        name, value = (
            ("targets", targets) if y_range is None else ("y_range", y_range)
        )
        raise ValueError(
            f"`{name}` must be left out with an activation: it is for "
            "regression. Pass activation=None, or leave it out. Received: "
            f"activation={activation!r}, {name}={shown(value)}"
        )
