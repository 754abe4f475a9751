"""Ratings predicted from what users and items have in common."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_fast._checks import several, shown, whole
from keras_fast.layers._table import Factors
from keras_fast.models.tables._table_ends import (
    checked_targets,
    config_of,
    free_name,
    inputs_of,
    scaled,
)
from keras_fast.models.tables.tabular import dense_layers

__all__ = ["collaborative_filter"]


def collaborative_filter(
    encoder: Any,
    *,
    num_factors: int = 50,
    y_range: tuple[float, float] | None = None,
    units: Sequence[int] = (),
    targets: Any = None,
) -> keras.Model:
    """A model of ratings: the dot product of factors, plus biases.

    It takes the arrays of an encoder of two categorical columns, users and
    items. Each has a vector of `num_factors` and a bias. A rating is the dot
    product of the vectors plus the biases, scaled to `y_range`.
    With `units` a network replaces the dot product.

    A new user or item, code 0, gets the mean of all others: an average user,
    whose ratings differ only by item, or an average item. No row of its own
    is trained into noise. Code 0 has a row of its own only if values were
    missing or rare in the training data, and then learns from these.

    The factors start small, all around 0, so whatever they express has been
    learned. In the benchmarks 5 epochs of `AdamW(1e-2, weight_decay=0.4,
    beta_2=0.99, epsilon=1e-5)` with `OneCycle(1e-2)` and batches of 256 did
    well; the three belong together.

    The encoder is saved with the model; `TableEncoder.of(model)` returns it.
    `model.get_layer("factors")` has the vectors in `embeddings` and the biases
    in `biases`, by the name of the column, with a row for each code.

    Args:
        encoder: A `keras_fast.data.TableEncoder` of two categorical columns,
            adapted to the training data.
        num_factors: Length of a vector.
        y_range: Two numbers that bound the predictions. They are out of reach
            themselves: for ratings from 1 to 5, fast.ai uses (0, 5.5).
        units: Units of each hidden layer of the network; none for the dot
            product.
        targets: The ratings of the training data. They are checked, and
            without `y_range` the model starts with their mean and spread.

    Returns:
        An uncompiled model that takes dicts of arrays. Its output is float32
        also under mixed precision.

    Raises:
        TypeError: `encoder` is not a TableEncoder, or an argument has the
            wrong type.
        ValueError: The encoder is not adapted, does not have exactly two
            categorical columns, an argument is out of range, or ratings are
            not finite or beyond `y_range`.

    Examples:
        >>> ratings = {"user": [7, 7, 8], "film": ["Up", "Heat", "Jaws"]}
        >>> encoder = keras_fast.data.TableEncoder(["user", "film"])
        >>> encoder.adapt(ratings)
        >>> model = keras_fast.models.collaborative_filter(
        ...     encoder, y_range=(0, 5.5)
        ... )
        >>> model.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.4), "mse")
        >>> stars = np.array([4.0, 5.0, 3.0])
        >>> history = model.fit(encoder(ratings), stars, verbose=0)
        >>> tuple(model.get_layer("factors").biases["film"].embeddings.shape)
        (4, 1)

    Reference:

    - [Koren et al., 2009](https://doi.org/10.1109/MC.2009.263)
    - fastai 2.8, `EmbeddingDotBias`
    """
    config = config_of(encoder)
    _check_columns(config)
    ratings = checked_targets(targets, 1, y_range)
    inputs = inputs_of(config)
    table = Factors(
        config,
        whole("num_factors", num_factors),
        name=free_name("factors", inputs),
    )
    first, second, bias = table(inputs)
    plain = {"dtype": "float32"}
    if several("units", units):
        x = keras.layers.Concatenate()([first, second])
        x = dense_layers(x, units, 0.0, inputs)
        name = free_name("scores", inputs)
        x = keras.layers.Dense(1, use_bias=False, name=name, **plain)(x)
    else:
        x = keras.layers.Dot(axes=1, **plain)([first, second])
    x = keras.layers.Add(**plain)([x, bias])
    # With a range the biases learn the mean: rarely rated items are rated low,
    # and weight decay leaves them there.
    mean_from = ratings if y_range is None else None
    outputs = scaled(x, mean_from, y_range, inputs)
    return keras.Model(inputs, outputs, name="collaborative_filter")


def _check_columns(config: dict[str, Any]) -> None:
    names = {key: config[key] for key in ("categorical", "numerical", "dates")}
    if len(names["categorical"]) != 2 or names["numerical"] or names["dates"]:
        raise ValueError(
            "`encoder` must have two categorical columns, users and items. "
            "Adapt one with `TableEncoder([users, items])`; for more columns "
            f"take `tabular_model`. Received: {shown(names)}"
        )
