"""How does a feature cache come to be, from where the last attempt ended?"""

import dataclasses
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from keras_fast._files.io import CorruptFileError, discard_unfinished, lock
from keras_fast.features.manifest import (
    Manifest,
    Shard,
    read_manifest,
    shard_path,
)
from keras_fast.features.shards import DTYPES, MOST_BYTES, Rows, write

__all__ = ["Batch", "build"]


class Batch(NamedTuple):
    """Part of the data."""

    inputs: Any  # of any structure
    labels: np.ndarray | None
    num_rows: int


Extract = Callable[[Any], np.ndarray]


def build(
    folder: Path,
    key: str,
    passes: Iterable[Iterable[Batch]],
    num_views: int,
    extract: Extract,
) -> None:
    """Make what is not there yet, or not whole; one process at a time.

    Args:
        folder: The cache's own folder.
        key: Says what the cache is of.
        passes: One pass over the data for each view.
        num_views: How many they are.
        extract: From a batch's inputs to its features. It is called for those
            batches alone that reach into a missing shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / "lock", on_wait=lambda: _say_wait(folder)):
        discard_unfinished(folder)
        writer = _Writer(folder, key, num_views)
        if writer.manifest and writer.manifest.complete:
            return  # another process has made it meanwhile
        for view, batches in enumerate(passes):
            stop = 0
            for batch in batches:
                stop = writer.take(batch, view, stop, extract)
            writer.end_view(view, stop)
        writer.complete()


class _Writer:
    """Collects rows until a shard is full."""

    def __init__(self, folder: Path, key: str, num_views: int) -> None:
        self.folder, self.key, self.num_views = folder, key, num_views
        self.manifest = _whole_part(folder, key, num_views)
        self.pending: dict[Shard, list[tuple[np.ndarray, ...]]] = {}

    def take(
        self, batch: Batch, view: int, start: int, extract: Extract
    ) -> int:
        """Add the rows from `start` on; returns where they stop."""
        stop = start + batch.num_rows
        if self.manifest and not self._missing(view, start, stop):
            return stop
        features = np.asarray(extract(batch.inputs))
        if not features.ndim or len(features) != batch.num_rows:
            raise ValueError(
                "`body` must give one row of features for each row of data. "
                "Check its output. Received: features of shape "
                f"{features.shape} for {batch.num_rows} rows"
            )
        self.manifest = self._checked(features, batch.labels)
        arrays = [features]
        if batch.labels is not None:
            arrays.append(batch.labels)
        most = self.manifest.rows_per_shard
        for shard in self._missing(view, start, stop):
            first = shard[1] * most
            part = slice(max(first - start, 0), first + most - start)
            waiting = self.pending.setdefault(shard, [])
            waiting.append(tuple(array[part] for array in arrays))
            if sum(len(parts[0]) for parts in waiting) == most:
                self._write(shard)
        return stop

    def end_view(self, view: int, stop: int) -> None:
        """Write what is left, and see whether it adds up."""
        if self.manifest is None:
            raise ValueError(
                "`x` must have at least one row. Check the length of the "
                "data. Received: x of no row"
            )
        for shard in list(self.pending):
            self._write(shard)
        known, most = self.manifest.num_rows, self.manifest.rows_per_shard
        shards = self.manifest.shards.items()
        here = {
            shard: count for shard, (count, *_) in shards if shard[0] == view
        }
        right = {
            (view, i): min(most, stop - i * most)
            for i in range(-(-stop // most))
        }
        if known not in (0, stop) or here != right:
            raise ValueError(
                "`x` must have the same rows each time it is passed over. "
                "For other data pass another `key`. Received: "
                f"{stop} rows after {known or sum(here.values())}"
            )
        self.manifest = dataclasses.replace(self.manifest, num_rows=stop)

    def complete(self) -> None:
        """Let the cache be read."""
        self.manifest = dataclasses.replace(self.manifest, complete=True)
        self.manifest.write(self.folder)

    def _missing(self, view: int, start: int, stop: int) -> list[Shard]:
        most = self.manifest.rows_per_shard
        shards = [(view, i) for i in range(start // most, -(-stop // most))]
        return [s for s in shards if s not in self.manifest.shards]

    def _checked(
        self, features: np.ndarray, labels: np.ndarray | None
    ) -> Manifest:
        """The manifest, if these are rows as it has them."""
        kinds = [_rows("body", features)]
        kinds.append(None if labels is None else _rows("y", labels))
        if self.manifest is None:
            size = max(rows.size for rows in kinds if rows)
            return Manifest(self.key, self.num_views, _most(size), *kinds)
        known = [self.manifest.features, self.manifest.labels]
        if kinds != known:
            raise ValueError(
                "Features and labels must be of one shape and dtype in all "
                "batches. Make the inputs of one size, or pool. Received: "
                f"{kinds} after {known}"
            )
        return self.manifest

    def _write(self, shard: Shard) -> None:
        parts = zip(*self.pending.pop(shard), strict=True)
        checksums, count = [], 0
        for (kind, rows), arrays in zip(
            self.manifest.kinds.items(), parts, strict=True
        ):
            count = sum(map(len, arrays))
            path = shard_path(self.folder, kind, shard)
            checksums.append(write(path, rows, arrays))
        # Only now does it count.
        self.manifest.shards[shard] = (count, *checksums)
        self.manifest.write(self.folder)


def _whole_part(folder: Path, key: str, num_views: int) -> Manifest | None:
    """What an earlier attempt left, without what is damaged."""
    try:
        manifest = read_manifest(folder)
        if (manifest.key, manifest.num_views) != (key, num_views):
            _damaged(folder, "its manifest is another's")
    except FileNotFoundError:
        return None
    except CorruptFileError as error:
        _warn(folder, str(error))
        return None
    damaged = manifest.damaged(folder)
    if damaged:
        _warn(folder, ", ".join(damaged.values()))
        manifest = manifest.without(damaged)
    return manifest


def _rows(name: str, array: np.ndarray) -> Rows:
    if array.dtype.name not in DTYPES:
        raise ValueError(
            f"`{name}` must give numbers. Convert them first. Received: "
            f"dtype={array.dtype.name}"
        )
    return Rows(array.dtype.name, array.shape[1:])


def _most(size: int) -> int:
    """Rows in a shard, for a row of this many bytes."""
    most = (MOST_BYTES - 4096) // max(size, 1)  # its header is much shorter
    if not most:
        raise ValueError(
            f"A row of features must fit into a file of {MOST_BYTES} bytes. "
            f"Pool them. Received: {size} bytes a row"
        )
    return most


def _say_wait(folder: Path) -> None:
    print(
        f"Another process makes these features: waiting for {folder}",
        file=sys.stderr,
    )


def _warn(folder: Path, why: str) -> None:
    warnings.warn(
        "The feature cache is damaged; what is damaged is made anew. "
        f"Received: directory={str(folder)!r} ({why})",
        stacklevel=4,
    )


def _damaged(folder: Path, why: str) -> NoReturn:
    raise CorruptFileError(
        f"The folder must be as it was written. Received: {str(folder)!r} "
        f"({why})"
    )
