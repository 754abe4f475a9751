"""What does a layer return while its model runs, and can it be replaced?"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["lent", "recorded"]


@contextlib.contextmanager
def lent(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Temporarily replace an attribute of an object."""
    # Not by assignment, which Keras tracks.
    attributes = owner.__dict__
    had, before = name in attributes, attributes.get(name)
    attributes[name] = value
    try:
        yield
    finally:
        if had:
            attributes[name] = before
        else:
            del attributes[name]


@contextlib.contextmanager
def recorded(layer: keras.layers.Layer) -> Iterator[list[Any]]:
    """The layer's outputs at each of its calls in the meantime."""
    seen: list[Any] = []
    call = layer.call

    def recording(*args: Any, **kwargs: Any) -> Any:
        seen.append(call(*args, **kwargs))
        return seen[-1]

    with lent(layer, "call", recording):
        yield seen
