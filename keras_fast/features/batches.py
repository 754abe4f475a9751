"""How is data for `fit()` read as NumPy arrays, in order and to its end?

Keras's own adapters would convert `float64` and `float16` labels to `float32`,
and refuse iterables that are not generators.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

__all__ = ["Batch", "as_batch", "batches", "is_arrays", "to_numpy"]


class Batch(NamedTuple):
    """Part of the data."""

    inputs: Any  # of any structure
    labels: np.ndarray | None
    num_rows: int


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
    if is_arrays(x):
        inputs, labels, num_rows = as_batch(x, y)
        for start in range(0, num_rows, batch_size):
            part = slice(start, start + batch_size)
            yield as_batch(
                keras.tree.map_structure(lambda a, part=part: a[part], inputs),
                None if labels is None else labels[part],
            )
        return
    for batch in _by_number(x) if isinstance(x, keras.utils.PyDataset) else x:
        inputs, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
        if weights is not None:
            raise ValueError(
                "`x` must give inputs, or inputs and labels: weights of "
                "samples are not cached. Leave them out. Received: a batch "
                "of 3 parts"
            )
        yield as_batch(inputs, labels)


def as_batch(inputs: Any, labels: Any) -> Batch:
    """The same as NumPy arrays with equally many rows."""
    inputs = keras.tree.map_structure(to_numpy, inputs)
    if isinstance(labels, Mapping | list | tuple):
        raise ValueError(
            "`y` must be one array of labels. Cache for one output at a time. "
            f"Received: y={type(labels).__name__} of {len(labels)}"
        )
    labels = None if labels is None else to_numpy(labels)
    arrays = [*keras.tree.flatten(inputs)]
    arrays += [] if labels is None else [labels]
    lengths = {array.shape[:1] for array in arrays}
    if len(lengths) != 1 or lengths == {()}:
        raise ValueError(
            "`x` and `y` must have the same number of rows. Check their "
            f"shapes. Received: shapes={[array.shape for array in arrays]}"
        )
    return Batch(inputs, labels, len(arrays[0]))


def to_numpy(value: Any) -> np.ndarray:
    """Convert an array or tensor of any library to NumPy."""
    if keras.ops.is_tensor(value):
        value = keras.ops.convert_to_numpy(value)
    return np.asarray(value)


def _by_number(x: keras.utils.PyDataset) -> Iterator[Any]:
    x.on_epoch_begin()
    for i in range(x.num_batches):
        yield x[i]
    x.on_epoch_end()
