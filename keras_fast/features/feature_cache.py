"""Features on the disk, as data for `fit()`."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_fast._checks import whole
from keras_fast._files.io import CorruptFileError
from keras_fast.features.feature_batches import FeatureBatches
from keras_fast.features.manifest import read_manifest, shard_path
from keras_fast.features.shards import load

__all__ = ["FeatureCache"]

MOST_OPEN = 64  # shards; each takes a file handle


class FeatureCache:
    """What a body made of data, on the disk and not in memory.

    `cache_features` makes one. Opening checks the checksum of every file:
    what is read is what was written.

    Args:
        directory: The cache's own folder, its `directory`.

    Raises:
        CorruptFileError: It is damaged, or not finished. The message names
            the file. `cache_features` makes what is damaged anew.
        FileVersionError: Another version of the library wrote it.
        OSError: It is not there.

    Examples:
        >>> body, head = keras_fast.split_head(model)
        >>> cache = keras_fast.cache_features(body, x, y, directory="cache")
        >>> len(cache), cache.feature_shape, cache.feature_dtype
        (32, (8,), 'float32')
        >>> head.compile("adam", "mse")
        >>> train = cache.dataset(batch_size=8, seed=0)
        >>> history = head.fit(train, epochs=2, shuffle=False, verbose=0)
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        self._directory = Path(directory)
        self._manifest = read_manifest(self._directory)
        damaged = self._manifest.damaged(self._directory)
        if damaged or not self._manifest.complete:
            why = ", ".join(damaged.values()) or "it is not finished"
            raise CorruptFileError(
                "The feature cache must be whole. Call `cache_features` with "
                "what it was made of. Received: "
                f"directory={str(directory)!r} ({why})"
            )
        self._open: dict[tuple[str, int, int], np.ndarray] = {}

    @property
    def directory(self) -> Path:
        """The folder, this cache's own."""
        return self._directory

    @property
    def num_views(self) -> int:
        """Number of views of each row of data."""
        return self._manifest.num_views

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the features of one row."""
        return self._manifest.features.shape

    @property
    def feature_dtype(self) -> str:
        """Name of the features' dtype."""
        return self._manifest.features.dtype

    @property
    def rows_per_shard(self) -> int:
        """Rows in a file."""
        return self._manifest.rows_per_shard

    def __len__(self) -> int:
        return self._manifest.num_rows

    def __repr__(self) -> str:
        return (
            f"FeatureCache({len(self)} rows of {self.feature_shape} "
            f"{self.feature_dtype}, num_views={self.num_views}, "
            f"directory={str(self.directory)!r})"
        )

    def __getstate__(self) -> dict[str, Any]:
        # Another process maps the files itself.
        return self.__dict__ | {"_open": {}}

    def rows(
        self, indices: Any, view: int = 0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Some rows, in memory.

        Args:
            indices: An array of their numbers, in any order.
            view: Of which view.

        Returns:
            Features, and labels or None.

        Raises:
            IndexError: There is no such row or view.
        """
        indices = np.asarray(indices, "int64")
        inside = (indices >= 0) & (indices < len(self))
        if indices.ndim != 1 or not inside.all():
            raise IndexError(
                f"`indices` must be an array of numbers from 0 to "
                f"{len(self) - 1}. Received: indices={indices}"
            )
        if not 0 <= whole("view", view, 0) < self.num_views:
            raise IndexError(
                f"`view` must be below the number of views, {self.num_views}. "
                f"Received: view={view}"
            )
        arrays = [self._rows(kind, view, indices) for kind in self._kinds()]
        return arrays[0], arrays[1] if len(arrays) == 2 else None

    def arrays(self, view: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """All rows of a view in their order, in memory: features, labels."""
        return self.rows(np.arange(len(self)), view)

    def dataset(
        self, batch_size: int, shuffle: bool = True, seed: int | None = None
    ) -> FeatureBatches:
        """What to train the head on.

        Each epoch has the rows in another order, and shows the next view.
        Rows are shuffled by files and within a few files at a time, so that
        a cache larger than memory is read in large pieces. Which rows are
        batch `i` follows from the seed, the epoch and `i` alone. Pass
        `shuffle=False` to `fit()`: else Keras takes these batches in an
        order of its own, which Python's `random` decides.

        Args:
            batch_size: Rows in a batch; the last may be smaller.
            shuffle: Whether to shuffle, else rows come in the data's order.
            seed: Makes the order repeatable; if None, it is drawn from
                NumPy's random state, which `keras.utils.set_random_seed` sets.

        Returns:
            A `keras.utils.PyDataset`. Its `epoch` counts the epochs that have
            begun; set it to go on from there.
        """
        batch_size = whole("batch_size", batch_size)
        if seed is None:
            seed = int(np.random.randint(1 << 31))
        return FeatureBatches(
            self, batch_size, bool(shuffle), whole("seed", seed, 0)
        )

    def _kinds(self) -> list[str]:
        return list(self._manifest.kinds)

    def _rows(self, kind: str, view: int, indices: np.ndarray) -> np.ndarray:
        numbers, places = np.divmod(indices, self.rows_per_shard)
        found = np.unique(numbers)
        if len(found) == 1:
            return self._shard(kind, view, int(found[0]))[places]
        rows = self._manifest.kinds[kind]
        values = np.empty((len(indices), *rows.shape), rows.dtype)
        for number in found:
            here = numbers == number
            shard = self._shard(kind, view, int(number))
            values[here] = shard[places[here]]
        return values

    def _shard(self, kind: str, view: int, number: int) -> np.ndarray:
        name = kind, view, number
        shard = self._open.get(name)
        if shard is None:
            if len(self._open) >= MOST_OPEN:
                self._open.clear()
            count, *_ = self._manifest.shards[view, number]
            path = shard_path(self.directory, kind, (view, number))
            rows = self._manifest.kinds[kind]
            self._open[name] = shard = load(path, rows, count)
        return shard
