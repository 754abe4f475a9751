"""What can replace a number that an optimizer expects to be its own?

Keras reads `momentum` and similar numbers in Python: it tests whether there is
any, and adds and multiplies. A scalar of the graph can replace it if it answers
as the number would.
"""

from typing import Any, NoReturn

import keras
import numpy as np
from keras import ops

__all__ = ["OWN", "choose"]

# Stands for the optimizer's own value. Not NaN: JAX compares values of several
# processes, and NaN equals nothing.
OWN = float(np.finfo("float32").max)


def choose(name: str, value: Any, rest: Any, own: Any) -> Any:
    """What an optimizer should use: a value and 1 - value, or its own.

    Args:
        name: The attribute of the optimizer.
        value: A scalar, `OWN` for the optimizer's own.
        rest: 1 - value.
        own: The optimizer's own, a variable or a number.
    """
    try:
        number = float(value)  # without a graph it is a plain number
    except TypeError:
        return _chosen(name, value, rest, own)
    return own if number == OWN else number


def _chosen(name: str, value: Any, rest: Any, own: Any) -> Any:
    is_own = ops.equal(value, OWN)
    if isinstance(own, keras.Variable):
        own = ops.cast(own, value.dtype)
        return _Loan(name, ops.where(is_own, own, value), None)
    # In Python, 1 - own keeps the digits that float32 would lose.
    own, own_rest = (np.float32(number) for number in (own, 1 - own))
    value = ops.where(is_own, own, value)
    return _Loan(name, value, ops.where(is_own, own_rest, rest))


class _Loan(keras.Variable):
    """A scalar of the graph in place of an optimizer's own number.

    It is a variable without storage, so that every operation accepts it. SGD
    and RMSprop test in Python whether there is momentum at all: there is.
    """

    def __init__(self, name: str, value: Any, rest: Any):
        self._value = value
        self._rest = rest  # 1 - value, or None if nobody needs it
        self._dtype = keras.backend.standardize_dtype(value.dtype)
        self._shape = ()
        self._ndim = 0
        self._name = self._path = name
        self._trainable = self._autocast = False
        self._overwrite_with_gradient = False
        self._aggregation = self._synchronization = "none"
        self._initializer = self._layout = None
        self._regularizer = self._constraint = None

    def __ne__(self, other: object) -> Any:
        return True if isinstance(other, int | float) else super().__ne__(other)

    def __gt__(self, other: object) -> Any:
        return True if isinstance(other, int | float) else super().__gt__(other)

    def __bool__(self) -> bool:
        return True

    def __rsub__(self, other: object) -> Any:
        if other == 1 and self._rest is not None:
            return self._rest
        return super().__rsub__(other)

    def _refuse(self) -> NoReturn:
        raise TypeError(
            f"`{self._name}` must not be made a Python number in an optimizer "
            "whose hyperparameters are scheduled: the compiled step would keep "
            "the first value. Use it as it is, in `keras.ops`, or leave it out "
            f"of the schedules. Received: float({self._name})"
        )

    __float__ = __int__ = __index__ = _refuse
    __hash__ = object.__hash__
