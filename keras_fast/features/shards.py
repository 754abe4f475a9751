"""How are rows kept in `.npy` files that need no trust?

What a file has to be is known before it is opened: its name, its header, its
size and its checksum. Nothing in it is parsed.
"""

import functools
import math
import os
import stat
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ml_dtypes  # noqa: F401  makes NumPy know bfloat16
import numpy as np

from keras_fast._files.io import crc32, write_file

__all__ = ["DTYPES", "MOST_BYTES", "Rows", "damage", "load", "write"]

MOST_BYTES = 64 << 20
MAGIC = b"\x93NUMPY\x01\x00"
# What `.npy` has no name for is stored as integers of the same size.
STORED = {
    "bfloat16": "uint16",
    "float8_e4m3fn": "uint8",
    "float8_e5m2": "uint8",
}
DTYPES = {
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", *STORED),
}


class Rows(NamedTuple):
    """What one row of an array is."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)

    def header(self, count: int) -> bytes:
        """The beginning of a file of `count` rows."""
        stored = np.dtype(STORED.get(self.dtype, self.dtype))
        text = (
            f"{{'descr': '{stored.newbyteorder('<').str}', "
            f"'fortran_order': False, 'shape': {(count, *self.shape)}, }}"
        ).encode()
        # NumPy wants the data to begin at a multiple of 64.
        length = -(-(len(MAGIC) + 2 + len(text) + 1) // 64) * 64
        text = text.ljust(length - len(MAGIC) - 3) + b"\n"
        return MAGIC + len(text).to_bytes(2, "little") + text


def write(path: Path, rows: Rows, parts: Sequence[np.ndarray]) -> int:
    """Write rows, whole or not at all; returns the file's checksum."""
    header = rows.header(sum(len(part) for part in parts))
    size = len(header) + sum(part.nbytes for part in parts)
    chunks = [header, *map(_bytes, parts)]
    write_file(path, chunks, size)
    return functools.reduce(lambda value, c: zlib.crc32(c, value), chunks, 0)


def damage(path: Path, rows: Rows, count: int, checksum: int) -> str | None:
    """Why a file is not the one that was written, or None."""
    header = rows.header(count)
    try:
        status = os.lstat(path)
        # Links are not followed, and pipes not waited for.
        if not stat.S_ISREG(status.st_mode):
            return "it is not a file"
        if status.st_size != len(header) + count * rows.size:
            return f"it has {status.st_size} bytes"
        if crc32(path) != checksum:
            return "its checksum is another"
        beginning = np.memmap(path, "uint8", "r", shape=len(header))
    except OSError as error:
        return str(error.strerror)
    return None if bytes(beginning) == header else "its header is another"


def load(path: Path, rows: Rows, count: int) -> np.ndarray:
    """Rows on the disk, mapped into memory."""
    shape, offset = (count, *rows.shape), len(rows.header(count))
    if not math.prod(shape):  # nothing can't be mapped
        return np.zeros(shape, rows.dtype)
    size = count * rows.size
    mapped = np.memmap(path, "uint8", "r", offset, size)
    return mapped.view(np.ndarray).view(rows.dtype).reshape(shape)


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view("uint8").data
