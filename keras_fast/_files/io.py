"""How is a file written whole or not at all, and read without trust?

A file gets its name once all of it is on disk: a process killed before that
leaves the old one. No other module writes.
"""

import contextlib
import errno
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock

__all__ = [
    "CorruptFileError",
    "FileVersionError",
    "corrupt",
    "discard_unfinished",
    "lock",
    "to_json",
    "write_file",
]

# Windows refuses to replace a file that a scanner has open for a moment.
TRIES = 5


class CorruptFileError(ValueError):
    """A file is damaged: its contents are not those once written there.

    Examples:
        >>> issubclass(keras_fast.CorruptFileError, ValueError)
        True
    """


class FileVersionError(ValueError):
    """A file has a format that this version does not read.

    Examples:
        >>> issubclass(keras_fast.FileVersionError, ValueError)
        True
    """


def corrupt(path: str | os.PathLike, why: str) -> CorruptFileError:
    """The error for a damaged file."""
    return CorruptFileError(
        "The file must be as it was written. Remove it, or put back a copy. "
        f"Received: path={os.fspath(path)!r} ({why[:80]})"
    )


def write_file(
    path: str | os.PathLike, chunks: Sequence[bytes | memoryview]
) -> None:
    """Write a file, or leave the old one unchanged.

    Args:
        path: The file. Its folder must exist.
        chunks: The content, in pieces.

    Raises:
        OSError: It could not be written; the message shows how much space it
            needs. An existing file is kept.
    """
    path = Path(path)
    temporary = path.with_name(f"{_prefix(path)}{os.getpid()}.tmp")
    try:
        _write(temporary, chunks)
        _replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        raise OSError(
            error.errno,
            f"The file must be written whole, {sum(map(len, chunks))} bytes: "
            f"{error.strerror}. Make room or allow it. "
            f"Received: path={str(path)!r}",
        ) from error


def discard_unfinished(path: str | os.PathLike) -> None:
    """Remove what killed writers of this file left. No one may be writing it.

    Args:
        path: The file; or a folder, for all files in it.
    """
    path = Path(path)
    folder, prefix = path.parent, _prefix(path)
    if path.is_dir():
        folder, prefix = path, "."
    for left in folder.glob(f"{prefix}*.tmp"):
        left.unlink(missing_ok=True)


def to_json(value: Any) -> bytes:
    """Serialize a value, always to the same bytes for the same value."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return text.encode()


@contextlib.contextmanager
def lock(
    path: str | os.PathLike, *, on_wait: Callable[[], None] | None = None
) -> Iterator[None]:
    """Let one process in at a time; a killed process releases the lock.

    Args:
        path: The lock's file. It is kept.
        on_wait: Called once if another process holds the lock.
    """
    held = filelock.FileLock(path)
    try:
        try:
            held.acquire(blocking=False)
        except filelock.Timeout:
            if on_wait is not None:
                on_wait()
            held.acquire(poll_interval=0.1)
    except NotImplementedError as error:
        raise OSError(
            errno.ENOLCK,
            "The folder must be on a file system that has locks. Pass "
            f"another. Received: path={str(path)!r}",
        ) from error
    try:
        yield
    finally:
        held.release()


def _prefix(path: Path) -> str:
    """Prefix of this file's temporary files; short enough for any name."""
    return f".{zlib.crc32(path.name.encode()):08x}."


def _write(path: Path, chunks: Sequence[bytes | memoryview]) -> None:
    flags = os.O_CREAT | os.O_WRONLY | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags, 0o666)
    try:
        for chunk in chunks:
            left = memoryview(chunk)
            while left:
                left = left[os.write(handle, left) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _replace(temporary: Path, path: Path) -> None:
    for attempt in range(TRIES):
        try:
            os.replace(temporary, path)
            return
        except PermissionError:
            if attempt == TRIES - 1:
                raise
            time.sleep(0.05 * (attempt + 1))


def _sync_folder(folder: Path) -> None:
    """Without this, the new name may not survive a loss of power."""
    if os.name == "nt":  # which can't open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
