"""What does a feature cache consist of, and is it whole?

`manifest.json` is written anew after each shard, and says of each what it has
to be. It names no files: their names follow from their numbers.
"""

import dataclasses
import hashlib
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from keras_fast._files.io import (
    CorruptFileError,
    FileVersionError,
    parse_json,
    read_bytes,
    to_json,
    write_file,
)
from keras_fast.features.shards import DTYPES, Rows, damage

__all__ = ["VERSION", "Manifest", "Shard", "read_manifest", "shard_path"]

VERSION = 1
FORMAT = "keras_fast feature cache"
NAME = "manifest.json"
MOST_JSON = 16 << 20  # bytes
MOST = 1 << 48  # of rows, views and sizes
FIELDS = {
    *("format", "version", "key", "complete", "num_views", "num_rows"),
    *("rows_per_shard", "features", "labels", "shards", "checksum"),
}

Shard = tuple[int, int]  # view, number


@dataclasses.dataclass(frozen=True)
class Manifest:
    """All that is known of a cache without opening a shard."""

    key: str
    num_views: int
    rows_per_shard: int
    features: Rows
    labels: Rows | None
    complete: bool = False
    num_rows: int = 0  # of one view; 0 until that is known
    # Number of rows, and the checksum of each kind of file.
    shards: dict[Shard, tuple[int, ...]] = dataclasses.field(
        default_factory=dict
    )

    @property
    def kinds(self) -> dict[str, Rows]:
        """What there is a file of for each shard."""
        kinds = {"features": self.features}
        return kinds if self.labels is None else kinds | {"labels": self.labels}

    def write(self, folder: Path) -> None:
        """Put it into the cache's folder, whole or not at all."""
        fields: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            **dataclasses.asdict(self),
            "shards": [[*s, *self.shards[s]] for s in sorted(self.shards)],
        }
        fields["checksum"] = _checksum(fields)
        content = to_json(fields)
        write_file(folder / NAME, [content], len(content))

    def damaged(self, folder: Path) -> dict[Shard, str]:
        """Shards that are not as they were written, and why."""
        found = {}
        for shard, (count, *checksums) in self.shards.items():
            for (kind, rows), checksum in zip(
                self.kinds.items(), checksums, strict=True
            ):
                path = shard_path(folder, kind, shard)
                why = damage(path, rows, count, checksum)
                if why is not None:
                    found[shard] = f"{path.name}: {why}"
        return found

    def without(self, shards: Any) -> "Manifest":
        """The same with these shards still to be made."""
        kept = {s: v for s, v in self.shards.items() if s not in shards}
        return dataclasses.replace(self, shards=kept, complete=False)


def shard_path(folder: Path, kind: str, shard: Shard) -> Path:
    """Where a shard's file is."""
    view, number = shard
    return folder / f"{kind}-{view:02d}-{number:06d}.npy"


def read_manifest(folder: Path) -> Manifest:
    """What a cache's folder says of itself.

    Raises:
        CorruptFileError: It is not as it was written.
        FileVersionError: Another version of the library wrote it.
        OSError: There is none.
    """
    path = folder / NAME
    # Links are not followed, and pipes not waited for.
    if not stat.S_ISREG(os.lstat(path).st_mode):
        _corrupt(path, "it is not a file")
    fields = parse_json(read_bytes(path, MOST_JSON), path)
    try:
        right = fields.get("checksum") == _checksum(fields)
    except (RecursionError, ValueError):
        right = False
    if not right or fields.get("format") != FORMAT:
        _corrupt(path, "its checksum is another")
    if fields.get("version") != VERSION:
        raise FileVersionError(
            f"The feature cache must be of version {VERSION}. Open it with the "
            "version of keras_fast that wrote it, or remove its folder. "
            f"Received: path={str(path)!r}"
        )
    try:
        return _parse(fields)
    except (TypeError, ValueError, KeyError) as error:
        raise CorruptFileError(_message(path, str(error))) from error


def _parse(fields: dict[str, Any]) -> Manifest:
    if set(fields) != FIELDS:
        raise ValueError("it has other fields")
    key, complete = fields["key"], fields["complete"]
    if type(key) is not str or type(complete) is not bool:
        raise ValueError("its key or its mark is none")
    manifest = Manifest(
        key,
        _count(fields["num_views"], 1),
        _count(fields["rows_per_shard"], 1),
        _rows(fields["features"]),
        None if fields["labels"] is None else _rows(fields["labels"]),
        complete,
        _count(fields["num_rows"]),
    )
    for view, number, *values in fields["shards"]:
        shard = _count(view), _count(number)
        manifest.shards[shard] = tuple(_count(value) for value in values)
    if len(manifest.shards) != len(fields["shards"]):
        raise ValueError("it has a shard twice")
    _check_shards(manifest)
    return manifest


def _check_shards(manifest: Manifest) -> None:
    rows, most = manifest.num_rows, manifest.rows_per_shard
    for (view, _), (count, *checksums) in manifest.shards.items():
        if (
            view >= manifest.num_views
            or not 1 <= count <= most
            or len(checksums) != len(manifest.kinds)
        ):
            raise ValueError("it describes a shard that can't be")
    if not manifest.complete:
        return
    number = -(-rows // most)
    # Not built before it is known to be no longer than what is there.
    if not rows or manifest.num_views * number != len(manifest.shards):
        raise ValueError("it lacks shards")
    for view in range(manifest.num_views):
        for i in range(number):
            if manifest.shards[view, i][0] != min(most, rows - i * most):
                raise ValueError("its shards do not add up")


def _rows(fields: Any) -> Rows:
    dtype, shape = fields
    if type(dtype) is not str or dtype not in DTYPES or len(shape) > 32:
        raise ValueError("it describes no array")
    return Rows(dtype, tuple(_count(size) for size in shape))


def _count(value: Any, least: int = 0) -> int:
    if type(value) is not int or not least <= value < MOST:
        raise ValueError("a number is none")
    return value


def _checksum(fields: dict[str, Any]) -> str:
    rest = {k: v for k, v in fields.items() if k != "checksum"}
    return hashlib.sha256(to_json(rest)).hexdigest()


def _message(path: Path, why: str) -> str:
    return (
        "The file must be as it was written. Remove its folder, or put back a "
        f"copy. Received: path={str(path)!r} ({why})"
    )


def _corrupt(path: Path, why: str) -> NoReturn:
    raise CorruptFileError(_message(path, why))
