"""Small tables, and models of them that need no training."""

import functools

import keras
import numpy as np

from keras_fast.data import TableEncoder
from keras_fast.models import collaborative_filter, tabular_model

ROWS = 30
FILMS = ["Heat", "Jaws", "Up", "Wall-E"]


def sales():
    """A category, a number that is missing at times, and a date."""
    rng = np.random.default_rng(0)
    carat = rng.uniform(size=ROWS)
    carat[::7] = np.nan
    days = np.datetime64("2023-12-20") + rng.integers(99, size=ROWS)
    return {
        "cut": rng.choice(["Fair", "Good", "Ideal"], size=ROWS),
        "carat": carat,
        "sold": days,
    }


@functools.cache
def tabular():
    encoder = TableEncoder(["cut"], ["carat"], dates=["sold"])
    encoder.adapt(sales())
    model = tabular_model(encoder, 1, units=(8,), num_bins=4)
    filled(model)
    model.compile("sgd", "mse", metrics=["mae"])
    return model, encoder


def filled(model):
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.normal(size=variable.shape))


def ratings():
    films = [FILMS[i] for i in (0, 1, 1, 2, 2, 2, 3)]
    return {"user": [7, 7, 8, 7, 8, 9, 9], "film": films}


@functools.cache
def collaborative():
    encoder = TableEncoder(["user", "film"])
    encoder.adapt(ratings())
    model = collaborative_filter(encoder, num_factors=3, y_range=(0, 5.5))
    filled(model)
    return model


def rows_of(model, name, kind):
    """The variable of an embedding, by its name."""
    [found] = [v for v in model.weights if f"{name}_{kind}/" in v.path]
    return keras.ops.convert_to_numpy(found)
