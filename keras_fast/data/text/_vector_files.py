"""Which vectors does a file have for these words, read without trust?

Words are compared as bytes and unwanted rows are never parsed, so a file of
millions is read at about the speed of the disk. Nothing in a file is
executed, and its header reserves no memory.
"""

import codecs
import gzip
import os
import struct
import zlib
from collections.abc import Container, Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np

from keras_fast._files.io import CorruptFileError

__all__ = ["Rows", "read_vectors"]

Rows = dict[bytes, np.ndarray]

CHUNK = 1 << 20
# More than any file has: a forged header can't request more memory than this.
WIDEST = 100_000
LONGEST_LINE = 1 << 22
OTHERS = {
    b"PK\x03\x04": "it is a zip archive: unpack it",
    struct.pack("<i", 793712314): "it is a model of fastText: pass its .vec",
}


class Header(NamedTuple):
    """The first line of a word2vec or fastText file."""

    words: int
    width: int


def read_vectors(
    path: str | os.PathLike, wanted: Container[bytes]
) -> tuple[Rows, int]:
    """Read the vectors of the wanted words; of each, the first one counts.

    Args:
        path: A text file of GloVe, word2vec or fastText, or, if its name ends
            in `.bin` or `.bin.gz`, a binary one of word2vec. May be gzipped.
        wanted: Words in UTF-8.

    Returns:
        The vectors by word, (width,) float32, and the width.

    Raises:
        CorruptFileError: The file is incomplete, or not in such a format.
        OSError: It can't be opened.
    """
    name = os.fspath(path)
    binary = name.lower().endswith((".bin", ".bin.gz"))
    try:
        with open(path, "rb") as raw:
            start = raw.read(4)
            raw.seek(0)
            if start in OTHERS:
                _refuse(name, OTHERS[start])
            if start[:2] == b"\x1f\x8b":
                with gzip.open(raw) as file:
                    return _read(file, name, wanted, binary)
            return _read(raw, name, wanted, binary)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        _refuse(name, f"its compression is damaged: {error}", error)


def _read(
    file: Any, name: str, wanted: Container[bytes], binary: bool
) -> tuple[Rows, int]:
    # Editors mark UTF-8 like this; it is not part of the first word.
    first = file.readline(LONGEST_LINE).removeprefix(codecs.BOM_UTF8)
    if not first:
        _refuse(name, "it is empty")
    header = _header(first)
    if binary:
        if header is None:
            _refuse(name, "line 1: not the header of a binary file")
        return _binary_rows(file, name, wanted, header), header.width
    width = header.width if header else first.rstrip().count(b" ")
    if not 0 < width <= WIDEST:
        _refuse(name, f"line 1: {width} numbers")
    lines = _lines(file, name, first, header)
    with np.errstate(over="ignore"):  # infinite numbers are reported
        return _text_rows(lines, name, wanted, width), width


def _header(line: bytes) -> Header | None:
    """The header, if the line is one: two whole numbers."""
    fields = line.split()
    if len(fields) == 2 and all(f.isdigit() and len(f) < 12 for f in fields):
        words, width = map(int, fields)
        if words > 0 and 0 < width <= WIDEST:
            return Header(words, width)
    return None


def _lines(
    file: Any, name: str, first: bytes, header: Header | None
) -> Iterator[tuple[int, bytes]]:
    """The rows with their line numbers; checks that none is missing."""
    line, number = first, 1
    if header is None:
        yield number, line
    while following := file.readline(LONGEST_LINE):
        line, number = following, number + 1
        yield number, line
    if not line.endswith(b"\n"):
        _refuse(name, f"line {number}: cut short, it has no end of line")
    if header is not None and number - 1 != header.words:
        _refuse(
            name,
            f"line 1 promises {header.words} words, there are {number - 1}",
        )


def _text_rows(
    lines: Iterator[tuple[int, bytes]],
    name: str,
    wanted: Container[bytes],
    width: int,
) -> Rows:
    rows: Rows = {}
    for number, line in lines:
        line = line.rstrip()
        spaces = line.count(b" ")
        if spaces == width:
            word = line[: line.index(b" ")]
        elif _has_spaces_in_its_word(line, width):
            word = line.rsplit(b" ", width)[0].rstrip()
        else:
            _refuse(name, f"line {number}: {spaces} numbers, not {width}")
        if word in wanted and word not in rows:
            fields = line.rsplit(b" ", width)
            rows[word] = _parsed(fields[1:], name, number)
    return rows


def _has_spaces_in_its_word(line: bytes, width: int) -> bool:
    """True for a few rows of GloVe, such as `. . .`; none ends in a number."""
    before, *rest = line.rsplit(b" ", width)
    try:
        float(before.rpartition(b" ")[2])
    except ValueError:
        return len(rest) == width
    return False


def _parsed(numbers: list[bytes], name: str, line: int) -> np.ndarray:
    try:
        values = [float(each) for each in numbers]
    except ValueError as error:
        _refuse(name, f"line {line}: {error}", error)
    row = np.array(values, "float32")
    if not np.isfinite(row).all():
        bad = values[int(np.isfinite(row).argmin())]
        _refuse(name, f"line {line}: {bad} is no finite float32")
    return row


def _binary_rows(
    file: Any, name: str, wanted: Container[bytes], header: Header
) -> Rows:
    rows: Rows = {}
    size = 4 * header.width
    data, at = b"", 0
    for number in range(1, header.words + 1):
        end = data.find(b" ", at)
        if end < 0 or end + 1 + size > len(data):
            data, at = data[at:] + file.read(CHUNK + size), 0
            end = data.find(b" ")
            if end < 0 or end + 1 + size > len(data):
                _refuse(
                    name,
                    f"word {number} of {header.words}: cut short, or not of "
                    f"{header.width} numbers",
                )
        # word2vec ends each row with a newline, other writers don't.
        word = data[at:end].lstrip(b"\n")
        at = end + 1 + size
        if word in wanted and word not in rows:
            row = np.frombuffer(data, "<f4", header.width, end + 1)
            if not np.isfinite(row).all():
                _refuse(name, f"word {number}: NaN or infinite numbers")
            rows[word] = row.astype("float32")
    if (data[at:] + file.read(2)).strip(b"\n"):
        _refuse(name, f"line 1 promises {header.words} words, more follow")
    return rows


def _refuse(
    name: str, why: str, cause: BaseException | None = None
) -> NoReturn:
    raise CorruptFileError(
        "`source` must be a whole file of word vectors: text of GloVe, "
        "word2vec or fastText, or binary of word2vec with a name that ends in "
        f"`.bin`. Download it again. Received: source={name!r} ({why})"
    ) from cause
