"""Which variables are excluded from weight decay?"""

from typing import Any

import keras

from keras_fast._checks import compiled
from keras_fast._keras.layers import layers_of, own_variables
from keras_fast._keras.optimizers import spare
from keras_fast._keras.rebind import place
from keras_fast._keras.train_step import trace_anew
from keras_fast._keras.unwrap import innermost
from keras_fast.transfer.freezing import NORMALIZATION
from keras_fast.transfer.groups import can_train, not_built

__all__ = ["decay_weights_only"]


def decay_weights_only(model: keras.Model) -> None:
    """Exclude biases and normalization from weight decay.

    Like `wd_bn_bias=False` in fastai: decay is for weights that multiply
    features. Excluded are biases, all parameters of normalization layers, and
    any other parameter that is a vector or a single number. Variables that
    were excluded before stay excluded.

    Takes effect at once, also on a trained model, and persists while layers
    are frozen and unfrozen. A saved `DiscriminativeOptimizer` keeps it. Keras
    loses it when it saves any other optimizer: call this again after loading.

    Args:
        model: A compiled model whose optimizer has weight decay.

    Raises:
        ValueError: The model is not compiled or not built, or its optimizer
            has no weight decay.

    Examples:
        >>> optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.01)
        >>> model.compile(optimizer, loss="mse")
        >>> keras_fast.decay_weights_only(model)
        >>> print(keras_fast.training_plan(model))
        group  layers...decay      batchnorm
        0      ...      0 to 0.01  -
        ...

    Reference:

    - fastai 2.8, `Learner(wd_bn_bias=False)`
    """
    optimizer = compiled(model).optimizer
    leaf = innermost(optimizer, "of several, each has its own decay")
    if not _decays(leaf):
        raise ValueError(
            "The optimizer must have weight decay. Compile the model with one, "
            "such as `keras.optimizers.AdamW(weight_decay=0.01)`. Received: "
            f"optimizer={type(leaf).__name__} with weight_decay=None"
        )
    everything = can_train(model)
    if not model.built or not everything:
        raise not_built(model)
    place(optimizer, everything, strict=False)
    normalizing = {
        id(variable)
        for part in layers_of(model)
        if isinstance(part, NORMALIZATION)
        for variable in own_variables(part)
    }
    spare(
        leaf,
        [
            variable
            for variable in everything
            if len(variable.shape) < 2
            or variable.name == "bias"  # a GRU's bias is a matrix
            or id(variable) in normalizing
        ],
    )
    if model.train_function is not None:
        trace_anew(model)


def _decays(optimizer: Any) -> bool:
    return any(
        name.endswith("weight_decay") and not name.startswith("_")
        for name, value in vars(optimizer).items()
        if value is not None
    )
