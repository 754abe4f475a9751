"""Which random generators does a view draw from?"""

import contextlib
import functools
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import keras

__all__ = ["sources"]

SOURCES = (keras.Layer, keras.random.SeedGenerator)


def sources(view: Any) -> list[Any]:
    """The layers and generators in a view: itself, or what it refers to.

    It searches a function's closure and the globals that it names, also of the
    functions of its module that it calls, the arguments bound in a partial,
    and the attributes of a callable object.
    """
    return list(_walk(view, None, {}))


def _walk(
    value: Any, module: str | None, seen: dict[int, Any]
) -> Iterator[Any]:
    if id(value) in seen:
        return
    seen[id(value)] = value  # kept, so that no other object gets its id
    if isinstance(value, SOURCES):
        yield value
        return
    if inspect.isfunction(value):
        # Not into Keras, or other libraries that a view is written with.
        if module not in (None, value.__module__):
            return
        module = value.__module__
    for part in _parts(value):
        yield from _walk(part, module, seen)


def _parts(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if inspect.ismethod(value):
        return [value.__self__, value.__func__]
    if inspect.isfunction(value):
        cells = []
        for cell in value.__closure__ or ():
            with contextlib.suppress(ValueError):  # not filled yet
                cells.append(cell.cell_contents)
        named = [value.__globals__.get(n) for n in value.__code__.co_names]
        return [*cells, *named]
    if callable(value) and not isinstance(value, type):
        return list(getattr(value, "__dict__", {}).values())
    return []
