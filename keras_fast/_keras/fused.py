"""How does tensor arithmetic run as one kernel, in `tf.data` too?"""

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["fused"]


def fused(function: Callable[..., Any], *tensors: Any) -> Any:
    """`function(*tensors)`, compiled where they are TensorFlow's.

    Only graphs are compiled: a pipeline of `tf.data` runs one operation at a
    time otherwise, each through all pixels. XLA compiles for each shape.
    """
    import tensorflow as tf

    # XLA does not know the GPUs of a Mac.
    if tf.executing_eagerly() or sys.platform == "darwin":
        return function(*tensors)
    compiled = tf.function(function, jit_compile=True, autograph=False)
    return compiled(*tensors)
