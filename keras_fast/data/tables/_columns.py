"""What is in a column of a table? A table returns its columns by name.

Dicts of arrays, pandas, polars and pyarrow all support `table[name]`, and
NumPy can convert the results. Nothing else is required of them.
"""

import math
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from keras_fast._checks import shown

__all__ = ["columns_of", "is_missing", "refuse_kind"]


def columns_of(table: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named columns, (rows,) each, all of the same length."""
    columns = {name: _column(table, name) for name in names}
    first = names[0]
    rows = len(columns[first])
    for name, values in columns.items():
        if len(values) != rows:
            raise ValueError(
                "The columns of a table must be equally long. Check where "
                f"they come from. Received: {len(values)} rows in column "
                f"{name!r}, {rows} in column {first!r}"
            )
    if not rows:
        raise ValueError(
            "`table` must have at least one row. Check what selects its rows. "
            f"Received: column {first!r} with 0 rows"
        )
    return columns


def _column(table: Any, name: str) -> np.ndarray:
    if hasattr(table, "collect"):
        raise TypeError(
            "`table` must hold its rows. Pass `table.collect()`. Received: "
            f"table={type(table).__name__}"
        )
    try:
        column = table[name]
    except Exception as error:  # each library has its own exception
        raise ValueError(
            f"`table` must have a column {name!r}. Pass a dict of arrays or a "
            "data frame with the columns that the encoder was made for. "
            f"Received: {_described(table)}"
        ) from error
    if hasattr(getattr(column, "type", None), "index_type"):
        # pyarrow: converted by NumPy, dictionary arrays give words for nulls.
        column = column.cast(column.type.value_type)
    if np.ma.isMaskedArray(column):  # NumPy would reveal masked values
        column = column.tolist()
    # In a list with text NumPy would turn the rest into text, even NaN.
    plain = isinstance(column, list | tuple)
    values = np.asarray(column, dtype=object if plain else None)
    if not values.ndim:
        raise ValueError(
            "A column must have one value a row. Pass a list or an array, for "
            f"a single row too. Received: {name}={shown(column)}"
        )
    if values.ndim != 1:
        raise ValueError(
            "A column must have one value a row. If the table has two columns "
            "of this name, rename one. Received: column "
            f"{name!r} of shape {values.shape}"
        )
    return values


def _described(table: Any) -> str:
    for attribute in ("column_names", "columns", "keys"):
        names = getattr(table, attribute, None)
        if names is not None:
            names = names() if callable(names) else names
            return f"a table with columns {shown([*names])}"
    return f"table={shown(table)}"


def is_missing(value: Any) -> bool:
    """Whether it is None, NaN, NaT, pandas.NA or infinite."""
    if value is None:
        return True
    if isinstance(value, float):
        return not math.isfinite(value)
    try:
        return bool(value != value)
    except TypeError:  # the truth value of pandas.NA is ambiguous
        return True


def refuse_kind(name: str, expected: str, remedy: str, value: Any) -> NoReturn:
    """Raise an error that names the column and shows the value."""
    raise TypeError(
        f"Column {name!r} must hold {expected}. {remedy} Received: {name}="
        f"{shown(value)} ({type(value).__name__})"
    )
