"""In which order do the rows of a feature cache go into `fit()`?"""

import math
from typing import Any

import keras
import numpy as np

__all__ = ["FeatureBatches", "epoch_order"]

# Rows are shuffled within this many shards at a time, 256 MB: they are what
# is in memory, however large the cache is.
WINDOW = 4
# Batches that follow each other are read into one piece of memory. One for
# each would cost more than the reading.
BLOCK_BYTES = 16 << 20


Batch = tuple[np.ndarray, ...]


class FeatureBatches(keras.utils.PyDataset):
    """Batches of cached features, another order and view each epoch."""

    def __init__(
        self,
        cache: Any,  # a FeatureCache, whose module imports this one
        batch_size: int,
        shuffle: bool,
        seed: int,
    ) -> None:
        super().__init__()
        self.cache, self.batch_size = cache, batch_size
        self.shuffle, self.seed = shuffle, seed
        self.epoch = 0  # epochs that have begun
        self._order: tuple[Any, np.ndarray] = (None, np.empty(0, "int64"))
        self._ahead: tuple[Any, dict[int, Batch]] = (None, {})
        self._next = 0  # the batch that would be read with those after it

    @property
    def num_batches(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return -(-len(self.cache) // self.batch_size)

    def __getitem__(self, index: int) -> Batch:
        known, ahead = self._ahead
        # Each is handed out once: a batch may be written to.
        batch = ahead.pop(index, None) if known == self._which() else None
        return self._read(index) if batch is None else batch

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ahead": (None, {})}

    def on_epoch_begin(self) -> None:
        self.epoch += 1
        self._next = 0

    def _read(self, index: int) -> Batch:
        """A batch; where data is read in order, some of those after it too."""
        count, which = 1, self._which()
        if index == self._next:
            shape, dtype = self.cache.feature_shape, self.cache.feature_dtype
            row = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
            most = BLOCK_BYTES // (self.batch_size * row)
            count = max(1, min(most, self.num_batches - index))
        self._next = index + count
        arrays = self._batches(index, count)
        batches = [
            tuple(array[start : start + self.batch_size] for array in arrays)
            for start in range(0, len(arrays[0]), self.batch_size)
        ]
        if count > 1:
            self._ahead = which, dict(enumerate(batches[1:], index + 1))
        return batches[0]

    def _batches(self, index: int, count: int) -> Batch:
        """Some that follow each other, in one piece."""
        start = index * self.batch_size
        stop = min(start + count * self.batch_size, len(self.cache))
        rows = np.arange(start, stop)
        epoch = self._which()[0]
        if self.shuffle:
            rows = self._rows_of(epoch)[rows]
        features, labels = self.cache.rows(rows, epoch % self.cache.num_views)
        return (features,) if labels is None else (features, labels)

    def _which(self) -> tuple[int, ...]:
        """What the rows of a batch follow from."""
        epoch = max(self.epoch - 1, 0)
        return epoch, self.batch_size, self.shuffle, self.seed

    def _rows_of(self, epoch: int) -> np.ndarray:
        known, order = self._order
        if known != (epoch, self.seed):
            order = epoch_order(
                len(self.cache), self.cache.rows_per_shard, self.seed, epoch
            )
            self._order = (epoch, self.seed), order
        return order


def epoch_order(
    num_rows: int, rows_per_shard: int, seed: int, epoch: int
) -> np.ndarray:
    """Every row once: shards in random order, a few mixed at a time."""
    rng = np.random.default_rng([seed, epoch])
    shards = rng.permutation(-(-num_rows // rows_per_shard)) * rows_per_shard
    mixed = [
        rng.permutation(
            np.concatenate(
                [
                    np.arange(start, min(start + rows_per_shard, num_rows))
                    for start in shards[i : i + WINDOW]
                ]
            )
        )
        for i in range(0, len(shards), WINDOW)
    ]
    return np.concatenate(mixed)
