"""How does one file hold named arrays, and detect every flipped bit?

The file is a magic line; the length of a header, 8 bytes; the header, JSON;
the arrays one after the other; and the checksum of all that, 4 bytes. The
arrays fill it exactly.
"""

import json
import math
import os
import stat
import zlib
from collections.abc import Mapping
from typing import Any

import ml_dtypes  # noqa: F401  makes NumPy know bfloat16
import numpy as np

from keras_fast._files.io import (
    FileVersionError,
    corrupt,
    to_json,
    write_file,
)

__all__ = ["DTYPES", "MOST", "read_array_file", "write_array_file"]

FAMILY = b"keras_fast arrays "
MAGIC = FAMILY + b"1\n"
START = len(MAGIC) + 8
MOST_HEADER = 16 << 20  # bytes
MOST = 1 << 48  # of anything that is counted
# The CRC-32 of any data followed by its own checksum.
WHOLE = 0x2144DF1C
DTYPES = {
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64"),
    *("float8_e4m3fn", "float8_e5m2"),
}


def write_array_file(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray | list[np.ndarray]],
    note: Mapping[str, Any],
) -> None:
    """Write arrays and a note, whole or not at all.

    Args:
        path: The file. Its folder must exist.
        arrays: Arrays by name, of any shape, in order. An array may be given
            in parts of some rows each.
        note: Further information, in a form for JSON.

    Raises:
        OSError: See `write_file`.
    """
    forms, chunks = [], []
    for name, given in arrays.items():
        parts = given if isinstance(given, list) else [given]
        shape = parts[0].shape
        if len(parts) > 1:
            shape = (sum(map(len, parts)), *shape[1:])
        forms.append((name, parts[0].dtype.name, shape))
        chunks += map(_bytes, parts)
    header = to_json({"arrays": forms, "note": dict(note)})
    # Numbers are read faster if they begin at a multiple of their size.
    header += b" " * (-(START + len(header)) % 64)
    start = MAGIC + len(header).to_bytes(8, "little") + header
    checksum = zlib.crc32(start)
    for chunk in chunks:
        checksum = zlib.crc32(chunk, checksum)
    write_file(path, [start, *chunks, checksum.to_bytes(4, "little")])


def read_array_file(
    path: str | os.PathLike, *, mapped: bool = False, check: bool = True
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_array_file` wrote: the arrays and the note.

    Args:
        path: The file.
        mapped: Whether to leave the arrays on disk. Then no link is followed,
            and no pipe waited for.
        check: Whether to compare the checksum, which reads the whole file.

    Raises:
        CorruptFileError: The file differs from what was written.
        FileVersionError: Another version of the library wrote it.
        OSError: It does not exist, or can't be read.
    """
    if mapped:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            raise corrupt(path, "it is not a file, or an empty one")
        content = memoryview(np.memmap(path, "uint8", "r"))
    else:
        with open(path, "rb") as file:
            content = memoryview(file.read())
    if len(content) < START + 4 or (check and zlib.crc32(content) != WHOLE):
        raise corrupt(path, "its checksum does not fit")
    magic = bytes(content[: len(MAGIC)])
    if magic != MAGIC and magic.startswith(FAMILY):
        raise FileVersionError(
            "The file must be of version 1. Read it with the version of "
            f"keras_fast that wrote it. Received: path={os.fspath(path)!r}"
        )
    try:
        return _parsed(content)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise corrupt(path, f"{type(error).__name__}: {error}") from error


def _parsed(
    content: memoryview,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    position = START + int.from_bytes(content[len(MAGIC) : START], "little")
    if content[: len(MAGIC)] != MAGIC or position > MOST_HEADER:
        raise ValueError("it is of another kind")
    header = json.loads(bytes(content[START:position]))
    if set(header) != {"arrays", "note"} or type(header["note"]) is not dict:
        raise ValueError("its header has other fields")
    arrays: dict[str, np.ndarray] = {}
    for name, dtype, shape in header["arrays"]:
        sizes = all(type(size) is int and 0 <= size < MOST for size in shape)
        if type(name) is not str or name in arrays or not sizes:
            raise ValueError("its header describes no array")
        if dtype not in DTYPES:
            raise ValueError("a number in its header is not valid")
        start, size = position, np.dtype(dtype).itemsize * math.prod(shape)
        position += size
        values = np.frombuffer(content[start:position], "uint8")
        arrays[name] = values.view(dtype).reshape(shape)
    if position != len(content) - 4:
        raise ValueError("its length is not that of its arrays")
    return arrays, header["note"]


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view("uint8").data
