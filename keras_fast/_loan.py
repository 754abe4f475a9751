"""What stands where an optimizer expects a number of its own?

Keras reads `momentum` and its like in Python: it asks whether there is any,
and adds and multiplies. A scalar of the graph can stand there if it answers as
the number would.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["choose"]


def choose(scheduled: Any, rest: Any, own: Any) -> Any:
    """The scheduled value, or the optimizer's own where that is NaN."""
    try:
        value = float(scheduled)  # without a graph a number is a number
    except TypeError:
        return _Loan(_or(scheduled, own), _or(rest, 1 - own))
    return own if np.isnan(value) else value


def _or(new: Any, old: Any) -> Any:
    return ops.where(ops.isnan(new), ops.cast(old, new.dtype), new)


class _Loan(keras.Variable):
    """A scalar of the graph where an optimizer expects its own number.

    It is a variable without storage, so that every operation takes it. SGD
    and RMSprop ask in Python whether there is momentum at all: there is.
    """

    def __init__(self, value: Any, rest: Any):
        self._value = value
        self._rest = rest  # 1 - value
        self._dtype = keras.backend.standardize_dtype(value.dtype)
        self._shape = ()
        self._ndim = 0
        self._name = self._path = "loan"
        self._trainable = self._autocast = False
        self._overwrite_with_gradient = False
        self._aggregation = self._synchronization = "none"
        self._initializer = self._layout = None
        self._regularizer = self._constraint = None

    def __ne__(self, other: object) -> Any:
        return True if isinstance(other, int | float) else super().__ne__(other)

    def __gt__(self, other: object) -> Any:
        return True if isinstance(other, int | float) else super().__gt__(other)

    def __rsub__(self, other: object) -> Any:
        return self._rest if other == 1 else super().__rsub__(other)

    __hash__ = object.__hash__
