"""Files are written opcode by opcode, as `torch.save` of old did."""

import pickle
import struct

import numpy as np
import pytest

from keras_fast.models.images._torch_file import MAGIC, read_arrays

pytestmark = pytest.mark.once

NUMBERS = np.arange(6, dtype="<f4")


def text(value):
    return b"X" + struct.pack("<i", len(value)) + value.encode()


def number(value):
    return b"J" + struct.pack("<i", value)


def group(*items):
    return b"(" + b"".join(items) + b"t"


def name(module, attribute):
    return f"c{module}\n{attribute}\n".encode()


def tensor(shape, strides, offset=0, length=6, view=b"N"):
    parts = [
        text("storage"),
        name("torch", "FloatStorage"),
        text("0"),
        text("cpu"),
        number(length),
        view,
    ]
    return (
        name("torch._utils", "_rebuild_tensor_v2")
        + group(
            group(*parts) + b"Q",
            number(offset),
            group(*map(number, shape)),
            group(*map(number, strides)),
            b"\x89",
            name("collections", "OrderedDict") + b")R",
        )
        + b"R"
    )


def content(weight, magic=MAGIC, length=6, little_endian=True):
    start = [magic, 1001, {"little_endian": little_endian}]
    return b"".join(
        [
            *(pickle.dumps(value, 2) for value in start),
            b"\x80\x02" + name("collections", "OrderedDict") + b")R",
            text("weight") + weight + b"s.",
            pickle.dumps(["0"], 2),
            struct.pack("<q", length),
            NUMBERS.tobytes(),
        ]
    )


@pytest.fixture
def written(tmp_path):
    def write(data):
        path = tmp_path / "weights.pth"
        path.write_bytes(data)
        return path

    return write


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (((2, 3), (3, 1)), [[0, 1, 2], [3, 4, 5]]),
        (((3, 2), (1, 3)), [[0, 3], [1, 4], [2, 5]]),
        (((2,), (2,), 1), [1, 3]),
        (((), (), 4), 4),
    ],
)
def test_reads_a_tensor(written, arguments, expected):
    arrays = read_arrays(written(content(tensor(*arguments))))
    assert list(arrays) == ["weight"]
    assert arrays["weight"].dtype == "float32"
    np.testing.assert_array_equal(arrays["weight"], expected)


def refused(path, reason):
    with pytest.raises(ValueError) as error:
        read_arrays(path)
    assert str(error.value) == (
        "`path` must be a whole file of weights by PyTorch before 1.6. "
        "Download it again from a source you trust. "
        f"Received: path={str(path)!r} ({reason})"
    )


def test_nothing_else_that_is_named_runs(written, tmp_path):
    canary = tmp_path / "canary"
    call = name("pathlib", "Path") + group(text(str(canary))) + b"R"
    touch = name("operator", "methodcaller") + group(text("touch")) + b"R"
    refused(
        written(content(touch + call + b"\x85R")),
        "UnpicklingError: it names operator.methodcaller",
    )
    system = name("os", "system") + group(text(f"touch {canary}")) + b"R"
    refused(
        written(content(system)),
        "UnpicklingError: it names os.system",
    )
    refused(
        written(system + b"."),
        "UnpicklingError: it names os.system",
    )
    assert not canary.exists()


@pytest.mark.parametrize(
    "global_name",
    [
        ("torch", "load"),
        ("torch._utils", "_rebuild_parameter"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("collections", "OrderedDict.update"),
        ("builtins", "getattr"),
    ],
)
def test_no_neighbour_of_the_names_it_knows(written, global_name):
    refused(
        written(content(name(*global_name))),
        f"UnpicklingError: it names {'.'.join(global_name)}",
    )


def test_a_file_leaves_no_mark_on_the_reader(written):
    # BUILD sets attributes on what it was given: here a new default.
    given = name("torch._utils", "_rebuild_tensor_v2")
    build = b"N}" + text("mark") + number(1) + b"s\x86b"
    with pytest.raises(ValueError, match="must be a whole file"):
        read_arrays(written(content(given + build)))
    good = written(content(tensor((2,), (1,))))
    assert read_arrays(good)["weight"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (content(tensor((2, 3), (3, 1)), magic=1), "another format"),
        (
            content(tensor((2, 3), (3, 1)), little_endian=False),
            "another format",
        ),
        (
            content(tensor((2, 3), (3, 1))) + b"\0",
            "data follow the last storage",
        ),
        (
            content(tensor((2, 3), (3, 1)), length=5),
            "storage 0 has another length",
        ),
        (
            content(tensor((2, 3), (3, 1), length=7), length=7),
            "it ends within a storage",
        ),
        *(
            (content(tensor(*where)), "a tensor reaches beyond its storage")
            for where in [
                ((2, 4), (3, 1)),
                ((6,), (1,), 1),
                ((6,), (1,), -1),
                ((2,), (-1,), 3),
                ((-1,), (1,)),
                ((1000,), (0,)),
            ]
        ),
    ],
)
def test_a_file_that_does_not_fit_itself(written, data, reason):
    refused(written(data), f"ValueError: {reason}")


def test_no_part_of_a_file_is_taken_for_the_whole(written):
    whole = content(tensor((2, 3), (3, 1)))
    for length in range(len(whole)):
        with pytest.raises(ValueError, match="must be a whole file"):
            read_arrays(written(whole[:length]))


def test_a_zip_file_is_another_format(written):
    with pytest.raises(ValueError, match="by PyTorch before 1"):
        read_arrays(written(b"PK\x03\x04" + b"\0" * 40))
