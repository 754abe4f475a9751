"""Which variables and optimizers does a model hold, listed by Keras or not?

Keras lists what its layers and metrics track. Training may change more: the
states of a stateful RNN, a second optimizer, the user's own `tf.Variable`.
They are found as `tf.Module` finds its variables, through attributes: of the
model, its layers, its loss and metrics, its optimizers, and the user's own
objects in any of these. The order is that in which attributes were set, so it
is the same in another process.
"""

import functools
import sys
from collections.abc import Iterator, Mapping, Sequence
from types import MethodType
from typing import Any

import keras
from keras.src.saving.keras_saveable import KerasSaveable

__all__ = ["optimizers_of", "variables_of"]

Optimizer = keras.optimizers.Optimizer
Held = tuple[str, Any]

# Objects from these are opened only if Keras's, or tracked by TensorFlow.
LIBRARIES = {
    *sys.stdlib_module_names,
    *("jax", "jaxlib", "keras", "keras_fast", "numpy", "tensorflow", "torch"),
} - {"__main__"}


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The compiled optimizer, and the others that the model holds."""
    held = _held(model, _of_model(model))
    found = [v for _, v in held if _kind(type(v)) is Optimizer]
    return sorted(found, key=lambda each: each is not model.optimizer)


def variables_of(
    model: keras.Model,
) -> tuple[list[keras.Variable], list[Held]]:
    """Each variable that the model holds, once.

    Returns:
        Those that Keras lists, for the model, its metrics and its optimizers;
        and the others, with the attributes that lead to them.
    """
    listed, others = _of_model(model), []
    for name, value in _held(model, listed[:]):
        if _kind(type(value)) is Optimizer:
            listed += value.variables
        else:
            others.append((name, value))
    known = {id(variable): variable for variable in listed}
    others = [each for each in others if id(each[1]) not in known]
    return list(known.values()), others


def _of_model(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.metrics_variables]


def _held(model: keras.Model, known: list[keras.Variable]) -> Iterator[Held]:
    """Optimizers not within another, and variables that are not in `known`."""
    seen = {id(variable): variable for variable in known}
    begin = [("loss", model.loss), *((m.name, m) for m in model.metrics)]
    begin += [(each.name, each) for each in model._flatten_layers()[::-1]]
    left = [((name,), value, False) for name, value in begin]
    while left:
        way, value, in_optimizer = left.pop()
        kind = _kind(type(value))
        if kind is None or id(value) in seen:
            continue
        seen[id(value)] = value
        if kind is keras.Variable:
            yield _joined(way), value
            continue
        if kind is Optimizer:
            if not in_optimizer:
                yield _joined(way), value
            in_optimizer = True
        for name, part in reversed(_parts(value, kind)):
            if _kind(type(part)) and id(part) not in seen:
                left.append(((way, name), part, in_optimizer))


def _joined(way: Any) -> str:
    names = []
    while len(way) > 1:
        way, name = way
        names.append(str(name))
    return ".".join([*way, *reversed(names)])


def _parts(value: Any, kind: type) -> list[tuple[Any, Any]]:
    if kind is Mapping:
        return list(value.items())
    if kind is Sequence:
        return list(enumerate(value))
    if kind is MethodType:
        return [("__self__", value.__self__)]
    attributes = vars(value)
    # TensorFlow's records of what it tracks.
    if not type(value).__module__.startswith("keras."):
        return [p for p in attributes.items() if not p[0].startswith("_self_")]
    # Keras's own list their private parts, except PyTorch's modules.
    parts = [part for part in attributes.items() if part[0][0] != "_"]
    if "_modules" in attributes:
        parts.append(("_modules", attributes["_modules"]))
    return parts


@functools.cache
def _kind(kind: type) -> Any:
    """The role in which this type may hold variables; None if it can't."""
    variables, holders = _of_backend()
    if issubclass(kind, variables):
        return keras.Variable
    for each in (Optimizer, Mapping, MethodType):
        if issubclass(kind, each):
            return each
    if issubclass(kind, list | tuple):
        return Sequence
    library = kind.__module__.partition(".")[0] in LIBRARIES
    opened = issubclass(kind, holders) or not library
    return object if opened and kind.__dictoffset__ else None


def _of_backend() -> tuple[tuple[type, ...], tuple[type, ...]]:
    """The types that are variables, and the types that have some."""
    if keras.backend.backend() != "tensorflow":
        return (keras.Variable,), (KerasSaveable,)
    import tensorflow as tf

    tracking: Any = tf.__internal__.tracking.AutoTrackable
    return (keras.Variable, tf.Variable), (KerasSaveable, tracking)
