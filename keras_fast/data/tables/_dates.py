"""Which parts does a date have? fastai's `add_datepart`, in NumPy.

Recurring parts are categories, ever-growing ones are numbers.
"""

import datetime
from typing import Any

import numpy as np

from keras_fast.data.tables._columns import is_missing, refuse_kind

__all__ = [
    "DATE_CATEGORIES",
    "DATE_NUMBERS",
    "date_parts",
    "drop_midnight",
    "moments_of",
]

FLAGS = [
    f"is_{span}_{end}"
    for span in ("month", "quarter", "year")
    for end in ("end", "start")
]
DATE_CATEGORIES = ["year", "month", "week", "day", "dayofweek", *FLAGS, "hour"]
DATE_NUMBERS = ["dayofyear", "minute", "second", "elapsed"]
# Parts that only dates with a time of day have.
TIME = ("hour", "minute", "second")


def moments_of(name: str, values: np.ndarray) -> np.ndarray:
    """Moments, (rows,) datetime64[us], in UTC if they have a time zone."""
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    if values.dtype.kind not in "OUT":
        # Missing numbers count as missing dates.
        if values.dtype.kind == "f" and np.isnan(values).all():
            return np.full(len(values), "NaT", "datetime64[us]")
        _refuse(name, values.tolist()[0])
    moments = [_moment(name, value) for value in values.tolist()]
    return np.array(moments, "datetime64[us]")


def _moment(name: str, value: Any) -> Any:
    if is_missing(value) or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.datetime.fromisoformat(value)
        except ValueError:
            _refuse(name, value)
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC).replace(tzinfo=None)
    if isinstance(value, datetime.date | np.datetime64):
        return value
    return _refuse(name, value)


def _refuse(name: str, value: Any) -> Any:
    remedy = "Pass datetimes, or text such as '2024-02-29' or with a time."
    refuse_kind(name, "dates", remedy, value)


def date_parts(moments: np.ndarray) -> dict[str, np.ndarray]:
    """All parts by name, (rows,) float64, with NaN where missing."""
    days, months, years = (moments.astype(f"M8[{unit}]") for unit in "DMY")
    month = _count(months - years) + 1
    day = _count(days - months.astype("M8[D]")) + 1
    # 1970 began on a Thursday; Monday is 0.
    weekday = (_count(days - np.datetime64(0, "D")) + 3) % 7
    thursday = days + (3 - weekday).astype("m8[D]")
    seconds = _count((moments - days).astype("m8[s]"))
    first, last = day == 1, (days + 1).astype("M8[M]") != months
    found = {
        "year": _count(years - np.datetime64(0, "Y")) + 1970,
        "month": month,
        # A week belongs to the year of its Thursday.
        "week": _day_of_year(thursday) // 7 + 1,
        "day": day,
        "dayofweek": weekday,
        "is_month_end": last,
        "is_month_start": first,
        "is_quarter_end": last & (month % 3 == 0),
        "is_quarter_start": first & (month % 3 == 1),
        "is_year_end": last & (month == 12),
        "is_year_start": first & (month == 1),
        "hour": seconds // 3600,
        "dayofyear": _day_of_year(days) + 1,
        "minute": seconds // 60 % 60,
        "second": seconds % 60,
        "elapsed": _count(moments.astype("M8[s]") - np.datetime64(0, "s")),
    }
    missing = np.isnat(moments)
    return {
        name: np.where(missing, np.nan, part) for name, part in found.items()
    }


def _day_of_year(days: np.ndarray) -> np.ndarray:
    return _count(days - days.astype("M8[Y]").astype("M8[D]"))


def _count(span: np.ndarray) -> np.ndarray:
    """Units in a span, as integers; arbitrary where it is missing."""
    return span.astype("int64")


def drop_midnight(name: str, *columns: dict[str, np.ndarray]) -> None:
    """Drop the time of day from columns by name if it is always midnight."""
    time = [(part, f"{name}_{key}") for part in columns for key in TIME]
    if not any(
        np.nan_to_num(part[key]).any() for part, key in time if key in part
    ):
        for part, key in time:
            part.pop(key, None)
