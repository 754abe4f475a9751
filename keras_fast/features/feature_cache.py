"""Features on disk, as data for `fit()`.

The files of a cache are shards, some rows of one view each, and `complete`,
which is written last. Each records its place and its cache, so that none can
replace another.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from keras_fast._checks import whole
from keras_fast._files.array_file import MOST, read_array_file
from keras_fast._files.io import CorruptFileError, FileVersionError, corrupt
from keras_fast.features.feature_batches import FeatureBatches

__all__ = [
    "COMPLETE",
    "VERSION",
    "FeatureCache",
    "read_complete",
    "read_shard",
    "row_of",
    "shard_path",
]

VERSION = 2
COMPLETE = "complete"
MOST_OPEN = 32  # shards; each needs a file handle

Place = tuple[int, int]  # view, number
Arrays = dict[str, np.ndarray]  # "features" and, if there are any, "labels"


class FeatureCache:
    """The features of a dataset, on disk rather than in memory.

    `cache_features` returns one. Opening it compares the checksum of every
    file, so the contents are exactly those that were written.

    Args:
        directory: The cache's own folder, its `directory`.

    Raises:
        CorruptFileError: It is damaged or incomplete. The message names the
            file. `cache_features` rebuilds damaged files.
        FileVersionError: Another version of the library wrote it.
        OSError: It does not exist.

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
        facts = read_complete(self._directory)
        self._key, self._num_views = facts["key"], facts["num_views"]
        self._num_rows = facts["num_rows"]
        self._open: dict[Place, Arrays] = {}
        first = read_shard(self.directory, self._key, (0, 0))
        self._row, self._rows_per_shard = row_of(first), len(first["features"])
        starts = range(0, len(self), self.rows_per_shard)
        for view in range(self.num_views):
            for number, start in enumerate(starts):
                place, shard = (view, number), first
                if place != (0, 0):
                    shard = read_shard(self.directory, self._key, place)
                count = min(self.rows_per_shard, len(self) - start)
                if (row_of(shard), len(shard["features"])) != (
                    self._row,
                    count,
                ):
                    path = shard_path(self.directory, place)
                    raise corrupt(path, "it has other rows")

    @property
    def directory(self) -> Path:
        """The folder, this cache's own."""
        return self._directory

    @property
    def num_views(self) -> int:
        """Number of views of each row of data."""
        return self._num_views

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """Shape of the features of one row."""
        return self._row["features"][1]

    @property
    def feature_dtype(self) -> str:
        """Name of the features' dtype."""
        return self._row["features"][0]

    @property
    def rows_per_shard(self) -> int:
        """Rows in a file."""
        return self._rows_per_shard

    def __len__(self) -> int:
        return self._num_rows

    def __repr__(self) -> str:
        return (
            f"FeatureCache({len(self)} rows of {self.feature_shape} "
            f"{self.feature_dtype}, num_views={self.num_views}, "
            f"directory={str(self.directory)!r})"
        )

    def __getstate__(self) -> dict[str, Any]:
        # Another process maps the files by itself.
        return self.__dict__ | {"_open": {}}

    def rows(
        self, indices: Any, view: int = 0
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Return some rows, in memory.

        Args:
            indices: An array of row numbers, in any order.
            view: The view to read.

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
        numbers, places = np.divmod(indices, self.rows_per_shard)
        parts = [(int(n), numbers == n) for n in np.unique(numbers)]
        found = {}
        for name, (dtype, shape) in self._row.items():
            if len(parts) == 1:  # read without a second copy
                found[name] = self._shard((view, parts[0][0]))[name][places]
                continue
            found[name] = np.empty((len(indices), *shape), dtype)
            for number, here in parts:
                shard = self._shard((view, number))
                found[name][here] = shard[name][places[here]]
        return found["features"], found.get("labels")

    def arrays(self, view: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """All rows of a view in order, in memory: features, labels."""
        return self.rows(np.arange(len(self)), view)

    def dataset(
        self, batch_size: int, shuffle: bool = True, seed: int | None = None
    ) -> FeatureBatches:
        """Return data for training the head.

        Each epoch has the rows in another order, and uses the next view.
        Rows are shuffled by file and within a few files at a time, so that
        a cache larger than memory is read in large pieces. The rows of batch
        `i` depend only on the seed, the epoch and `i`. Pass `shuffle=False`
        to `fit()`: otherwise Keras takes these batches in its own order,
        which depends on Python's `random`.

        Args:
            batch_size: Rows in a batch; the last may be smaller.
            shuffle: Whether to shuffle; otherwise rows keep the data's order.
            seed: Makes the order repeatable; if None, it is drawn from
                NumPy's random state, which `keras.utils.set_random_seed` sets.

        Returns:
            A `keras.utils.PyDataset`. Its `epoch` counts the epochs that have
            begun; set it to resume from there.
        """
        batch_size = whole("batch_size", batch_size)
        if seed is None:
            seed = int(np.random.randint(1 << 31))
        return FeatureBatches(
            self, batch_size, bool(shuffle), whole("seed", seed, 0)
        )

    def _shard(self, place: Place) -> Arrays:
        shard = self._open.get(place)
        if shard is None:
            if len(self._open) >= MOST_OPEN:
                self._open.clear()
            shard = read_shard(self.directory, self._key, place, check=False)
            self._open[place] = shard
        return shard


def read_complete(folder: Path) -> dict[str, Any]:
    """`key`, `num_views` and `num_rows` (of one view) of a complete cache.

    Raises:
        CorruptFileError: It is incomplete, or was changed after writing.
        FileVersionError: Another version of the library wrote it.
        FileNotFoundError: It does not exist.
    """
    path = folder / COMPLETE
    if folder.exists() and not os.path.lexists(path):
        raise CorruptFileError(
            "The feature cache must be whole. Call `cache_features` with what "
            f"it was made of. Received: directory={str(folder)!r} (it is not "
            "finished)"
        )
    _, facts = read_array_file(path, mapped=True)
    if facts.pop("version", None) != VERSION:
        raise FileVersionError(
            f"The feature cache must be of version {VERSION}. Open it with the "
            "version of keras_fast that wrote it, or remove its folder. "
            f"Received: directory={str(folder)!r}"
        )
    counts = [facts.get("num_views"), facts.get("num_rows")]
    if "key" not in facts or not all(
        type(n) is int and 0 < n < MOST for n in counts
    ):
        raise corrupt(path, "it counts no rows")
    return facts


def shard_path(folder: Path, place: Place) -> Path:
    """The path of a shard."""
    view, number = place
    return folder / f"features-{view:02d}-{number:06d}"


def read_shard(
    folder: Path, key: str, place: Place, *, check: bool = True
) -> Arrays:
    """Rows of one view, left on disk.

    Raises:
        CorruptFileError: They are not the rows that were written there.
    """
    path = shard_path(folder, place)
    try:
        arrays, note = read_array_file(path, mapped=True, check=check)
    except OSError as error:
        raise corrupt(path, str(error.strerror)) from error
    counts = {array.shape[:1] for array in arrays.values()}
    if (
        note != {"key": key, "place": [*place]}
        or [*arrays] not in (["features"], ["features", "labels"])
        or len(counts) != 1
        or counts <= {(), (0,)}
    ):
        raise corrupt(path, "it is another's")
    return arrays


def row_of(arrays: Arrays) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of one row."""
    return {name: (a.dtype.name, a.shape[1:]) for name, a in arrays.items()}
