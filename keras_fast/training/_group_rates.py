"""How does a recipe temporarily train each group at its own rate?"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_fast._keras.optimizers import key
from keras_fast._keras.scaled_updates import scaled_updates
from keras_fast._keras.train_step import trace_anew
from keras_fast._keras.unwrap import innermost
from keras_fast.transfer.groups import Groups
from keras_fast.transfer.multipliers import layer_multipliers

__all__ = ["group_rates"]


@contextlib.contextmanager
def group_rates(
    model: keras.Model, groups: Groups, rates: slice
) -> Iterator[None]:
    """Give each group its own learning rate, for a while."""
    if rates.start == rates.stop:
        yield
        return
    multipliers = layer_multipliers(model, rates, groups)
    leaf: Any = innermost(model.optimizer)
    by_key = {
        key(leaf, variable): multiplier
        for variable, multiplier in zip(
            multipliers.variables, multipliers, strict=True
        )
    }
    try:
        with scaled_updates(leaf, lambda v: by_key[key(leaf, v)]):
            trace_anew(model)
            yield
    finally:
        trace_anew(model)
