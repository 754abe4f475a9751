"""Which value at this progress? Plain functions of progress, 0 to 1."""

from keras_fast.schedules.anneal import (
    cosine,
    exponential,
    join,
    linear,
    polynomial,
)
from keras_fast.schedules.policies import (
    flat_cosine,
    one_cycle,
    sgdr,
    slanted_triangular,
    triangular,
)

__all__ = [
    "cosine",
    "exponential",
    "flat_cosine",
    "join",
    "linear",
    "one_cycle",
    "polynomial",
    "sgdr",
    "slanted_triangular",
    "triangular",
]
