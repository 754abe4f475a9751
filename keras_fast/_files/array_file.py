"""How are named arrays one file, in which every flipped bit is found?

The file is a magic line; the length of a header, 8 bytes; the header, JSON;
the arrays one after the other; and the checksum of all that, 4 bytes. The
arrays fill it exactly.
"""

import math
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import ml_dtypes  # noqa: F401  makes NumPy know bfloat16
import numpy as np

from keras_fast._files.io import (
    CorruptFileError,
    FileVersionError,
    parse_json,
    to_json,
    write_file,
)

__all__ = ["read_array_file", "write_array_file"]

FAMILY = b"keras_fast arrays "
MAGIC = FAMILY + b"1\n"
START = len(MAGIC) + 8
MOST_HEADER = 16 << 20  # bytes
DTYPES = {
    *("bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
    *("float16", "bfloat16", "float32", "float64"),
    *("float8_e4m3fn", "float8_e5m2"),
}


class Entry(NamedTuple):
    name: str
    dtype: str
    shape: list[int]

    @property
    def size(self) -> int:
        """Bytes."""
        return np.dtype(self.dtype).itemsize * math.prod(self.shape)


def write_array_file(
    path: str | os.PathLike,
    arrays: Mapping[str, np.ndarray],
    note: Mapping[str, Any],
) -> None:
    """Write arrays and a note, whole or not at all.

    Args:
        path: Where. The folder must exist.
        arrays: Arrays by name, of any shape, in their order.
        note: What else there is to say, as JSON has it.

    Raises:
        OSError: See `write_file`.
    """
    entries = [Entry(n, a.dtype.name, [*a.shape]) for n, a in arrays.items()]
    header = to_json({"arrays": entries, "note": dict(note)})
    start = MAGIC + len(header).to_bytes(8, "little") + header

    def chunks() -> Iterator[bytes | memoryview]:
        checksum = 0
        for chunk in (start, *map(_bytes, arrays.values())):
            checksum = zlib.crc32(chunk, checksum)
            yield chunk
        yield checksum.to_bytes(4, "little")

    size = len(start) + sum(entry.size for entry in entries) + 4
    write_file(path, chunks(), size)


def read_array_file(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_array_file` wrote: the arrays and the note.

    Raises:
        CorruptFileError: The file is not as it was written.
        FileVersionError: Another version of the library wrote it.
        OSError: There is none, or it can't be read.
    """
    with open(path, "rb") as file:
        content = memoryview(file.read())
    try:
        return _parse(content, path)
    except CorruptFileError:
        raise
    except FileVersionError as error:
        raise FileVersionError(
            "The file must be of version 1. Read it with the version of "
            f"keras_fast that wrote it. Received: path={os.fspath(path)!r}"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise CorruptFileError(
            "The file must be as it was written. Remove it, or put back a "
            f"copy. Received: path={os.fspath(path)!r} ({error})"
        ) from error


def _parse(
    content: memoryview, path: str | os.PathLike
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    checksum = int.from_bytes(content[-4:], "little")
    whole = len(content) >= START + 4 and zlib.crc32(content[:-4]) == checksum
    if not whole:
        raise ValueError("its checksum does not fit")
    if content[: len(MAGIC)] != MAGIC:
        if content[: len(FAMILY)] == FAMILY:
            raise FileVersionError
        raise ValueError("it is another kind of file")
    length = int.from_bytes(content[len(MAGIC) : START], "little")
    if length > MOST_HEADER:
        raise ValueError("its header is too long")
    header = parse_json(bytes(content[START : START + length]), path)
    if set(header) != {"arrays", "note"} or not isinstance(
        header["note"], dict
    ):
        raise ValueError("its header has other parts")
    entries = [_entry(*fields) for fields in header["arrays"]]
    position, arrays = START + length, {}
    for entry in entries:
        values = content[position : position + entry.size]
        arrays[entry.name] = (
            np.frombuffer(values, "uint8")
            .view(entry.dtype)
            .reshape(entry.shape)
        )
        position += entry.size
    if position != len(content) - 4 or len(arrays) != len(entries):
        raise ValueError("its arrays do not fill it")
    return arrays, header["note"]


def _entry(name: Any, dtype: Any, shape: Any) -> Entry:
    sizes = isinstance(shape, list) and all(
        type(size) is int and 0 <= size < 1 << 48 for size in shape
    )
    if not isinstance(name, str) or dtype not in DTYPES or not sizes:
        raise ValueError("it describes no array")
    return Entry(name, dtype, shape)


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view("uint8").data
