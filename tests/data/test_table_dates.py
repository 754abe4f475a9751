"""Are the parts of dates those that pandas and fastai find?"""

import datetime

import numpy as np
import pandas as pd
import pytest

from keras_fast.data import TableEncoder

pytestmark = pytest.mark.once

FLAGS = [
    f"is_{span}_{end}"
    for span in ("month", "quarter", "year")
    for end in ("start", "end")
]


def encoded(adapt, rows=None):
    encoder = TableEncoder(dates=["t"])
    encoder.adapt({"t": adapt})
    return encoder, encoder({"t": adapt if rows is None else rows})


def test_categories_are_those_of_pandas():
    days = pd.Series(pd.date_range("1999-12-25", "2029-01-07"))
    days = pd.concat([days, days - pd.DateOffset(years=100)])
    encoder, rows = encoded(days)
    expected = {
        name: getattr(days.dt, name)
        for name in ("year", "month", "day", *FLAGS)
    }
    expected["dayofweek"] = days.dt.day_of_week
    expected["week"] = days.dt.isocalendar().week
    for name, values in expected.items():
        words = encoder.vocabularies[f"t_{name}"]
        got = [words[code] for code in rows[f"t_{name}"]]
        assert got == values.astype(int).tolist(), name
    assert "t_hour" not in rows


def test_numbers_are_those_of_pandas():
    moments = pd.Series(
        pd.date_range("1968-02-27", periods=3001, freq="9h7min5s")
    )
    encoder, rows = encoded(moments)
    seconds = (moments - pd.Timestamp(0)) // pd.Timedelta(seconds=1)
    expected = {
        "dayofyear": moments.dt.day_of_year,
        "minute": moments.dt.minute,
        "second": moments.dt.second,
        "elapsed": seconds,
    }
    for name, values in expected.items():
        first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
        scaled = (values - median) / (third - first)
        np.testing.assert_allclose(
            rows[f"t_{name}"], scaled, rtol=1e-6, atol=1e-7
        )
    hours = encoder.vocabularies["t_hour"]
    assert [hours[code] for code in rows["t_hour"]] == moments.dt.hour.tolist()
    assert len(encoder.columns["t"]) == len(rows) == 16


def test_missing_dates():
    _, rows = encoded(["2024-01-31", None, "", pd.NaT, np.nan])
    assert rows["t_month"].tolist() == [1, 0, 0, 0, 0]
    assert rows["t_elapsed"].tolist() == [0] * 5
    assert rows["t_elapsed_na"].tolist() == [0, 1, 1, 1, 1]
    _, rows = encoded(["2024-01-31"], np.array([np.nan]))
    assert rows["t_month"].tolist() == [0]


def test_a_later_year_is_no_mistake():
    _, rows = encoded(
        ["2023-05-01", "2024-05-02"], ["2030-05-03", "2031-05-01"]
    )
    assert rows["t_year"].tolist() == [0, 0]
    assert rows["t_month"].tolist() == [1, 1]
    assert (rows["t_elapsed"] > 1).all()


def test_midnights_where_there_were_times():
    _, rows = encoded(["2024-01-01T05:00", "2024-01-01"], ["2024-01-02"])
    assert rows["t_hour"].tolist() == [1]
    _, rows = encoded(["2024-01-01"], ["2024-01-02T05:00"])
    assert "t_hour" not in rows


@pytest.mark.parametrize(
    "value",
    [
        "2024-02-29T23:30:00-02:00",
        datetime.datetime(2024, 3, 1, 1, 30, tzinfo=datetime.UTC),
        pd.Timestamp("2024-03-01T10:30", tz="Asia/Tokyo"),
        np.datetime64("2024-03-01T01:30"),
        np.str_("2024-03-01 01:30:00"),
        datetime.datetime(2024, 3, 1, 1, 30),
    ],
)
def test_moments_in_utc(value):
    words = ["2024-02-28T00:00", "2024-03-01T01:30"]
    _, expected = encoded(words, words[1:])
    for column in ([value], np.array([value])):
        _, rows = encoded(words, column)
        for name, values in expected.items():
            np.testing.assert_array_equal(rows[name], values, name)
    assert expected["t_day"].tolist() == [1]


def test_days_of_type_date():
    day = datetime.date(2024, 2, 29)
    _, rows = encoded([day, datetime.date(2024, 2, 28)], [day])
    assert rows["t_day"].tolist() == [2]
