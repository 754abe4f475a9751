"""What stands where an optimizer expects a number of its own?

Keras reads `momentum` and its like in Python: it asks whether there is any,
and adds and multiplies. A scalar of the graph can stand there if it answers as
the number would.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

__all__ = ["OWN", "choose"]

# Stands for the optimizer's own variable. Not NaN: JAX compares what several
# processes hold, and NaN equals nothing.
OWN = float(np.finfo("float32").max)


def choose(value: Any, rest: Any, own: Any) -> Any:
    """What an optimizer is to use: a value and 1 - value, or its own."""
    is_variable = isinstance(own, keras.Variable)
    try:
        number = float(value)  # without a graph a number is a number
    except TypeError:
        if not is_variable:
            return _Loan(value, rest)
        own = ops.cast(own, value.dtype)
        return _Loan(ops.where(ops.equal(value, OWN), own, value), None)
    unscheduled = number == OWN if is_variable else np.float32(own) == number
    return own if unscheduled else number


class _Loan(keras.Variable):
    """A scalar of the graph where an optimizer expects its own number.

    It is a variable without storage, so that every operation takes it. SGD
    and RMSprop ask in Python whether there is momentum at all: there is.
    """

    def __init__(self, value: Any, rest: Any):
        self._value = value
        self._rest = rest  # 1 - value, or None where nobody asks for it
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
        if other == 1 and self._rest is not None:
            return self._rest
        return super().__rsub__(other)

    __hash__ = object.__hash__
