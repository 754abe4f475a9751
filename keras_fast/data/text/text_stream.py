"""Windows of running text, for a language model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from keras_fast._checks import whole
from keras_fast.data.text._epochs import EpochDataset
from keras_fast.data.text._token_ids import is_one_text, token_ids


class Stream(NamedTuple):
    """Texts in one order, joined."""

    ends: np.ndarray  # in the stream, exclusive
    shifts: np.ndarray  # from a position in the stream to that in the ids


class TextStream(EpochDataset[Stream]):
    """Contiguous windows of ids, and the ids that follow each.

    Data for training a language model. Each epoch joins the texts in a new
    order and cuts the stream into `batch_size` long rows. Batch `i` has
    window `i` of each row: `x` (batch_size, length), and `y` with the id that
    follows each id of `x`. All batches have the same shape. Windows are
    independent samples: models keep no state between batches, which may come
    in any order. The end of the stream, at most `batch_size * length` tokens
    that don't fill a batch, is left out of the epoch.

    Nothing is inserted between texts: let the tokenizer begin each text with a
    special token. Evaluate with `shuffle=False`, so that each evaluation sees
    the same windows.

    Batch `i` depends only on `seed`, `epoch` and `i`. `epoch` counts all
    passes, including those of `evaluate()` and `lr_find`. To continue training
    in a new process, restore its value; `ResumableCheckpoint` does.

    Args:
        texts: A list of texts, each a list or array of ids. With `tokenizer`,
            a list of its inputs, usually strings. Or one array of ids: one
            text, or several with `offsets`. It is not copied and may be
            memory-mapped.
        batch_size: Windows in a batch.
        length: Tokens in a window.
        tokenizer: A function from a text to its ids, called once for each
            text when the stream is made.
        offsets: Where in `texts` each text begins, and where the last ends:
            `num_texts + 1` whole numbers.
        shuffle: Whether each epoch has a new order of texts.
        seed: Makes the order repeatable; if None, it is drawn from NumPy's
            random state, which `keras.utils.set_random_seed` sets.
        **kwargs: As `keras.utils.PyDataset`: `workers` and so on.

    Raises:
        TypeError: Ids are not whole numbers, or strings come without a
            tokenizer; the message names the text.
        ValueError: An id is negative, there is no text, or all texts together
            are too short for one batch.

    Examples:
        >>> stream = keras_fast.data.TextStream(
        ...     [[1, 2, 3, 4, 5], [6, 7, 8, 9]], 2, length=2, shuffle=False
        ... )
        >>> x, y = stream[0]
        >>> x.tolist(), y.tolist()
        ([[1, 2], [5, 6]], [[2, 3], [6, 7]])

        With words as tokens:

        >>> texts = ["a rose is a rose", "is a rose"]
        >>> words = sorted({word for text in texts for word in text.split()})
        >>> codes = {word: i + 2 for i, word in enumerate(words)}
        >>> stream = keras_fast.data.TextStream(
        ...     texts,
        ...     batch_size=1,
        ...     length=3,
        ...     tokenizer=lambda text: [codes.get(w, 1) for w in text.split()],
        ... )
        >>> len(stream)
        2

    Reference:

    - [Merity et al., 2017](https://arxiv.org/abs/1708.02182)
    """

    def __init__(
        self,
        texts: Any,
        batch_size: int,
        length: int = 72,
        *,
        tokenizer: Callable[[Any], Any] | None = None,
        offsets: Any = None,
        shuffle: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(batch_size, shuffle, seed, **kwargs)
        self.length = whole("length", length)
        if tokenizer is None and offsets is None and is_one_text(texts):
            offsets = [0, len(texts)]
        self._texts = token_ids(texts, tokenizer, offsets)
        tokens = len(self._texts.ids)
        # The last token has no next one.
        self._num_batches = (tokens - 1) // (self.batch_size * self.length)
        if self._num_batches < 1:
            raise ValueError(
                "`texts` must have more than batch_size * length tokens. Lower "
                "`batch_size` or `length`, or pass more texts. Received: "
                f"batch_size={batch_size}, length={length}, {tokens} tokens"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return self._num_batches

    def _make_plan(self, rng: np.random.Generator | None) -> Stream:
        lengths, starts = self._texts.lengths, self._texts.offsets[:-1]
        if rng is not None:
            order = rng.permutation(len(lengths))
            lengths, starts = lengths[order], starts[order]
        ends = np.cumsum(lengths)
        return Stream(ends, starts - (ends - lengths))

    def _batch(self, plan: Stream, index: int) -> tuple[np.ndarray, ...]:
        rows = np.arange(self.batch_size)[:, None] * self._num_batches
        places = (rows + index) * self.length + np.arange(self.length + 1)
        which = np.searchsorted(plan.ends, places, side="right")
        ids = self._texts.ids[places + plan.shifts[which]].astype("int32")
        return ids[:, :-1].copy(), ids[:, 1:].copy()
