"""In which order do the rows of a feature cache go into `fit()`?"""

from typing import Any

import keras
import numpy as np

__all__ = ["FeatureBatches", "epoch_order"]

# Rows are shuffled within this many shards at a time, 256 MB: they are what
# is in memory, however large the cache is.
WINDOW = 4


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
        self._order = (-1, np.empty(0, "int64"))

    @property
    def num_batches(self) -> int:
        """Batches in an epoch; the last may be smaller."""
        return -(-len(self.cache) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        epoch = max(self.epoch - 1, 0)
        start = index * self.batch_size
        rows = np.arange(start, min(start + self.batch_size, len(self.cache)))
        if self.shuffle:
            rows = self._rows_of(epoch)[rows]
        features, labels = self.cache.rows(rows, epoch % self.cache.num_views)
        return (features,) if labels is None else (features, labels)

    def on_epoch_begin(self) -> None:
        self.epoch += 1

    def _rows_of(self, epoch: int) -> np.ndarray:
        known, order = self._order
        if known != epoch:
            order = epoch_order(
                len(self.cache), self.cache.rows_per_shard, self.seed, epoch
            )
            self._order = epoch, order
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
