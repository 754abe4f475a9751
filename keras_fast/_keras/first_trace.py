"""What does a first trace create, and does it have to be traced again for it?

An optimizer and metrics that are not built yet create variables in their first
step. TensorFlow traces a function that created variables twice, which takes
seconds for a large network. Created outside the trace they cost nothing.

`LossScaleOptimizer` needs the second trace: its first has a constant scale.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.optimizers import LossScaleOptimizer

from keras_fast._keras.unwrap import chain

__all__ = ["built_outside"]


@contextlib.contextmanager
def built_outside(model: keras.Model) -> Iterator[None]:
    """A context in which what Keras builds for a step is no part of its trace.

    Keras decides when to build and with which variables, as ever.
    """
    parts = _unbuilt(model)
    for part in parts:
        part.__dict__["build"] = _outside(part.build)
    try:
        yield
    finally:
        for part in parts:
            part.__dict__.pop("build", None)


def _unbuilt(model: keras.Model) -> list[Any]:
    """What TensorFlow would trace twice for; with replicas, it is built."""
    optimizers = chain(model.optimizer)
    if keras.backend.backend() != "tensorflow" or any(
        isinstance(optimizer, LossScaleOptimizer) for optimizer in optimizers
    ):
        return []
    parts: list[Any] = [model.optimizer, model._compile_metrics]
    return [part for part in parts if part is not None and not part.built]


def _outside(build: Callable[..., None]) -> Callable[..., None]:
    import tensorflow as tf

    def ordinary(create: Callable[..., Any], **arguments: Any) -> Any:
        arguments["experimental_enable_variable_lifting"] = False
        return create(**arguments)

    def build_outside(*args: Any, **kwargs: Any) -> None:
        with tf.init_scope(), tf.variable_creator_scope(ordinary):
            build(*args, **kwargs)

    return build_outside
