"""One small table, as each library holds it."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

DAY = datetime.datetime
COLUMNS = {
    "cut": ["Ideal", "Fair", None, "Ideal", "Good", "Fair"],
    "size": [2, 10, None, 2, 3, 10],
    "sold": [True, None, False, True, True, False],
    "carat": [0.5, None, 0.7, 0.9, 2.5, 1.1],
    "day": [
        DAY(2023, 12, 31),
        DAY(2024, 2, 29, 13, 5, 9),
        None,
        DAY(2024, 3, 31),
        DAY(1969, 12, 29, 23, 59, 59),
        DAY(2024, 7, 1),
    ],
}
NAMES = {
    "categorical": ["cut", "size", "sold"],
    "numerical": ["carat"],
    "dates": ["day"],
}


def arrays():
    """A dict of arrays, the missing as NumPy has it for each type."""
    return {
        "cut": np.array(COLUMNS["cut"], object),
        "size": np.array(COLUMNS["size"], "float64"),
        "sold": np.array(COLUMNS["sold"], object),
        "carat": np.array(COLUMNS["carat"], "float64"),
        "day": np.array(COLUMNS["day"], "datetime64[s]"),
    }


def lists():
    return dict(COLUMNS)


def pandas():
    return pd.DataFrame(COLUMNS)


def pandas_nullable():
    return pd.DataFrame(COLUMNS).astype(
        {
            "cut": "string",
            "size": "Int64",
            "sold": "boolean",
            "carat": "Float64",
        }
    )


def pandas_categorical():
    frame = pd.DataFrame(COLUMNS).astype(
        {"cut": "category", "size": "category", "day": "datetime64[ns]"}
    )
    # A column with a time zone is one of objects to NumPy.
    day = frame["day"].dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin")
    return frame.assign(day=day)


def polars():
    return pl.DataFrame(COLUMNS)


def polars_categorical():
    moments = pl.Datetime("ms", "Asia/Tokyo")
    return pl.DataFrame(COLUMNS).with_columns(
        pl.col("cut").cast(pl.Categorical),
        pl.col("day").dt.replace_time_zone("UTC").cast(moments),
    )


def pyarrow():
    return pa.table(COLUMNS)


def pyarrow_dictionary():
    table = pa.table(COLUMNS)
    for i in (0, 1):
        column = table.column(i).dictionary_encode()
        table = table.set_column(i, table.column_names[i], column)
    zone = pa.timestamp("us", "America/New_York")
    return table.set_column(4, "day", table["day"].cast(zone))


TABLES = [
    arrays,
    lists,
    pandas,
    pandas_nullable,
    pandas_categorical,
    polars,
    polars_categorical,
    pyarrow,
    pyarrow_dictionary,
]
