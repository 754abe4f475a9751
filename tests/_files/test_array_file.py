import random

import ml_dtypes
import numpy as np
import pytest
from faults import mutated, sealed

from keras_fast._files.array_file import (
    FAMILY,
    MAGIC,
    read_array_file,
    write_array_file,
)
from keras_fast._files.io import CorruptFileError, FileVersionError, to_json

pytestmark = pytest.mark.once

ARRAYS = {
    "kernel": np.arange(6, dtype="float32").reshape(2, 3),
    "half": np.array([1.5, -2], ml_dtypes.bfloat16),
    "seed": np.array([1, 2**32 - 1], "uint32"),
    "step": np.array(7, "int64"),
    "empty": np.zeros((0, 3), "float16"),
    "turned": np.arange(6, dtype="float64").reshape(2, 3).T,
}
NOTE = {"epoch": 3, "names": ["ä"]}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "arrays"
    write_array_file(path, ARRAYS, NOTE)
    return path


def made(header, values=b"", magic=MAGIC):
    header = header if isinstance(header, bytes) else to_json(header)
    return sealed(magic + len(header).to_bytes(8, "little") + header + values)


def test_there_and_back_bit_for_bit(path):
    arrays, note = read_array_file(path)
    assert note == NOTE
    assert list(arrays) == list(ARRAYS)
    for name, expected in ARRAYS.items():
        assert arrays[name].dtype == expected.dtype
        assert arrays[name].shape == expected.shape
        assert arrays[name].tobytes() == expected.tobytes()


def test_every_flipped_bit_is_found(path):
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError, match="Received: path="):
            read_array_file(path)


def test_every_truncation_is_found(path):
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(CorruptFileError):
            read_array_file(path)


@pytest.mark.parametrize(
    "content",
    [
        made({"arrays": [["a", "float32", [1 << 40]]], "note": {}}, b"1234"),
        made({"arrays": [["a", "float32", [-1]]], "note": {}}, b"1234"),
        made({"arrays": [["a", "float32", [True]]], "note": {}}, b"1234"),
        made({"arrays": [["a", "float32", [1 << 70]]], "note": {}}, b"1234"),
        made({"arrays": [["a", "float32", "1"]], "note": {}}, b"1234"),
        made({"arrays": [["a", "object", [1]]], "note": {}}, b"12345678"),
        made({"arrays": [["a", ["f4"], [1]]], "note": {}}, b"1234"),
        made({"arrays": [[1, "int8", [1]]], "note": {}}, b"1"),
        made({"arrays": [["a", "int8", [1]]] * 2, "note": {}}, b"12"),
        made({"arrays": [["a", "int8", [1]]], "note": {}}, b"12"),
        made({"arrays": [["a", "int8"]], "note": {}}, b"1"),
        made({"arrays": 3, "note": {}}),
        made({"arrays": [], "note": []}),
        made({"arrays": []}),
        made(b"[" * 100_000),
        made({"arrays": [], "note": {}}, magic=b"x" * len(MAGIC)),
        sealed(MAGIC + b"\xff" * 8 + b"{}"),
        b"",
    ],
    ids=lambda content: repr(content[28:60]),
)
def test_hostile_files_are_refused(tmp_path, content):
    path = tmp_path / "arrays"
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match="must be as it was written"):
        read_array_file(path)


def test_another_version_says_so(tmp_path):
    path = tmp_path / "arrays"
    magic = FAMILY + b"2\n"
    path.write_bytes(made({"arrays": [], "note": {}}, magic=magic))
    with pytest.raises(FileVersionError, match="must be of version 1"):
        read_array_file(path)


@pytest.mark.parametrize(
    "trials", [2_000, pytest.param(50_000, marks=pytest.mark.stress)]
)
def test_no_mutation_gives_other_errors(path, trials):
    content, rng = path.read_bytes(), random.Random(0)
    for _ in range(trials):
        path.write_bytes(mutated(content, rng))
        try:
            arrays, _ = read_array_file(path)
        except (CorruptFileError, FileVersionError):
            continue
        assert sum(a.nbytes for a in arrays.values()) < len(content) + 32
