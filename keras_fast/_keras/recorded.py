"""What does a layer give while its model runs, and can it give another?"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["lent", "recorded"]


@contextlib.contextmanager
def lent(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an object another attribute for a while."""
    # Not by assignment, which Keras watches.
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
    """What the layer gives at each of its calls meanwhile."""
    seen: list[Any] = []
    call = layer.call

    def recording(*args: Any, **kwargs: Any) -> Any:
        seen.append(call(*args, **kwargs))
        return seen[-1]

    with lent(layer, "call", recording):
        yield seen
