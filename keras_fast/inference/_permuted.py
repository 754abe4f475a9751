"""Which arrays hold a column of the data, and how are its rows permuted?"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np

from keras_fast._checks import several, shown
from keras_fast._keras.layers import layers_of
from keras_fast.data import TableEncoder
from keras_fast.layers._table import TableLayer

__all__ = ["Data", "Keys", "as_array", "checked_data", "keys_of", "permuted"]

Data = dict[str, np.ndarray] | np.ndarray
# Names of arrays in a dict, or places in the last axis of an array.
Keys = list[Any]


def as_array(value: Any) -> np.ndarray:
    """An array or tensor of any backend as NumPy's."""
    if isinstance(value, np.ndarray):
        return value
    if keras.ops.is_tensor(value):
        return np.asarray(keras.ops.convert_to_numpy(value))
    return np.asarray(value)


def checked_data(x: Any, y: Any) -> tuple[Data, np.ndarray]:
    """Both as arrays with the same number of rows."""
    if isinstance(x, Mapping):
        data: Data = {name: as_array(value) for name, value in x.items()}
        arrays = data
    else:
        # Keras takes these as several inputs, or as batches.
        other = isinstance(x, list | tuple | keras.utils.PyDataset)
        data = np.empty(()) if other else as_array(x)
        arrays = {"x": data}
        if data.ndim != 2:
            raise TypeError(
                "`x` must be a dict of arrays, or an array (rows, columns). "
                "Columns are permuted over all rows, so pass these at once. "
                f"Received: x={type(x).__name__}"
            )
    if y is None:
        raise TypeError(
            "`y` must be the labels of `x`: how much worse predictions get "
            "is measured with them. Pass them. Received: y=None"
        )
    labels = as_array(y)
    lengths = {
        name: len(array) if array.ndim else None
        for name, array in {**arrays, "y": labels}.items()
    }
    if len({*lengths.values()}) > 1 or None in lengths.values():
        raise ValueError(
            "`x` and `y` must have equally many rows. Check the length of "
            f"each array. Received: rows {shown(lengths)}"
        )
    if not len(labels) or not (data if isinstance(x, Mapping) else data.size):
        raise ValueError(
            "`x` must have at least one row and one column. Check what was "
            f"selected. Received: columns {shown(list(arrays))}, "
            f"{len(labels)} rows"
        )
    return data, labels


def keys_of(model: keras.Model, x: Data, columns: Any) -> dict[str, Keys]:
    """The arrays to permute together, by the name of the column."""
    found = {
        name: arrays
        for layer in layers_of(model)
        if isinstance(layer, TableLayer)
        for name, arrays in _encoded(layer, x).items()
    }
    _check_inputs(model, x)
    if columns is not None:
        return _given(x, columns)
    if not isinstance(x, dict):
        return {str(i): [i] for i in range(x.shape[1])}
    known = {array for arrays in found.values() for array in arrays}
    return found | {name: [name] for name in x if name not in known}


def _check_inputs(model: keras.Model, x: Data) -> None:
    """Refuse a surplus array: Keras would use it as the next input."""
    inputs = getattr(model, "input", None)
    if isinstance(x, dict) and isinstance(inputs, dict):
        others = [name for name in x if name not in inputs]
        if others:
            raise ValueError(
                "`x` must have no other arrays than the model's inputs. Leave "
                f"them out. Received: x with {shown(others)}"
            )


def permuted(
    x: Data, keys: Keys, order: np.ndarray, batch_size: int
) -> Iterator[Data]:
    """Batches in which these columns have the rows of `order`.

    All have one size, so that one trace serves them: the last batch repeats
    the last row.
    """
    rows = len(order)
    size = -(-rows // -(-rows // batch_size))
    for start in range(0, rows, size):
        places = np.minimum(np.arange(start, start + size), rows - 1)
        others = order[places]
        if isinstance(x, dict):
            yield {
                name: array[others if name in keys else places]
                for name, array in x.items()
            }
        else:
            batch = x[places]
            batch[:, keys] = x[np.ix_(others, keys)]
            yield batch


def _encoded(layer: TableLayer, x: Data) -> dict[str, Keys]:
    """The arrays of each column of an encoder's table."""
    columns = TableEncoder.from_config(layer.encoder).columns
    given = x if isinstance(x, dict) else {}
    for name, arrays in columns.items():
        lacking = [array for array in arrays if array not in given]
        text = [
            a for a in arrays if a in given and given[a].dtype.kind in "OUT"
        ]
        if lacking or text:
            received = f"x without {lacking}"
            if text:
                received = f"{shown(given[text[0]][0])} in {text[0]!r}"
            raise ValueError(
                f"`x` must have column {name!r} as the encoder returns it. "
                "Pass `TableEncoder.of(model)(table)`, not the table. "
                f"Received: {received}"
            )
    return columns


def _given(x: Data, columns: Any) -> dict[str, Keys]:
    if not isinstance(columns, Mapping) or not columns:
        raise TypeError(
            "`columns` must map a name to what is permuted together: names of "
            "arrays in `x`, or numbers of its columns. Pass a dict such as "
            f"{{'size': ['x', 'y']}}. Received: columns={shown(columns)}"
        )
    there = list(x) if isinstance(x, dict) else list(range(x.shape[1]))
    found = {}
    for name, keys in columns.items():
        found[str(name)] = keys = several(f"columns[{name!r}]", keys)
        wrong = [key for key in keys if key not in there]
        if wrong or not keys:
            raise ValueError(
                f"`columns[{name!r}]` must be columns of `x`. Choose from "
                f"{shown(there)}. Received: {shown(wrong or keys)}"
            )
    return found
