"""Which code does a word of a categorical column have?

Code 0 is for values that are missing, unseen, or too rare to learn from.
"""

import itertools
import numbers
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_fast._checks import shown
from keras_fast.data.tables._columns import is_missing, refuse_kind

__all__ = ["Vocabulary", "Word"]

Word = str | bool | int | float


@dataclass(frozen=True)
class Vocabulary:
    """The words of a column in order; the first has code 1.

    Args:
        words: Text or numbers, not both.
        counts: How often each code occurred, code 0 first.
    """

    words: list[Word]
    counts: list[int]

    @classmethod
    def learned(cls, name: str, values: np.ndarray, min_count: int) -> Any:
        """The words that occur at least `min_count` times."""
        seen = _counted(name, values)
        words = {_word(name, value): count for value, count in seen}
        kinds = {isinstance(word, str): word for word in reversed(words)}
        if len(kinds) > 1:
            raise TypeError(
                f"Column {name!r} must hold text or numbers, not both. "
                "Convert it with `.astype(str)`, also where you predict. "
                f"Received: {name}={kinds[True]!r} and {kinds[False]!r}"
            )
        kept = sorted(w for w, count in words.items() if count >= min_count)
        counts = [words[word] for word in kept]
        return cls(kept, [len(values) - sum(counts), *counts])

    def encode(self, name: str, values: np.ndarray) -> np.ndarray:
        """Codes, (rows,) int32."""
        lookup = {word: code for code, word in enumerate(self.words, 1)}
        words = _listed(name, values)
        known = map(lookup.get, words, itertools.repeat(0))
        try:
            return np.fromiter(known, "int32", len(values))
        except TypeError as error:
            raise _unhashable(name, words) from error

    def check(self, name: str, values: np.ndarray, codes: np.ndarray) -> None:
        """Refuse words of the other type, and columns of unknown words."""
        unseen = {
            value
            for value in _listed(name, values[codes == 0])
            if not is_missing(value)
        }
        if not unseen or not self.words:
            return
        text = isinstance(self.words[0], str)
        for value in unseen:
            if isinstance(_word(name, value), str) != text:
                kind = "text" if text else "numbers"
                remedy = f"It held {kind} when the encoder was adapted."
                refuse_kind(name, kind, remedy, value)
        # A single unknown word may be a new user.
        if len(unseen) > 1 and not codes.any():
            raise ValueError(
                f"Column {name!r} must hold words that the encoder knows. "
                "Check how they are spelled; pass None for what is meant to "
                f"be unknown. Received: {name}={shown(sorted(unseen)[:3])}, "
                f"known are {shown(self.words[:3])}"
            )


def _listed(name: str, values: np.ndarray) -> list[Any]:
    """As Python objects, which are hashed faster than NumPy's."""
    if values.dtype.kind not in "biufOUT":
        raise _not_a_word(name, values.flat[0])
    if values.dtype.kind == "f":
        _check_whole(name, values)
    return values.tolist()


def _counted(name: str, values: np.ndarray) -> Iterable[tuple[Any, int]]:
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    words = _listed(name, values)
    try:
        counted = Counter(words)
    except TypeError as error:
        raise _unhashable(name, words) from error
    return [pair for pair in counted.items() if not is_missing(pair[0])]


def _check_whole(name: str, values: np.ndarray) -> None:
    """Refuse whole numbers too large for floats, which gaps turn them into."""
    digits = np.finfo(values.dtype).nmant + 1
    large = values[np.isfinite(values) & (np.abs(values) >= 2.0**digits)]
    if len(large):
        raise ValueError(
            f"Column {name!r} must hold whole numbers below 2**{digits} where "
            "some are missing, or different ones become equal. Convert it to "
            f"text, also where you predict. Received: {name}={large[0]:.0f}"
        )


def _word(name: str, value: Any) -> Word:
    """A word that JSON can hold. Equal values stay equal: 1, 1.0 and True."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        # pandas turns whole numbers into floats if some are missing.
        return int(number) if number.is_integer() else number
    raise _not_a_word(name, value)


def _not_a_word(name: str, value: Any) -> TypeError:
    return TypeError(
        f"Column {name!r} must hold text, numbers or bools to be categorical. "
        "Pass dates in `dates`, and convert anything else to str. Received: "
        f"{name}={shown(value)} ({type(value).__name__})"
    )


def _unhashable(name: str, values: list[Any]) -> TypeError:
    found = (value for value in values if not isinstance(value, Hashable))
    return _not_a_word(name, next(found, values[0]))
