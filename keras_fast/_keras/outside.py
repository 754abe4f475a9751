"""Which variables does a step change that no attribute of the model leads to?

A global in a loss function, or a variable in a closure. The graph of a step
knows each variable that it uses, and nothing has run yet while it is traced:
that is when their values are recorded. Only TensorFlow has such steps: on JAX
a step changes what it is handed, and elsewhere it is Python.
"""

import contextlib
from typing import Any

import keras
import numpy as np

from keras_fast._keras.held import optimizers_of, variables_of
from keras_fast._keras.live import carried
from keras_fast._keras.train_step import follow
from keras_fast._keras.unwrap import is_eager, replicas

__all__ = ["Outside", "outside"]

KEPT = "_keras_fast_outside"


class Outside:
    """A follower of a train step, and the variables that it found there."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._found: dict[int, tuple[Any, np.ndarray]] = {}

    def watch(self) -> None:
        """Record values now, and those of other variables when they appear."""
        known = self._known()
        self._found = {
            key: (variable, variable.numpy())
            for key, (variable, _) in self._found.items()
            if key not in known
        }
        follow(self._model, self)

    def put_back(self) -> None:
        for variable, value in self._found.values():
            variable.assign(value)

    def changed(self) -> list[str]:
        """Names of the variables whose values have changed."""
        return [
            variable.name
            for variable, value in self._found.values()
            if not np.array_equal(variable.numpy(), value)
        ]

    def during(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def before(self, model: keras.Model) -> None:
        """Do nothing: a graph knows at the end which variables it uses."""
        return

    def after(self, logs: Any, before: Any, seen: Any) -> None:
        import tensorflow as tf

        graph: Any = tf.compat.v1.get_default_graph()
        used = {id(v): v for v in graph._watched_variables}
        with tf.init_scope():
            for key in used.keys() - self._found.keys() - self._known():
                if used[key].is_initialized():
                    self._found[key] = used[key], used[key].numpy()

    def follows(self, model: keras.Model) -> bool:
        return model.__dict__.get(KEPT) is self

    def _known(self) -> set[int]:
        listed, others = variables_of(self._model)
        known = listed + [variable for _, variable in others]
        for optimizer in optimizers_of(self._model):
            known += carried(optimizer)
        return {id(getattr(v, "_value", v)) for v in known}


def outside(model: keras.Model) -> Outside | None:
    """The `Outside` of this model, known to its trace; None if impossible."""
    traced = keras.backend.backend() == "tensorflow" and not is_eager(model)
    if not traced or replicas(model) > 1:
        return None
    # Not setattr: Keras would track it.
    return model.__dict__.setdefault(KEPT, Outside(model))
