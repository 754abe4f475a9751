"""How is what `fit()` takes read as NumPy arrays, in order and to its end?"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_fast.features.build import Batch

__all__ = ["as_batch", "batches", "is_arrays", "to_numpy"]


def is_arrays(x: Any) -> bool:
    """Whether it is one array, or a structure of them."""
    leaves = keras.tree.flatten(x)
    return bool(leaves) and all(
        hasattr(leaf, "shape") and hasattr(leaf, "__getitem__")
        for leaf in leaves
    )


def batches(x: Any, y: Any, batch_size: int) -> Iterator[Batch]:
    """One pass over the data.

    Args:
        x: An array or a structure of arrays, or batches: a `tf.data.Dataset`,
            a `PyDataset`, a `DataLoader` or anything to iterate over.
        y: The labels, if `x` is arrays.
        batch_size: Rows in a batch, if `x` is arrays.
    """
    if not is_arrays(x):
        for batch in _given(x):
            inputs, labels = _pair(batch)
            yield as_batch(inputs, labels)
        return
    inputs, labels, num_rows = as_batch(x, y)
    for start in range(0, num_rows, batch_size):
        part = slice(start, start + batch_size)
        yield as_batch(
            keras.tree.map_structure(lambda array, p=part: array[p], inputs),
            None if labels is None else labels[part],
        )


def to_numpy(value: Any) -> np.ndarray:
    """Of an array or tensor of any library."""
    if keras.ops.is_tensor(value):
        value = keras.ops.convert_to_numpy(value)
    return np.asarray(value)


def _given(x: Any) -> Iterator[Any]:
    if not isinstance(x, keras.utils.PyDataset):
        yield from x
        return
    x.on_epoch_begin()
    for i in range(x.num_batches):
        yield x[i]
    x.on_epoch_end()


def _pair(batch: Any) -> tuple[Any, Any]:
    """Inputs and labels, as `fit()` tells them apart."""
    if not isinstance(batch, tuple | list):
        return batch, None
    if not 1 <= len(batch) <= 2:
        raise ValueError(
            "`x` must give inputs, or inputs and labels: weights of samples "
            "are not cached. Leave them out. Received: a batch of "
            f"{len(batch)} parts"
        )
    inputs, labels = [*batch, None][:2]
    return inputs, labels


def as_batch(inputs: Any, labels: Any) -> Batch:
    """The same as NumPy arrays of as many rows."""
    inputs = keras.tree.map_structure(to_numpy, inputs)
    if isinstance(labels, Mapping | list | tuple):
        raise ValueError(
            "`y` must be one array of labels. Cache for one output at a time. "
            f"Received: y={type(labels).__name__} of {len(labels)}"
        )
    labels = None if labels is None else to_numpy(labels)
    arrays = [*keras.tree.flatten(inputs)]
    arrays += [] if labels is None else [labels]
    lengths = {len(array) if array.ndim else None for array in arrays}
    if len(lengths) != 1 or None in lengths:
        raise ValueError(
            "`x` and `y` must have the same number of rows. Check their "
            f"shapes. Received: shapes={[array.shape for array in arrays]}"
        )
    return Batch(inputs, labels, lengths.pop())
