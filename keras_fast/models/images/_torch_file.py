"""Which arrays does a PyTorch file hold, read without torch and safely?

A pickle can name any function and have it called. This reader allows the three
names that a weights file needs and refuses all others. It reads the format of
PyTorch before 1.6: five pickles (a magic number, the protocol, the system,
the weights, the keys of the storages), then each storage as its length, an
int64, and its numbers.
"""

import io
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["read_arrays"]

MAGIC = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}


class Storage(NamedTuple):
    key: str
    dtype: str
    length: int


class Tensor(NamedTuple):
    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in numbers, not bytes


class Reader(pickle.Unpickler):
    """Unpickles plain values and tensors, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        # A file can modify the objects it gets here: each one is new, or
        # immutable.
        match module, name:
            case "collections", "OrderedDict":
                return type("Names", (dict,), {})
            case "torch._utils", "_rebuild_tensor_v2":
                return lambda *arguments: Tensor(*arguments[:4])
            case "torch", "FloatStorage" | "LongStorage":
                return DTYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Storage:
        _, dtype, key, _, length, view = pid
        if view is not None:
            raise pickle.UnpicklingError("it has a view of a storage")
        return Storage(key, dtype, length)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays in a weights file, by name.

    Args:
        path: A file that `torch.save(model.state_dict(), path)` wrote.

    Raises:
        ValueError: It is not such a file, it is incomplete, or it names
            anything but tensors.
    """
    content = Path(path).read_bytes()
    try:
        return _arrays(io.BytesIO(content))
    # A damaged or hostile pickle can raise anything.
    except Exception as error:
        raise ValueError(
            "`path` must be a whole file of weights by PyTorch before 1.6. "
            "Download it again from a source you trust. Received: "
            f"path={str(path)!r} ({type(error).__name__}: {error})"
        ) from error


def _arrays(file: io.BytesIO) -> dict[str, np.ndarray]:
    magic, protocol, system, tensors, keys = (
        Reader(file).load() for _ in range(5)
    )
    if magic != MAGIC or protocol != PROTOCOL or not system["little_endian"]:
        raise ValueError("another format")
    lengths = {t.storage.key: t.storage for t in tensors.values()}
    storages = {key: _numbers(file, lengths[key]) for key in keys}
    if file.read(1):
        raise ValueError("data follow the last storage")
    return {name: _array(tensor, storages) for name, tensor in tensors.items()}


def _numbers(file: io.BytesIO, storage: Storage) -> np.ndarray:
    (length,) = np.frombuffer(file.read(8), "<i8")
    if length != storage.length:
        raise ValueError(f"storage {storage.key} has another length")
    size = int(length) * np.dtype(storage.dtype).itemsize
    content = file.read(size)
    if len(content) < size:
        raise ValueError("it ends within a storage")
    return np.frombuffer(content, storage.dtype)


def _array(tensor: Tensor, storages: Mapping[str, np.ndarray]) -> np.ndarray:
    numbers = storages[tensor.storage.key][tensor.offset :]
    axes = list(zip(tensor.shape, tensor.strides, strict=True))
    last = sum((size - 1) * stride for size, stride in axes)
    least = min(tensor.offset, *tensor.shape, *tensor.strides, 1)
    most = max(last + 1, math.prod(tensor.shape))
    if least < 0 or 0 in tensor.shape or most > len(numbers):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    view = np.lib.stride_tricks.as_strided(numbers, tensor.shape, strides)
    return view.copy()
