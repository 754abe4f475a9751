"""Is this a valid state of an encoder? A file may contain anything."""

import math
from collections.abc import Callable
from typing import Any

from keras_fast._checks import shown
from keras_fast.data.tables._categories import Vocabulary
from keras_fast.data.tables._numbers import NUM_LEVELS, Scale

__all__ = ["scales_from", "vocabularies_from"]


def vocabularies_from(state: Any) -> dict[str, Vocabulary]:
    """The vocabularies of categorical columns, each checked."""
    return _each(state, "categories", Vocabulary, _is_vocabulary)


def scales_from(state: Any) -> dict[str, Scale]:
    """The scales of numerical columns, each checked."""
    return _each(state, "numbers", Scale, _is_scale)


def _each(
    state: Any, part: str, kind: type, is_right: Callable[..., bool]
) -> dict[str, Any]:
    columns = state.get(part) if isinstance(state, dict) else None
    if not isinstance(columns, dict):
        raise _damaged(part, columns)
    found = {}
    for name, fields in columns.items():
        try:
            right = is_right(**fields)
        except TypeError:  # other fields, or of other types
            right = False
        if not right:
            raise _damaged(name, fields)
        found[name] = kind(**fields)
    return found


def _is_vocabulary(words: Any, counts: Any) -> bool:
    return (
        isinstance(words, list)
        and isinstance(counts, list)
        and len(counts) == len(words) + 1
        and all(type(count) is int and count >= 0 for count in counts)
        and all(type(word) in (str, bool, int, float) for word in words)
        and len({isinstance(word, str) for word in words}) <= 1
        and len({*words}) == len(words)
    )


def _is_scale(
    median: Any, spread: Any, missing: Any, quantiles: Any, distinct: Any
) -> bool:
    numbers = [median, spread, *quantiles, *distinct]
    return (
        all(type(n) is float and math.isfinite(n) for n in numbers)
        and spread > 0
        and type(missing) is bool
        and all(
            isinstance(each, list)
            and len(each) == NUM_LEVELS
            and sorted(each) == each
            for each in (quantiles, distinct)
        )
    )


def _damaged(name: str, received: Any) -> ValueError:
    return ValueError(
        "The configuration of an encoder must be what `get_config()` returned. "
        "Adapt a new encoder, or load a file that you trust. Received: "
        f"{name}={shown(received)}"
    )
