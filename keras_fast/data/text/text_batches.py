"""Batches of whole texts of similar length."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_fast._checks import shown, whole
from keras_fast.data.text._epochs import EpochDataset
from keras_fast.data.text._token_ids import LARGEST, token_ids

# Batches in a chunk, as in fastai: enough to find texts of similar length,
# few enough for different batches each epoch.
CHUNK = 50


class Batches(NamedTuple):
    """Which texts are in which batch."""

    rows: list[np.ndarray]
    widths: np.ndarray  # with padding


class TextBatches(EpochDataset[Batches]):
    """Batches of whole texts of similar length, padded on the right.

    Data for training a text classifier and for prediction. Each epoch shuffles
    the texts, sorts them by length within chunks of 50 batches, and shuffles
    the batches, as fastai's `SortedDL` does. A batch is as wide as its longest
    text, rounded up to a multiple of `round_to`, so that the model is compiled
    for few shapes. No text is cut unless you pass `max_length`.

    With `shuffle=False` the texts keep their order, and so do predictions:
    row `i` of `model.predict(TextBatches(texts))` is that of `texts[i]`. When
    shuffled, it is that of `texts[batches.order[i]]`; read `order` before the
    pass. An empty text becomes a row of padding, for which a model may give a
    confident prediction without a reason: leave such texts out.

    Batch `i` depends only on `seed`, `epoch` and `i`. `epoch` counts all
    passes, including those of `evaluate()` and `lr_find`. To continue training
    in a new process, restore its value; `ResumableCheckpoint` does.

    Args:
        texts: A list of texts, each a list or array of ids. With `tokenizer`,
            a list of its inputs, usually strings. Or one array of ids with
            `offsets`; it is not copied and may be memory-mapped.
        y: Labels, an array with an entry for each text; or None.
        batch_size: Texts in a batch; one batch may have fewer.
        tokenizer: A function from a text to its ids, called once for each
            text when the batches are made.
        offsets: Where in `texts` each text begins, and where the last ends:
            `num_texts + 1` whole numbers.
        pad: The id of padding; no text may contain it.
        round_to: Widths are multiples of this.
        max_length: How many tokens to keep of each text, from its beginning;
            None keeps all.
        shuffle: Whether each epoch has its own order; None shuffles if there
            are labels.
        seed: Makes the order repeatable; if None, it is drawn from NumPy's
            random state, which `keras.utils.set_random_seed` sets.
        sample_weight: An array with a weight for each text.
        **kwargs: As `keras.utils.PyDataset`: `workers` and so on.

    Raises:
        TypeError: Ids are not whole numbers, or strings come without a
            tokenizer; the message names the text. Labels are not numbers.
        ValueError: An id is negative or equals `pad`; there is no text; the
            number of labels differs from that of texts, or one is NaN.

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

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self._lengths) // self.batch_size)

    @property
    def order(self) -> np.ndarray:
        """Order of the texts in the epoch in progress, as indices."""
        return np.concatenate(self._plan.rows)

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
        """Widths of which the first two differ, if any may differ.

        On TensorFlow, Keras infers the shape of all batches from the first
        two: with equal widths, they would fix the width of all.
        """
        ends = np.array([self._lengths.min(), self._lengths.max()])
        narrowest, widest = self._rounded(ends)
        if len(widths) > 1 and widths[0] == widths[1] and narrowest < widest:
            higher = widest if widths[1] < widest else widest + self.round_to
            widths[1] = higher
        return widths

    def _check_padding(self) -> None:
        if self.pad > LARGEST:
            raise ValueError(
                f"`pad` must be an id, from 0 to {LARGEST}. Pass one that no "
                f"text has, such as 0. Received: pad={self.pad}"
            )
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
        try:
            array = np.asarray(values)
        except ValueError:  # ragged
            array = np.array(None)
        if array.shape[:1] != (len(self._lengths),):
            raise ValueError(
                f"`{name}` must have an entry for each text, "
                f"{len(self._lengths)}. Check both. Received: "
                f"{name}={shown(values)} of shape {array.shape}"
            )
        if array.dtype.kind not in "biuf":
            raise TypeError(
                f"`{name}` must be numbers. Pass an array of them; number "
                f"classes from 0. Received: {name}={shown(values)}"
            )
        missing = np.flatnonzero(np.isnan(array).reshape(len(array), -1).any(1))
        if len(missing):
            raise ValueError(
                f"`{name}` must have no missing value. Leave those texts out. "
                f"Received: {name}[{missing[0]}]={array[missing[0]]}"
            )
        return array
