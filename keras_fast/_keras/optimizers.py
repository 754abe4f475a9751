"""What does an optimizer record about itself and its variables?"""

from collections.abc import Iterable
from typing import Any

import keras

from keras_fast._keras.unwrap import chain

__all__ = [
    "batches_applied",
    "built_for",
    "decays",
    "given_rate",
    "key",
    "moving_averages",
    "spare",
    "spares_others",
]

Optimizer = keras.optimizers.Optimizer


def key(optimizer: Any, variable: keras.Variable) -> Any:
    """The key by which it identifies a variable."""
    return optimizer._var_key(variable)


def built_for(optimizer: Optimizer) -> list[keras.Variable]:
    """The variables that the innermost optimizer has slots for."""
    leaf: Any = chain(optimizer)[-1]
    return leaf._trainable_variables if optimizer.built else []


def given_rate(optimizer: Any) -> Any:
    """Its rate: a variable, a `LearningRateSchedule` or a function."""
    return optimizer._learning_rate


def batches_applied(optimizer: Any) -> int:
    """How often it was applied: more than updates if gradients accumulate."""
    return int(optimizer._iterations.numpy())


def moving_averages(optimizer: Any) -> list[keras.Variable]:
    """The moving averages of the weights, with `use_ema`."""
    return optimizer._model_variables_moving_average


def decays(optimizer: Any, variable: keras.Variable) -> bool:
    """Whether weight decay, if any, applies to this variable."""
    return optimizer._use_weight_decay(variable)


def spare(optimizer: Any, variables: Iterable[keras.Variable]) -> None:
    """Exclude these variables too from weight decay, even once it is built.

    Args:
        optimizer: An optimizer that does the updates itself.
        variables: Variables of the model.
    """
    keys = {key(optimizer, variable) for variable in variables}
    # Keras's own method forgets earlier exclusions.
    before = getattr(optimizer, "_exclude_from_weight_decay", ())
    optimizer._exclude_from_weight_decay = keys.union(before)
    optimizer._exclude_from_weight_decay_cache = {}


def spares_others(optimizer: Any, variables: Iterable[keras.Variable]) -> bool:
    """Whether it may exclude any other variable from weight decay."""
    keys = {key(optimizer, variable) for variable in variables}
    others = {*getattr(optimizer, "_exclude_from_weight_decay", ())} - keys
    names = getattr(optimizer, "_exclude_from_weight_decay_pattern", None)
    return bool(others or names)
