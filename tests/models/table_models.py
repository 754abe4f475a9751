"""A small table and small ratings, and models of them that train fast."""

import functools

import keras
import numpy as np

from keras_fast.data import TableEncoder
from keras_fast.models import collaborative_filter, tabular_model

ROWS = 96
RNG = np.random.default_rng(0)
TABLE = {
    "cut": RNG.choice(["Fair", "Good", "Ideal"], ROWS),
    "colour": RNG.integers(0, 7, ROWS),
    "carat": RNG.exponential(size=ROWS),
    "depth": np.where(np.arange(ROWS) % 5, RNG.normal(60, 2, ROWS), np.nan),
    "sold": np.datetime64("2024-01-30") + RNG.integers(0, 60, ROWS),
}
COLUMNS = {
    "categorical": ["cut", "colour"],
    "numerical": ["carat", "depth"],
    "dates": ["sold"],
}
PRICE = 1e4 + 3e3 * TABLE["carat"] + 1e3 * (TABLE["cut"] == "Ideal")

USERS, FILMS = 9, 12
RATINGS = {
    "user": RNG.integers(0, USERS, 240),
    "film": np.array([f"film {i}" for i in range(FILMS)])[
        RNG.integers(0, FILMS, 240)
    ],
}
STARS = (1 + RATINGS["user"] % 5).astype("float32")


@functools.cache
def encoder():
    made = TableEncoder(**COLUMNS)
    made.adapt(TABLE)
    return made


@functools.cache
def rated():
    made = TableEncoder(["user", "film"])
    made.adapt(RATINGS)
    return made


def tabular(**arguments):
    arguments = {"units": (16, 8), "targets": PRICE, **arguments}
    return tabular_model(encoder(), 1, **arguments)


def collaborative(**arguments):
    arguments = {"num_factors": 4, "y_range": (0, 5.5), **arguments}
    return collaborative_filter(rated(), **arguments)


def compiled(model, rate=1e-2, *, traced=False):
    """For a few steps, tracing takes longer than it saves."""
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01)
    how = {"jit_compile": False} if traced else {"run_eagerly": True}
    model.compile(optimizer, "mse", **how)
    return model


def fit(model, epochs=2, **arguments):
    x, y = data(model)
    how = {"batch_size": 32, "shuffle": False, "verbose": 0}
    return model.fit(x, y, epochs=epochs, **how, **arguments)


def data(model):
    if model.name == "tabular_model":
        return encoder()(TABLE), PRICE
    return rated()(RATINGS), STARS


def predict(model, x=None):
    """What `model.predict` returns, without a trace."""
    x = data(model)[0] if x is None else x
    x = {name: keras.ops.convert_to_tensor(x[name]) for name in x}
    return keras.ops.convert_to_numpy(model(x, training=False))
