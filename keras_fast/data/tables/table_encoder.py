"""Table rows as arrays for a model, always encoded in the same way."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_fast._checks import model as checked_model
from keras_fast._checks import several, shown, whole
from keras_fast._keras.layers import layers_of
from keras_fast.data.tables._categories import Vocabulary, Word
from keras_fast.data.tables._columns import columns_of
from keras_fast.data.tables._dates import (
    DATE_CATEGORIES,
    DATE_NUMBERS,
    date_parts,
    drop_midnight,
    moments_of,
)
from keras_fast.data.tables._numbers import Scale, numbers_of
from keras_fast.data.tables._table_state import scales_from, vocabularies_from
from keras_fast.layers._table import TableLayer

__all__ = ["TableEncoder"]


class TableEncoder:
    """Turns rows of a table into the arrays that a model takes.

    `adapt(table)` learns each column from the training data; calling the
    encoder then returns a dict of arrays, all of shape (rows,), for `fit` and
    `predict`:

    - **Categories** become int32 codes from 1 on, in the order of the words.
      Code 0 is for values that are missing, were not in the training data, or
      occurred there less than `min_count` times.
    - **Numbers** become float32: the distance from the median, in spreads (from
      the first to the third quartile). Infinite numbers count as missing.
      Missing numbers become the median, 0. If a number was missing in the
      training data, a second array, `f"{name}_na"`, is 1 where it is missing.
    - **Dates** become fastai's parts, named `f"{name}_{part}"`. Categories are
      `year`, `month`, `week`, `day`, `dayofweek`, six flags such as
      `is_month_end` and, if the training data had times of day, `hour`.
      Numbers are `dayofyear`, `minute`, `second` and `elapsed`, in seconds
      since 1970. Dates with a time zone are converted to UTC, text is read in
      ISO format.

    A table is a dict of arrays, or a data frame of pandas, polars or pyarrow:
    equal columns give equal arrays. Columns that are not named are ignored.

    `tabular_model` and `collaborative_filter` put the encoder into their model.
    It is saved with the model, as JSON; `TableEncoder.of(model)` returns it.

    Args:
        categorical: Names of columns whose text, numbers or bools are classes.
        numerical: Names of columns of numbers that measure something.
        dates: Names of columns of dates or moments.
        min_count: How often a category must occur in the training data to get
            its own code.

    Raises:
        TypeError: A column holds an unexpected type; the message names the
            column and shows a value. Or the table is a query.
        ValueError: No column is named, or one twice; a table lacks a column, is
            empty, or its columns differ in length; no word of a column is
            known; whole numbers with gaps are too large for floats; or the
            encoder is called before it is adapted.

    Examples:
        >>> encoder = keras_fast.data.TableEncoder(["cut"], ["carat"])
        >>> encoder.adapt(
        ...     {"cut": ["Ideal", "Fair", "Ideal"], "carat": [0.5, 1.0, 1.5]}
        ... )
        >>> rows = encoder({"cut": ["Fair", None], "carat": [2.0, np.nan]})
        >>> rows["cut"].tolist(), rows["carat"].tolist()
        ([1, 0], [2.0, 0.0])
        >>> encoder.vocabularies
        {'cut': [None, 'Fair', 'Ideal']}

    Reference:

    - [Guo and Berkhahn, 2016](https://arxiv.org/abs/1604.06737)
    - fastai 2.8, `Categorify`, `FillMissing` and `add_datepart`
    """

    def __init__(
        self,
        categorical: Sequence[str] = (),
        numerical: Sequence[str] = (),
        *,
        dates: Sequence[str] = (),
        min_count: int = 1,
    ) -> None:
        self.categorical = _names("categorical", categorical)
        self.numerical = _names("numerical", numerical)
        self.dates = _names("dates", dates)
        self.min_count = whole("min_count", min_count)
        _check_once(self._names)
        self._categories: dict[str, Vocabulary] | None = None
        self._numbers: dict[str, Scale] = {}

    def adapt(self, table: Any) -> None:
        """Learn from training data; anything learned before is forgotten."""
        categories, numbers = self._split(columns_of(table, self._names))
        for name in self.dates:
            drop_midnight(name, categories, numbers)
        vocabularies = {
            name: Vocabulary.learned(name, values, self.min_count)
            for name, values in categories.items()
        }
        scales = {name: Scale.learned(x) for name, x in numbers.items()}
        _check_once([*vocabularies, *_arrays(scales)])
        self._categories, self._numbers = vocabularies, scales

    def __call__(self, table: Any) -> dict[str, np.ndarray]:
        """The arrays that a model takes, by name."""
        vocabularies = self._adapted()
        categories, numbers = self._split(columns_of(table, self._names))
        arrays = {}
        for name, vocabulary in vocabularies.items():
            arrays[name] = vocabulary.encode(name, categories[name])
            if name in self.categorical:  # an unseen year is fine in a date
                vocabulary.check(name, categories[name], arrays[name])
        for name, scale in self._numbers.items():
            arrays[name] = scale.scaled(numbers[name]).astype("float32")
            if scale.missing:
                missing = np.isnan(numbers[name])
                arrays[f"{name}_na"] = missing.astype("float32")
        return arrays

    @property
    def vocabularies(self) -> dict[str, list[Word | None]]:
        """For each categorical array, the word of each code; 0 has None."""
        adapted = self._adapted()
        return {name: [None, *adapted[name].words] for name in adapted}

    @property
    def columns(self) -> dict[str, list[str]]:
        """For each column of the table, the names of its arrays."""
        found = {name: [name] for name in (*self._adapted(), *self._numbers)}
        for name, scale in self._numbers.items():
            found[name] += [f"{name}_na"] * scale.missing
        for date in self.dates:
            found[date] = [
                array
                for part in (*DATE_CATEGORIES, *DATE_NUMBERS)
                for array in found.pop(f"{date}_{part}", [])
            ]
        return {name: found[name] for name in self._names}

    def get_config(self) -> dict[str, Any]:
        """All that the encoder knows, in a form for JSON."""
        state = {
            "categories": _plain(self._adapted()),
            "numbers": _plain(self._numbers),
        }
        return {
            "categorical": [*self.categorical],
            "numerical": [*self.numerical],
            "dates": [*self.dates],
            "min_count": self.min_count,
            "state": state,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TableEncoder":
        """The encoder that `get_config()` was called on."""
        config = dict(config)
        state = config.pop("state")
        encoder = cls(**config)
        encoder._categories = vocabularies_from(state)
        encoder._numbers = scales_from(state)
        return encoder

    @staticmethod
    def of(model: keras.Model) -> "TableEncoder":
        """The encoder that a model was built on, also in another process.

        Args:
            model: A model of `tabular_model` or `collaborative_filter`, or one
                that contains it.

        Raises:
            ValueError: The model contains no encoder, or several.
        """
        layers = layers_of(checked_model(model))
        found = [x.encoder for x in layers if isinstance(x, TableLayer)]
        if not found or found.count(found[0]) < len(found):
            raise ValueError(
                "`model` must be built on one TableEncoder. Pass a model of "
                "`tabular_model` or `collaborative_filter`. Received: "
                f"model={model.name} with {len(found)} encoders"
            )
        return TableEncoder.from_config(found[0])

    @property
    def _names(self) -> list[str]:
        return [*self.categorical, *self.numerical, *self.dates]

    def _adapted(self) -> dict[str, Vocabulary]:
        if self._categories is None:
            raise ValueError(
                "The encoder must be adapted. Call `encoder.adapt(table)` with "
                "the training data first. Received: encoder of "
                f"{shown(self._names)}, not adapted"
            )
        return self._categories

    def _split(self, columns: dict[str, np.ndarray]) -> tuple[dict, dict]:
        """Categories unchanged and numbers as floats, including date parts."""
        categories = {name: columns[name] for name in self.categorical}
        numbers = {x: numbers_of(x, columns[x]) for x in self.numerical}
        for name in self.dates:
            parts = date_parts(moments_of(name, columns[name]))
            for part in DATE_CATEGORIES:
                categories[f"{name}_{part}"] = parts[part]
            for part in DATE_NUMBERS:
                numbers[f"{name}_{part}"] = parts[part]
        return categories, numbers


def _arrays(scales: dict[str, Scale]) -> list[str]:
    flags = [f"{name}_na" for name, scale in scales.items() if scale.missing]
    return [*scales, *flags]


def _plain(learned: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: dataclasses.asdict(each) for name, each in learned.items()}


def _names(argument: str, value: Any) -> list[str]:
    names = several(argument, value)
    for name in names:
        # They become names of layers, and Keras allows no slash in those.
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(
                f"`{argument}` must be names of columns, without a slash. "
                f"Rename the column. Received: {argument}={shown(value)}"
            )
    return names


def _check_once(names: list[str]) -> None:
    if not names:
        raise ValueError(
            "The encoder must have a column. Pass names in `categorical`, "
            "`numerical` or `dates`. Received: no columns"
        )
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(
                "A column must be named once, and no other may have the name "
                f"of one of its arrays. Rename one. Received: {name!r} "
                f"{count} times"
            )
