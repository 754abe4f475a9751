"""What is the median of a column of numbers, and how widely are they spread?"""

import math
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from keras_fast.data.tables._columns import is_missing, refuse_kind

__all__ = ["NUM_LEVELS", "Scale", "numbers_of"]

# Number of levels at which quantiles are kept, including 0 and 1. A model
# picks the edges of its bins from them.
NUM_LEVELS = 129
# Numbers beyond float32 count as infinite.
LARGEST = float(np.finfo("float32").max)
# Scaled numbers end here, so that their squares do not overflow.
FARTHEST = 1e9


@dataclass(frozen=True)
class Scale:
    """The scale of a numerical column, from the training data.

    Args:
        median: Median of the numbers that were not missing.
        spread: From the first to the third quartile. If that is 0, half the
            range; if that is 0 too, 1.
        missing: Whether numbers were missing.
        quantiles: Quantiles of the scaled numbers, at `NUM_LEVELS` even levels.
        distinct: The same for the distinct numbers, each counted once.
    """

    median: float
    spread: float
    missing: bool
    quantiles: list[float]
    distinct: list[float]

    @classmethod
    def learned(cls, values: np.ndarray) -> Any:
        """Learn it from numbers with NaN where they are missing."""
        known = np.sort(values[~np.isnan(values)])
        missing = len(known) < len(values)
        known = known if len(known) else np.zeros(1)
        low, first, median, third, high = _quantiles(known, 5)
        spread = (third - first) or (high - low) / 2 or 1.0
        new = np.diff(known, prepend=-math.inf) > 0
        scale = cls(float(median), float(spread), missing, [], [])
        return cls(
            scale.median,
            scale.spread,
            missing,
            scale.scaled(_quantiles(known, NUM_LEVELS)).tolist(),
            scale.scaled(_quantiles(known[new], NUM_LEVELS)).tolist(),
        )

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Distances from the median in spreads, 0 where missing."""
        scaled = (values - self.median) / self.spread
        return np.nan_to_num(np.clip(scaled, -FARTHEST, FARTHEST))


def numbers_of(name: str, values: np.ndarray) -> np.ndarray:
    """Floats, (rows,) float64, with NaN where missing or infinite."""
    if values.dtype.kind == "O":
        numbers = np.array([_number(name, v) for v in values.tolist()])
    elif values.dtype.kind in "biuf":
        numbers = values.astype("float64")
    else:
        _refuse(name, values[0])
    numbers[~(np.abs(numbers) <= LARGEST)] = math.nan
    return numbers


def _number(name: str, value: Any) -> float:
    if is_missing(value):
        return math.nan
    if isinstance(value, str | bytes):  # even if it looks like a number
        _refuse(name, value)
    try:
        return float(value)
    except OverflowError:  # an int too large for a float
        return math.nan
    except (TypeError, ValueError):
        _refuse(name, value)


def _refuse(name: str, value: Any) -> NoReturn:
    remedy = "Convert it, or pass it in `categorical` or `dates`."
    refuse_kind(name, "numbers", remedy, value)


def _quantiles(ordered: np.ndarray, num_levels: int) -> np.ndarray:
    """`np.quantile` at even levels, for numbers that are sorted already."""
    places = np.linspace(0, 1, num_levels) * (len(ordered) - 1)
    below = places.astype("int64")
    above = np.minimum(below + 1, len(ordered) - 1)
    share = places - below
    return ordered[below] + share * (ordered[above] - ordered[below])
