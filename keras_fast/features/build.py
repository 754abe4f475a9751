"""How is a feature cache built, also after an interrupted attempt?"""

import math
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from keras_fast._files.array_file import DTYPES, write_array_file
from keras_fast._files.io import CorruptFileError, discard_unfinished, lock
from keras_fast.features.batches import Batch
from keras_fast.features.feature_cache import (
    COMPLETE,
    VERSION,
    Arrays,
    FeatureCache,
    Place,
    read_complete,
    read_shard,
    row_of,
    shard_path,
)

__all__ = ["build"]

MOST_BYTES = 64 << 20  # of the rows in a shard, unless one row is larger

Extract = Callable[[Any], np.ndarray]


def build(
    folder: Path,
    key: str,
    passes: Iterable[Iterable[Batch]],
    num_views: int,
    extract: Extract,
) -> None:
    """Build the missing or damaged shards; one process at a time.

    Args:
        folder: The cache's own folder.
        key: Identifies the contents of the cache.
        passes: One pass over the data for each view.
        num_views: Number of views.
        extract: A function from a batch's inputs to its features. It is called
            only for batches that reach into a missing shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / "lock", on_wait=lambda: _say_wait(folder)):
        discard_unfinished(folder)
        writer = _Writer(folder, key)
        if writer.is_complete():
            return  # another process has built it meanwhile
        for view, batches in enumerate(passes):
            stop = 0
            for batch in batches:
                stop = writer.take(batch, view, stop, extract)
            writer.end_view(view, stop)
        facts = {"version": VERSION, "key": key, "num_views": num_views}
        facts |= {"num_rows": writer.num_rows}
        write_array_file(folder / COMPLETE, {}, facts)


class _Writer:
    """Collects rows until a shard is full."""

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self.row: dict[str, Any] | None = None  # dtypes and shapes, once known
        self.rows_per_shard = 0
        self.num_rows = 0  # of a view; 0 until known
        self.counts: dict[Place, int] = {}  # rows in the complete shards
        self.pending: list[Arrays] = []

    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        if not os.path.lexists(self.folder / COMPLETE):
            return False
        try:
            self.num_rows = read_complete(self.folder)["num_rows"]
            FeatureCache(self.folder)
        except CorruptFileError as error:
            _warn(error)
            return False
        return True

    def take(
        self, batch: Batch, view: int, start: int, extract: Extract
    ) -> int:
        """Add the rows from `start` on; returns where they stop."""
        stop = start + batch.num_rows
        if self.row is None:
            self._is_whole((0, 0))  # sets `row`
        if self.row and not self._missing(view, start, stop):
            return stop
        arrays = {"features": np.asarray(extract(batch.inputs))}
        if batch.labels is not None:
            arrays["labels"] = batch.labels
        self._check(arrays, batch.num_rows)
        for place in self._missing(view, start, stop):
            first = place[1] * self.rows_per_shard
            part = slice(
                max(first - start, 0), first + self.rows_per_shard - start
            )
            self.pending.append({n: a[part] for n, a in arrays.items()})
            if stop >= first + self.rows_per_shard:
                self._write(place)
        return stop

    def end_view(self, view: int, stop: int) -> None:
        """Write the remaining rows, and check the totals."""
        if self.row is None:
            raise ValueError(
                "`x` must have at least one row. Check the length of the "
                "data. Received: x of no row"
            )
        number = -(-stop // self.rows_per_shard)
        known = self.num_rows or stop
        if self.pending and known == stop:
            self._write((view, number - 1))
        there = sum(self.counts.get((view, i), 0) for i in range(number))
        beyond = shard_path(self.folder, (view, number)).exists()
        if not known == stop == there or beyond:
            raise ValueError(
                "`x` must have the same rows each time it is passed over. "
                "For other data pass another `key`. Received: "
                f"{stop} rows after {known}"
            )
        self.num_rows = stop

    def _missing(self, view: int, start: int, stop: int) -> list[Place]:
        most = self.rows_per_shard
        places = [(view, i) for i in range(start // most, -(-stop // most))]
        return [place for place in places if not self._is_whole(place)]

    def _is_whole(self, place: Place) -> bool:
        """Whether an earlier attempt left this shard complete."""
        path = shard_path(self.folder, place)
        if place in self.counts or not os.path.lexists(path):
            return place in self.counts
        try:
            arrays = read_shard(self.folder, self.key, place)
        except CorruptFileError as error:
            _warn(error)
            return False
        self._check(arrays, len(arrays["features"]))
        self.counts[place] = len(arrays["features"])
        return True

    def _check(self, arrays: Arrays, num_rows: int) -> None:
        """Check that these are rows, in the same form as earlier ones."""
        features = arrays["features"]
        if features.shape[:1] != (num_rows,):
            raise ValueError(
                "`body` must give one row of features for each row of data. "
                "Check its output. Received: features of shape "
                f"{features.shape} for {num_rows} rows"
            )
        row = row_of(arrays)
        for name, (dtype, _) in row.items():
            if dtype not in DTYPES:
                name = {"features": "body", "labels": "y"}[name]
                raise ValueError(
                    f"`{name}` must give numbers. Convert them first. "
                    f"Received: dtype={dtype}"
                )
        if self.row not in (None, row):
            raise ValueError(
                "Features and labels must be of one shape and dtype in all "
                "batches. Make the inputs of one size, or pool. Received: "
                f"{row} after {self.row}"
            )
        self.row = row
        size = sum(np.dtype(d).itemsize * math.prod(s) for d, s in row.values())
        self.rows_per_shard = max(1, MOST_BYTES // max(size, 1))

    def _write(self, place: Place) -> None:
        names = self.pending[0]
        parts = {name: [part[name] for part in self.pending] for name in names}
        note = {"key": self.key, "place": place}
        write_array_file(shard_path(self.folder, place), parts, note)
        self.counts[place] = sum(map(len, parts["features"]))
        self.pending = []


def _say_wait(folder: Path) -> None:
    print(
        f"Another process makes these features: waiting for {folder}",
        file=sys.stderr,
    )


def _warn(error: CorruptFileError) -> None:
    warnings.warn(
        f"The feature cache is damaged; damaged files are rebuilt. {error}",
        stacklevel=1,  # one line for all: Python shows each message once
    )
