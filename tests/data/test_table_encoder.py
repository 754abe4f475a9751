"""Are a table's arrays what they should be, whoever holds the table?"""

import json
import math

import numpy as np
import pandas as pd
import polars as pl
import pytest
from tables import COLUMNS, NAMES, TABLES, arrays, pandas

from keras_fast.data import TableEncoder

pytestmark = pytest.mark.once


def adapted(table=None, **arguments):
    encoder = TableEncoder(**(arguments or NAMES))
    encoder.adapt(arrays() if table is None else table)
    return encoder


def of(values, *, adapt=None, min_count=1):
    """Codes and vocabulary of one categorical column."""
    encoder = TableEncoder(["c"], min_count=min_count)
    encoder.adapt({"c": values if adapt is None else adapt})
    return encoder({"c": values})["c"].tolist(), encoder.vocabularies["c"]


def scaled(values, adapt=None):
    """The arrays of one numerical column."""
    encoder = TableEncoder(numerical=["x"])
    encoder.adapt({"x": values if adapt is None else adapt})
    return encoder({"x": values})


# Categories, numbers and dates, by hand.


def test_codes():
    rows = adapted()(arrays())
    assert rows["cut"].tolist() == [3, 1, 0, 3, 2, 1]
    assert rows["size"].tolist() == [1, 3, 0, 1, 2, 3]
    assert rows["sold"].tolist() == [2, 0, 1, 2, 2, 1]
    assert {rows[name].dtype for name in NAMES["categorical"]} == {
        np.dtype("int32")
    }


def test_vocabularies():
    vocabularies = adapted().vocabularies
    assert vocabularies["cut"] == [None, "Fair", "Good", "Ideal"]
    assert vocabularies["size"] == [None, 2, 3, 10]
    assert vocabularies["sold"] == [None, False, True]
    assert [type(word) for word in vocabularies["size"][1:]] == [int] * 3


def test_scaled_numbers():
    rows = adapted()(arrays())
    known = [0.5, 0.7, 0.9, 2.5, 1.1]
    spread = np.subtract(*np.percentile(known, [75, 25]))
    expected = (np.array([0.5, 0.9, 0.7, 0.9, 2.5, 1.1]) - 0.9) / spread
    np.testing.assert_allclose(rows["carat"], expected, rtol=1e-6)
    assert rows["carat_na"].tolist() == [0, 1, 0, 0, 0, 0]
    assert rows["carat"].dtype == rows["carat_na"].dtype == "float32"


def test_columns_lead_to_their_arrays():
    encoder = adapted()
    columns = encoder.columns
    assert columns["cut"] == ["cut"]
    assert columns["carat"] == ["carat", "carat_na"]
    assert columns["day"][:2] == ["day_year", "day_month"]
    assert columns["day"][-2:] == ["day_elapsed", "day_elapsed_na"]
    arrays_of_all = [name for names in columns.values() for name in names]
    assert sorted(arrays_of_all) == sorted(encoder(arrays()))
    assert list(columns) == list(COLUMNS)


@pytest.mark.parametrize("table", TABLES)
def test_every_library_gives_the_same_arrays(table):
    # Adapted to one, called with another, both ways.
    expected = adapted()(arrays())
    for got in (adapted()(table()), adapted(table())(arrays())):
        assert list(got) == list(expected)
        for name, values in got.items():
            np.testing.assert_array_equal(values, expected[name], name)
    assert adapted(table()).get_config() == adapted().get_config()


def test_columns_that_are_not_named_are_left_alone():
    rows = adapted({"c": ["a"], "b": [object()]}, categorical=["c"])
    assert list(rows({"c": ["a"], "other": [1, 2]})) == ["c"]


def test_numpy_strings_and_integers():
    assert of(np.array(["b", "a", "b"]))[0] == [2, 1, 2]
    assert of(np.array(["b", "a"], np.dtypes.StringDType()))[0] == [2, 1]
    assert of(np.array([7, 5], "uint8")) == ([2, 1], [None, 5, 7])
    objects = np.array([np.str_("b"), "a"], object)
    assert json.dumps(of(objects)[1]) == '[null, "a", "b"]'


def test_a_rare_word_has_code_0():
    values = ["a", "b", "a", "c", "c", None]
    assert of(values, min_count=2) == ([1, 0, 1, 2, 2, 0], [None, "a", "c"])
    encoder = TableEncoder(["c"], min_count=2)
    encoder.adapt({"c": values})
    state = encoder.get_config()["state"]["categories"]["c"]
    assert state == {"words": ["a", "c"], "counts": [2, 2, 2]}


def test_an_unseen_word_has_code_0():
    assert of(["b", "z", None], adapt=["a", "b"])[0] == [2, 0, 0]
    # One alone may be a new user.
    assert of(["z", "z"], adapt=["a", "b"])[0] == [0, 0]
    assert of([None, None], adapt=["a", "b"])[0] == [0, 0]
    assert of([math.nan, math.nan], adapt=["a", "b"])[0] == [0, 0]


def test_floats_that_are_not_whole_stay_floats():
    assert of([0.5, math.nan, 2.0, math.inf]) == ([1, 0, 2, 0], [None, 0.5, 2])
    # Whole numbers in pandas, where some are missing.
    assert of([1.0, math.nan], adapt=[1, 2])[0] == [1, 0]


def test_text_with_pandas_na():
    values = pd.Series(["b", pd.NA, "a", pd.NaT, None, math.nan], dtype=object)
    assert of(values) == ([2, 0, 1, 0, 0, 0], [None, "a", "b"])


def test_a_column_of_missing_values():
    assert of([None, math.nan, pd.NA]) == ([0, 0, 0], [None])
    assert of(["anything"], adapt=[None])[0] == [0]
    rows = scaled([math.nan, math.inf, -math.inf])
    assert rows["x"].tolist() == [0, 0, 0]
    assert rows["x_na"].tolist() == [1, 1, 1]


def test_infinite_and_immense_numbers_are_missing():
    rows = scaled([1.0, 2, 3, math.inf, -1e308, None])
    assert rows["x"].tolist() == [-1, 0, 1, 0, 0, 0]
    assert rows["x_na"].tolist() == [0, 0, 0, 1, 1, 1]
    objects = np.array([1, 2, 3, 10**400, pd.NA, True], object)
    assert scaled(objects)["x_na"].tolist() == [0, 0, 0, 1, 1, 0]


def test_numbers_missing_only_in_prediction_become_the_median():
    rows = scaled([math.nan, 4.0], adapt=[1.0, 2, 3])
    assert rows["x"].tolist() == [0, 2]
    assert list(rows) == ["x"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5, 5, 5], [0, 0, 0]),
        # The quartiles are equal: half of the range counts.
        ([0] * 8 + [4], [0] * 8 + [2]),
        (np.array([True, False, False, True]), [0.5, -0.5, -0.5, 0.5]),
        ([2**62, 2**62 + 2**40, 2**62 - 2**40], [0, 1, -1]),
    ],
)
def test_spread(values, expected):
    assert scaled(values)["x"].tolist() == expected


def test_far_numbers_keep_squares_finite():
    assert scaled([1e30, -1e30], adapt=[0, 1, 2])["x"].tolist() == [1e9, -1e9]


def test_quantiles_equal_numpy():
    values = np.random.default_rng(0).choice(40, 500) ** 2.0
    encoder = TableEncoder(numerical=["x"])
    encoder.adapt({"x": values})
    scale = encoder.get_config()["state"]["numbers"]["x"]
    levels = np.linspace(0, 1, 129)
    first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
    for name, numbers in (
        ("quantiles", values),
        ("distinct", np.unique(values)),
    ):
        expected = (np.quantile(numbers, levels) - median) / (third - first)
        np.testing.assert_allclose(scale[name], expected, atol=1e-12)


def test_it_comes_back_from_json():
    encoder = adapted(pandas())
    text = json.dumps(encoder.get_config())
    again = TableEncoder.from_config(json.loads(text))
    assert again.get_config() == encoder.get_config()
    assert again.columns == encoder.columns
    for name, values in encoder(arrays()).items():
        np.testing.assert_array_equal(again(arrays())[name], values)


def test_adapting_again_forgets():
    encoder = TableEncoder(["c"])
    encoder.adapt({"c": ["a"]})
    encoder.adapt({"c": [2]})
    assert encoder.vocabularies == {"c": [None, 2]}


# Errors.


def refused(error, expected, call, *arguments, **keywords):
    with pytest.raises(error) as caught:
        call(*arguments, **keywords)
    assert expected in str(caught.value)
    assert "Received:" in str(caught.value)


@pytest.mark.parametrize(
    ("error", "arguments", "expected"),
    [
        (ValueError, {}, "Received: no columns"),
        (ValueError, {"categorical": ["a"], "dates": ["a"]}, "'a' 2 times"),
        (ValueError, {"numerical": ["a", "b", "a"]}, "'a' 2 times"),
        (ValueError, {"numerical": ["km/h"]}, "['km/h']"),
        (ValueError, {"categorical": [1]}, "categorical=[1]"),
        (TypeError, {"categorical": "cut"}, "categorical='cut'"),
        (ValueError, {"numerical": ["a"], "min_count": 0}, "min_count=0"),
        (TypeError, {"numerical": ["a"], "min_count": 0.5}, "min_count=0.5"),
    ],
)
def test_bad_arguments(error, arguments, expected):
    refused(error, expected, TableEncoder, **arguments)


@pytest.mark.parametrize(
    ("error", "change", "expected"),
    [
        (ValueError, {"cut": None}, "a column 'cut'"),
        (ValueError, {"cut": ["Fair"]}, "in column 'size', 1 in column 'cut'"),
        (ValueError, {"cut": np.full((6, 2), "Fair")}, "'cut' of shape (6, 2)"),
        (ValueError, {"cut": "Fair"}, "for a single row too. Received: cut"),
        # Wholly unknown, or of the other kind.
        (ValueError, {"cut": list("abcabc")}, "cut=['a', 'b', 'c'], known are"),
        (TypeError, {"cut": [1, 2, 3, 1, 2, 3]}, "cut=1 (int)"),
        (TypeError, {"cut": ["Fair"] * 5 + [0.5]}, "cut=0.5 (float)"),
        (TypeError, {"size": list("223322")}, "size='2' (str)"),
        (TypeError, {"sold": ["True"] * 6}, "sold='True' (str)"),
        (TypeError, {"cut": np.full(6, b"Fair")}, "cut=np.bytes_(b'Fair')"),
        (TypeError, {"cut": [["Fair"], *"abcde"]}, "cut=['Fair'] (list)"),
        (TypeError, {"cut": np.arange(6).astype("M8[D]")}, "Column 'cut'"),
        (TypeError, {"carat": ["0.5"] * 6}, "Column 'carat' must hold numbers"),
        (TypeError, {"carat": [1, 2, 3, 4, 5, "0.5"]}, "carat='0.5' (str)"),
        (TypeError, {"carat": [None] * 5 + [{}]}, "carat={} (dict)"),
        (TypeError, {"carat": np.arange(6).astype("M8[D]")}, "Column 'carat'"),
        (TypeError, {"carat": np.zeros(6, "complex64")}, "carat=np.complex64"),
        (TypeError, {"day": np.arange(6)}, "day=0 (int)"),
        (TypeError, {"day": ["2024-01-01"] * 5 + ["31.1.2024"]}, "'31.1.2024'"),
        (TypeError, {"day": [*COLUMNS["day"][:5], 7]}, "day=7 (int)"),
    ],
)
def test_bad_tables(error, change, expected):
    table = {**arrays(), **change}
    if change.get("cut", ...) is None:
        del table["cut"]
    refused(
        error, expected.replace("size='2' (str)", "(str)"), adapted(), table
    )


def test_bad_training_data():
    refused(
        ValueError,
        "column 'cut' with 0 rows",
        adapted,
        {"cut": []},
        categorical=["cut"],
    )
    mixed = {"cut": ["a", 1, "b"]}
    refused(TypeError, "cut='a' and 1", adapted, mixed, categorical=["cut"])
    dated = {"cut": np.arange(2).astype("M8[D]")}
    refused(TypeError, "Column 'cut'", adapted, dated, categorical=["cut"])
    refused(
        TypeError,
        "cut={} (dict)",
        adapted,
        {"cut": np.array([{}, []], object)},
        categorical=["cut"],
    )


def test_missing_column_of_each_library():
    encoder = TableEncoder(["colour"])
    for table in TABLES:
        refused(ValueError, "columns ['cut', 'size'", encoder.adapt, table())
    refused(ValueError, "table=array(", encoder.adapt, np.zeros((2, 2)))


def test_a_frame_with_a_name_twice():
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    encoder = TableEncoder(numerical=["a"])
    refused(ValueError, "column 'a' of shape (1, 2)", encoder.adapt, frame)


def test_an_array_with_the_name_of_a_column():
    table = {"x": [1.0, None], "x_na": ["a", "b"]}
    encoder = TableEncoder(["x_na"], ["x"])
    refused(ValueError, "'x_na' 2 times", encoder.adapt, table)


@pytest.mark.parametrize(
    "use",
    [
        lambda encoder: encoder({"c": ["a"]}),
        lambda encoder: encoder.get_config(),
        lambda encoder: encoder.vocabularies,
        lambda encoder: encoder.columns,
    ],
)
def test_an_encoder_that_was_not_adapted(use):
    refused(ValueError, "['c'], not adapted", use, TableEncoder(["c"]))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["categories"], None),
        (["categories", "cut"], ["Fair"]),
        (["categories", "cut", "words"], ["Fair", {"class_name": "Lambda"}, 1]),
        (["categories", "cut", "words"], ["Fair", "Fair", "Good"]),
        (["categories", "cut", "words"], ["Fair", 1, 2]),
        (["categories", "cut", "counts"], [1]),
        (["categories", "cut", "counts"], [1, 1, 1, -1]),
        (["categories", "cut", "more"], 1),
        (["numbers", "carat", "spread"], 0.0),
        (["numbers", "carat", "median"], math.nan),
        (["numbers", "carat", "median"], "0"),
        (["numbers", "carat", "missing"], 1),
        (["numbers", "carat", "quantiles"], [0.0]),
        (["numbers", "carat", "distinct"], [1.0] + [0.0] * 128),
    ],
)
def test_forged_state(path, value):
    config = json.loads(json.dumps(adapted().get_config()))
    place = config["state"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    refused(
        ValueError,
        f"{path[min(1, len(path) - 1)]}=",
        TableEncoder.from_config,
        config,
    )


def test_masked_values_are_missing():
    values = np.ma.array([5.0, 1.0, 2.0], mask=[True, False, False])
    assert scaled(values)["x_na"].tolist() == [1, 0, 0]
    assert of(np.ma.array([5, 1], mask=[True, False])) == ([0, 1], [None, 1])


def test_ids_that_floats_do_not_tell_apart_are_refused():
    ids = [2**53, 2**53 + 1]
    assert of(np.array(ids)) == ([1, 2], [None, *ids])
    with_gap = pd.array([*ids, None], dtype="Int64")
    message = "Column 'c' must hold whole numbers below 2**53 where some"
    refused(ValueError, message, of, with_gap)
    refused(ValueError, message, of, with_gap, adapt=np.array(ids))
    assert of(np.array([1e300, np.inf, np.nan]) / 1e290)[0] == [1, 0, 0]


def test_a_query_is_no_table():
    message = "Pass `table.collect()`. Received: table=LazyFrame"
    refused(TypeError, message, adapted(), pl.LazyFrame({"cut": ["Fair"]}))


def test_a_config_is_a_copy():
    encoder = adapted()
    encoder.get_config()["categorical"].append("other")
    assert encoder.categorical == NAMES["categorical"]
