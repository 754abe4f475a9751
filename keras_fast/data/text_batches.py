"""Batches of whole texts, padded as little as can be."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_fast._checks import shown, whole
from keras_fast.data._epochs import EpochDataset
from keras_fast.data._token_ids import token_ids

# Texts are sorted by length within so many batches, as fastai does: few
# enough for another mixture each epoch.
CHUNK = 50


class Batches(NamedTuple):
    """Which texts are in which batch."""

    rows: list[np.ndarray]
    widths: np.ndarray  # with padding


class TextBatches(EpochDataset[Batches]):
    """Texts of similar length side by side, padded on the right.

    For the training of a text classifier, and for predictions. In each epoch
    the texts are shuffled, sorted by length within chunks of 50 batches, and
    the batches shuffled, as fastai's `SortedDL` does. A batch is as wide as
    its longest text, rounded up to a multiple of `round_to`: few shapes, so
    that the model is compiled few times. No text is cut.

    With `shuffle=False` texts keep their order, and so do predictions:
    `model.predict(TextBatches(texts))` has a row for each text. When shuffled,
    text `batches.order[i]` is row `i`: read `order` before each pass.

    An empty text is one of padding alone. What is in batch `i` follows from
    `seed`, `epoch` and `i` alone. To go on with a training in a new process,
    set `epoch` to the number of epochs done.

    Args:
        texts: Lists or arrays of ids, one a text; or one array of ids with
            `offsets`. With `tokenizer` strings, or whatever it takes.
        y: Labels, one a text: an array of any shape, or None.
        batch_size: Texts in a batch; one of them may have fewer.
        tokenizer: A function from a text to its ids. Called once a text, here.
        offsets: Where in `texts` each text begins, and where the last ends:
            `num_texts + 1` whole numbers.
        pad: The id of padding, which no text may have.
        round_to: Widths are multiples of this.
        max_length: Tokens of a text that are used, from its beginning; None
            for all.
        shuffle: Whether to shuffle; if None, texts with labels are.
        seed: Makes the order repeatable; if None, it is drawn from NumPy's
            random state, which `keras.utils.set_random_seed` sets.
        sample_weight: Weights, one a text.
        **kwargs: As `keras.utils.PyDataset`: `workers` and so on.

    Raises:
        TypeError: Ids are not whole numbers, or strings come without a
            tokenizer; the message names the text.
        ValueError: An id is negative or that of padding; there is no text;
            there are more or fewer labels than texts.

    Examples:
        >>> texts = [[5, 3], [4], [2, 2, 6]]
        >>> batches = keras_fast.data.TextBatches(texts, round_to=4)
        >>> batches[0][0].tolist()
        [[5, 3, 0, 0], [4, 0, 0, 0], [2, 2, 6, 0]]
        >>> train = keras_fast.data.TextBatches(texts, [1, 0, 1], seed=0)
        >>> x, y = train[0]
        >>> y.shape
        (3,)
    """

    def __init__(
        self,
        texts: Any,
        y: Any = None,
        batch_size: int = 32,
        *,
        tokenizer: Callable[[Any], Any] | None = None,
        offsets: Any = None,
        pad: int = 0,
        round_to: int = 16,
        max_length: int | None = None,
        shuffle: bool | None = None,
        seed: int | None = None,
        sample_weight: Any = None,
        **kwargs: Any,
    ) -> None:
        shuffle = y is not None if shuffle is None else shuffle
        super().__init__(batch_size, shuffle, seed, **kwargs)
        self.pad = whole("pad", pad, 0)
        self.round_to = whole("round_to", round_to)
        if max_length is not None:
            max_length = whole("max_length", max_length)
        self._texts = token_ids(texts, tokenizer, offsets)
        self._check_padding()
        self._lengths = np.minimum(self._texts.lengths, max_length or np.inf)
        self._lengths = self._lengths.astype("int64")
        self._labels = [
            self._one_a_text(name, values)
            for name, values in (("y", y), ("sample_weight", sample_weight))
            if values is not None
        ]
        if y is None and sample_weight is not None:
            raise ValueError(
                "`sample_weight` needs labels. Pass `y`. Received: y=None"
            )

    @property
    def num_batches(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._lengths) // self.batch_size)

    @property
    def order(self) -> np.ndarray:
        """Which texts come one after another in the epoch in progress."""
        return np.concatenate(self.plan.rows)

    def _make_plan(self, rng: np.random.Generator | None) -> Batches:
        order = np.arange(len(self._lengths))
        if rng is not None:
            chunks = order // (CHUNK * self.batch_size)
            order = rng.permutation(order)
            order = order[np.lexsort((-self._lengths[order], chunks))]
        starts = np.arange(0, len(order), self.batch_size)
        if rng is not None:
            starts = rng.permutation(starts)
        rows = [order[start : start + self.batch_size] for start in starts]
        widest = np.array([self._lengths[each].max() for each in rows])
        return Batches(rows, self._told_apart(self._rounded(widest)))

    def _batch(self, plan: Batches, index: int) -> tuple[np.ndarray, ...]:
        rows = plan.rows[index]
        x = np.full((len(rows), plan.widths[index]), self.pad, "int32")
        for row, i in zip(x, rows, strict=True):
            start, length = self._texts.offsets[i], self._lengths[i]
            row[:length] = self._texts.ids[start : start + length]
        return x, *(values[rows] for values in self._labels)

    def _rounded(self, lengths: np.ndarray) -> np.ndarray:
        return self.round_to * np.maximum(-(-lengths // self.round_to), 1)

    def _told_apart(self, widths: np.ndarray) -> np.ndarray:
        """Widths of which the first two differ, where any may.

        On TensorFlow Keras takes what two batches have in common for what all
        batches have in common.
        """
        ends = np.array([self._lengths.min(), self._lengths.max()])
        narrowest, widest = self._rounded(ends)
        if len(widths) > 1 and widths[0] == widths[1] and narrowest < widest:
            higher = widest if widths[1] < widest else widest + self.round_to
            widths[1] = higher
        return widths

    def _check_padding(self) -> None:
        found = np.flatnonzero(self._texts.ids == self.pad)
        if len(found):
            i = self._texts.text_at(found[0])
            place = found[0] - self._texts.offsets[i]
            raise ValueError(
                "`pad` must be an id that no text has. Pass another, or take "
                "the padding out of the texts. "
                f"Received: pad={self.pad}, texts[{i}][{place}]={self.pad}"
            )

    def _one_a_text(self, name: str, values: Any) -> np.ndarray:
        array = np.asarray(values)
        if array.shape[:1] != (len(self._lengths),):
            raise ValueError(
                f"`{name}` must have an entry for each text, "
                f"{len(self._lengths)}. Check both. Received: "
                f"{name}={shown(values)} of shape {array.shape}"
            )
        return array
