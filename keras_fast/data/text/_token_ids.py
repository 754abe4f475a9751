"""How do texts become one array of ids, and are the ids valid?"""

import numbers
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import numpy as np

from keras_fast._checks import function, several, shown

__all__ = ["LARGEST", "TokenIds", "is_one_text", "token_ids"]

LARGEST = np.iinfo("int32").max


class TokenIds(NamedTuple):
    """The ids of all texts, one after another."""

    ids: np.ndarray  # integers of any type: a mapped file stays mapped
    offsets: np.ndarray  # (num_texts + 1,), where each begins and the last ends

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each text."""
        return np.diff(self.offsets)

    def text_at(self, place: int) -> int:
        """Index of the text that an id belongs to."""
        return int(np.searchsorted(self.offsets, place, side="right")) - 1


def token_ids(
    texts: Any,
    tokenizer: Callable[[Any], Any] | None,
    offsets: Any,
) -> TokenIds:
    """Ids and offsets of texts in any of the accepted forms.

    Raises:
        TypeError: Texts are strings without a tokenizer, or ids are not whole
            numbers.
        ValueError: There is no text; an id is negative or above int32; the
            offsets don't fit.
    """
    if offsets is not None:
        found = _with_offsets(texts, tokenizer, offsets)
    else:
        found = _joined(texts, tokenizer)
    if len(found.offsets) == 1:
        raise ValueError(
            "`texts` must have at least one text. Check where they come from. "
            "Received: no text"
        )
    _check_range(found)
    return found


def is_one_text(texts: Any) -> bool:
    """Whether it is ids, rather than lists of them."""
    if getattr(texts, "ndim", None) == 1 and hasattr(texts, "dtype"):
        return np.asanyarray(texts).dtype.kind in "iu"
    return (
        isinstance(texts, list | tuple)
        and len(texts) > 0
        and isinstance(texts[0], numbers.Integral)
    )


def _with_offsets(texts: Any, tokenizer: Any, offsets: Any) -> TokenIds:
    try:
        ids, starts = np.asanyarray(texts), np.asarray(offsets)
    except ValueError:  # ragged
        ids = starts = np.array(None)
    if tokenizer is not None or ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise TypeError(
            "`texts` with `offsets` must be one array of ids. Pass a list of "
            "texts without `offsets`, or ids without `tokenizer`. "
            f"Received: texts={shown(texts)}"
        )
    if (
        starts.ndim != 1
        or starts.dtype.kind not in "iu"
        or len(starts) == 0
        or starts[0] != 0
        or starts[-1] != len(ids)
        or (np.diff(starts.astype("int64")) < 0).any()
    ):
        raise ValueError(
            "`offsets` must rise from 0 to the number of ids. Pass where each "
            "text begins, and where the last one ends. "
            f"Received: offsets={shown(offsets)} for {len(ids)} ids"
        )
    return TokenIds(ids, starts.astype("int64"))


def _joined(texts: Any, tokenizer: Any) -> TokenIds:
    if hasattr(tokenizer, "encode") and not callable(tokenizer):
        raise TypeError(
            "`tokenizer` must be a function from a text to its ids. Pass "
            "`lambda text: tokenizer.encode(text).ids`. "
            f"Received: tokenizer={shown(tokenizer)}"
        )
    if tokenizer is not None:
        function("tokenizer", tokenizer)
    rows = [
        _row(text, i, tokenizer)
        for i, text in enumerate(several("texts", texts))
    ]
    offsets = np.cumsum([0, *map(len, rows)])
    ids = np.concatenate([np.empty(0, "int32"), *rows])
    return TokenIds(ids, offsets)


def _row(text: Any, i: int, tokenizer: Any) -> np.ndarray:
    """The ids of one text."""
    try:
        ids = text if tokenizer is None else tokenizer(text)
    except Exception as error:
        error.add_note(f"`tokenizer` raised this for texts[{i}]={shown(text)}")
        raise
    if isinstance(ids, str | bytes):
        _refuse_ids(ids, i, tokenizer)
    try:
        row = np.asarray(ids)
    except ValueError:  # ragged
        _refuse_ids(ids, i, tokenizer)
    if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
        _refuse_ids(ids, i, tokenizer)
    # NumPy makes floats of an empty list.
    return row.astype("int64") if row.size else np.empty(0, "int64")


def _refuse_ids(ids: Any, i: int, tokenizer: Any) -> NoReturn:
    if tokenizer is not None:
        hint = "Look its tokens up in a vocabulary."
        if hasattr(ids, "ids"):
            hint = "Return its `.ids`."
        raise TypeError(
            "`tokenizer` must return one flat list of whole numbers, the ids "
            f"of the tokens of a text. {hint} "
            f"Received: tokenizer(texts[{i}])={shown(ids)}"
        )
    raise TypeError(
        "`texts` must be lists of whole numbers, the ids of tokens. Pass "
        "strings with `tokenizer`, a function from a text to its ids. "
        f"Received: texts[{i}]={shown(ids)}"
    )


def _check_range(found: TokenIds) -> None:
    if len(found.ids) == 0:
        return
    for place in (int(found.ids.argmin()), int(found.ids.argmax())):
        value = int(found.ids[place])
        if not 0 <= value <= LARGEST:
            i = found.text_at(place)
            raise ValueError(
                f"`texts` must have ids from 0 to {LARGEST}. Give each word "
                "that is unknown an id of its own, such as 1. "
                f"Received: texts[{i}][{place - found.offsets[i]}]={value}"
            )
