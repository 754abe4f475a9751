"""Which vectors do pretrained tables have for the words of a vocabulary?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_fast._checks import path as checked_path
from keras_fast._checks import several, shown
from keras_fast._checks import vocabulary as checked_vocabulary
from keras_fast.data.text._vector_files import Rows, read_vectors

__all__ = ["WordVectors", "word_vectors"]


@dataclass(frozen=True, eq=False, repr=False)
class WordVectors:
    """Pretrained vectors for a vocabulary.

    Args:
        vectors: A vector for each word, (words, size) float32. Row `i` belongs
            to the word with id `i`.
        found: Whether the vector of a word was found, (words,) bool.

    Examples:
        >>> from keras_fast.data import WordVectors
        >>> vectors = np.array([[1.0, 3.0], [0.0, 1.0], [0.5, 2.0]], "float32")
        >>> WordVectors(vectors, np.array([True, True, False]))
        WordVectors(2 of 3 words, vectors of 2)
    """

    vectors: np.ndarray
    found: np.ndarray

    @property
    def share(self) -> float:
        """Share of the words that were found."""
        return float(self.found.mean())

    def __repr__(self) -> str:
        words, size = self.vectors.shape
        return (
            f"WordVectors({self.found.sum()} of {words} words, "
            f"vectors of {size})"
        )


def word_vectors(
    source: Any,
    vocabulary: Any,
    *,
    lowercase: bool = False,
    missing: Any = None,
) -> WordVectors:
    """Read the pretrained vectors of the words in a vocabulary.

    It reads text files of GloVe, word2vec and fastText (`.vec`), and binary
    files of word2vec, whose names must end in `.bin`; all of them gzipped too.
    Only the vectors of these words are kept in memory. Use them as the weights
    of an embedding:

        found = keras_fast.data.word_vectors("glove.6B.100d.txt", words)
        embedding = keras_fast.layers.Embedding(
            *found.vectors.shape, weights=[found.vectors], trainable=False
        )

    Check `share` before you train: if most words are missing, the tokenizer
    splits texts in another way than the one used for the vectors.

    A file is read without trust, and nothing in it is executed. The header and
    the width of each row show whether it is complete. GloVe's files have no
    header: one that is cut between two rows looks complete. If a word has
    several rows, the first one counts.

    Args:
        source: Path of a file; or a pair of words and array, in memory: a list
            of N words and (N, size) numbers, which may be memory-mapped.
        vocabulary: The words: a list in the order of their ids, or a dict from
            word to id, such as `get_vocab()` of a tokenizer.
        lowercase: Whether to look up words that are not found in lower case,
            such as "Paris" in vectors of lower-case words.
        missing: The vector of words that are not found, or a number for all
            its entries. None takes the mean of the vectors that are found.

    Returns:
        The vectors, and which of them were found.

    Raises:
        CorruptFileError: A file is cut short or not in such a format; a row
            has too few numbers, or entries that are not finite numbers. The
            message names the line.
        ValueError: No word is found; a vocabulary has a word twice or leaves
            out an id; the arrays don't fit, or have numbers that aren't finite.
        TypeError: A word is not a string, or the array is not numeric.
        OSError: The file can't be opened.

    Examples:
        >>> from pathlib import Path
        >>> _ = Path("tiny.txt").write_text("the 1 3\\ncat 0 1\\ndog 2 2\\n")
        >>> words = ["[PAD]", "the", "Cat"]
        >>> found = keras_fast.data.word_vectors(
        ...     "tiny.txt", words, lowercase=True
        ... )
        >>> found
        WordVectors(2 of 3 words, vectors of 2)
        >>> found.vectors.tolist()
        [[0.5, 2.0], [1.0, 3.0], [0.0, 1.0]]

    Reference:

    - [Pennington et al., 2014](https://aclanthology.org/D14-1162/) (GloVe)
    - [Mikolov et al., 2013](https://arxiv.org/abs/1310.4546) (word2vec)
    - [Bojanowski et al., 2016](https://arxiv.org/abs/1607.04606) (fastText)
    """
    spellings = _spellings(vocabulary, lowercase)
    wanted = {each for spelling in spellings for each in spelling}
    if isinstance(source, tuple | list):
        rows, width = _in_memory(source, wanted)
    else:
        rows, width = read_vectors(checked_path("source", source), wanted)
    known = [[*filter(rows.__contains__, each)] for each in spellings]
    found = np.array([bool(each) for each in known])
    if not found.any():
        raise ValueError(
            "`source` must have words of the vocabulary. Check how both spell "
            "a common word; for vectors of lower-case words pass "
            f"`lowercase=True`. Received: vocabulary={shown(vocabulary)}, "
            f"source={shown(source)}"
        )
    vectors = np.empty((len(found), width), "float32")
    vectors[found] = [rows[each[0]] for each in known if each]
    vectors[~found] = _for_missing(missing, vectors[found])
    return WordVectors(vectors, found)


def _spellings(words: Any, lowercase: bool) -> list[list[bytes]]:
    """Possible spellings of each word in the source, the likeliest first."""
    return [
        [_encoded(word)] + ([_encoded(word.lower())] if lowercase else [])
        for word in checked_vocabulary("vocabulary", words)
    ]


def _encoded(word: str) -> bytes:
    return word.encode("utf-8", "surrogatepass")


def _in_memory(source: Any, wanted: set[bytes]) -> tuple[Rows, int]:
    words, array = _pair(source)
    places: dict[bytes, int] = {}
    for i, word in enumerate(words):
        if not isinstance(word, str):
            raise TypeError(
                "`source[0]` must have words as str. Convert them first, such "
                f"as with `.to_pylist()`. Received: source[0][{i}]={word!r}"
            )
        key = _encoded(word)
        if key in wanted:
            places.setdefault(key, i)
    taken = np.array([*places.values()], int)
    with np.errstate(over="ignore"):
        rows = array[taken].astype("float32")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        i = int(taken[finite.argmin()])
        raise ValueError(
            "`source[1]` must have finite float32 numbers. Leave out words "
            f"without them. Received: source[1][{i}]={shown(array[i])} for "
            f"{words[i]!r}"
        )
    return dict(zip(places, rows, strict=True)), array.shape[1]


def _pair(source: Any) -> tuple[list[Any], np.ndarray]:
    """The words, and an array with a row for each."""
    if len(source) != 2:
        raise ValueError(
            "`source` must be a path, or a pair of words and array. Pass "
            f"(words, array). Received: {len(source)} items"
        )
    words = several("source[0]", source[0])
    try:
        array = np.asanyarray(source[1])
    except ValueError:  # ragged
        array = np.array(None)
    if array.dtype.kind not in "fiu":
        raise TypeError(
            "`source[1]` must be an array of numbers, (words, size). Pass "
            f"vectors of one size. Received: source[1]={shown(source[1])}"
        )
    if array.ndim != 2 or len(array) != len(words) or not array.shape[1]:
        raise ValueError(
            "`source` must have a row for each word. Pass as many words as "
            f"the array has rows. Received: {len(words)} words and "
            f"source[1].shape={array.shape}"
        )
    return words, array


def _for_missing(missing: Any, found: np.ndarray) -> np.ndarray:
    """The vector of the words that were not found."""
    if missing is None:
        return found.mean(axis=0, dtype="float64").astype("float32")
    width = found.shape[1]
    value = np.asarray(missing)
    if value.dtype.kind in "fiu" and value.shape in ((), (width,)):
        with np.errstate(over="ignore"):
            vector = np.broadcast_to(value, (width,)).astype("float32")
        if np.isfinite(vector).all():
            return vector
    raise ValueError(
        f"`missing` must be a finite number or a vector of {width}. Pass 0 for "
        "zeros, or None for the mean of the vectors that are found. "
        f"Received: missing={shown(missing)}"
    )
