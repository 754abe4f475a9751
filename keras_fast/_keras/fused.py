"""How does tensor arithmetic run as one kernel, also in `tf.data`?"""

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["fused"]


def fused(function: Callable[..., Any], *tensors: Any) -> Any:
    """`function(*tensors)`, compiled if the tensors are TensorFlow's.

    Only graphs are compiled: otherwise a `tf.data` pipeline runs one operation
    at a time, each over all pixels. XLA compiles for each shape.
    """
    import tensorflow as tf

    # XLA does not support the GPUs of a Mac.
    if tf.executing_eagerly() or sys.platform == "darwin":
        return function(*tensors)
    compiled = tf.function(function, jit_compile=True, autograph=False)
    return compiled(*tensors)
