"""In which order does `fit()` get the rows of a feature cache?"""

import math
from typing import Any

import keras
import numpy as np

__all__ = ["FeatureBatches", "epoch_order"]

# Rows are shuffled within this many shards at a time, 256 MB: only these are in
# memory, however large the cache is.
WINDOW = 4
# Consecutive batches are read into one piece of memory. A piece for each would
# cost more than the reading.
BLOCK_BYTES = 16 << 20


class FeatureBatches(keras.utils.PyDataset):
    """Batches of cached features, with another order and view each epoch."""

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
        self._ahead: dict[Any, tuple[np.ndarray, ...]] = {}
        self._next = 0  # the next batch to be read, with those after it

    @property
    def num_batches(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return -(-len(self.cache) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        which = self._which()
        # Each is returned only once: the caller may write to a batch.
        batch = self._ahead.pop((which, index), None)
        if batch is None:
            shape, dtype = self.cache.feature_shape, self.cache.feature_dtype
            size = np.dtype(dtype).itemsize * math.prod(shape)
            most = BLOCK_BYTES // max(1, self.batch_size * size)
            count = max(1, most) if index == self._next else 1
            self._next = index + count
            batch, *ahead = self._read(index, count)
            if ahead:
                names = [(which, index + i) for i in range(1, count)]
                self._ahead = dict(zip(names, ahead, strict=False))
        return batch

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ahead": {}}

    def on_epoch_begin(self) -> None:
        self.epoch += 1
        self._next = 0

    def _which(self) -> tuple[int, ...]:
        """What determines the rows of a batch."""
        epoch = max(self.epoch - 1, 0)
        return epoch, self.batch_size, self.shuffle, self.seed

    def _read(self, index: int, count: int) -> list[tuple[np.ndarray, ...]]:
        """Consecutive batches, in one piece of memory."""
        epoch, size, shuffle, _ = self._which()
        stop = min((index + count) * size, len(self.cache))
        rows = np.arange(index * size, stop)
        if shuffle:
            rows = self._rows_of(epoch)[rows]
        arrays = self.cache.rows(rows, epoch % self.cache.num_views)
        return [
            tuple(a[start : start + size] for a in arrays if a is not None)
            for start in range(0, len(rows), size)
        ]

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
    starts = rng.permutation(-(-num_rows // rows_per_shard)) * rows_per_shard
    mixed = []
    for i in range(0, len(starts), WINDOW):
        rows = starts[i : i + WINDOW, None] + np.arange(rows_per_shard)
        mixed.append(rng.permutation(rows[rows < num_rows]))
    return np.concatenate(mixed)
