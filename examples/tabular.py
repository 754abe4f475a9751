"""What does a diamond cost? A network with embeddings for the words.

    pip install ".[tables]"
    python examples/tabular.py

The table has 53,940 diamonds: their cut, colour and clarity are words, their
size and shape are numbers. The network is compared with gradient boosting,
saved in one file, and asked about a new diamond.
"""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _tables import load, split
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import keras_fast
from keras_fast import inference
from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import tabular_model

WORDS = ["cut", "color", "clarity"]
NUMBERS = ["carat", "depth", "table", "x", "y", "z"]
BATCH_SIZE = 256
EPOCHS = 5
SEED = 0
# Both have one carat. The cut of the second is unknown.
NEW = {"cut": ["Ideal", None], "color": ["E", "E"], "clarity": ["VS1", "VS1"]}
SIZES = {"carat": 1, "depth": 61.8, "table": 55, "x": 6.4, "y": 6.4, "z": 4}
NEW |= {name: [size, size] for name, size in SIZES.items()}


def log_price(table):
    """Errors of a logarithm are shares of the price."""
    return np.log(table["price"].to_numpy())


def build(train):
    """A compiled network, with an encoder that knows the training data."""
    encoder = TableEncoder(WORDS, NUMBERS)
    encoder.adapt(train)
    model = tabular_model(encoder, 1, targets=log_price(train))
    optimizer = keras.optimizers.AdamW(weight_decay=0.01, beta_2=0.99)
    model.compile(optimizer, "mse")
    keras_fast.decay_weights_only(model)
    return model


def fit(train):
    """A trained network, and the rate that it was trained with."""
    model = build(train)
    x, y = TableEncoder.of(model)(train), log_price(train)
    # Careful: 2e-2, the rate of benchmarks/tabular.py, ends at 0.093.
    rate = keras_fast.lr_find(model, x, y, batch_size=BATCH_SIZE).suggestion
    cycle = [OneCycle(rate)]
    model.fit(x, y, BATCH_SIZE, epochs=EPOCHS, callbacks=cycle, verbose=0)
    return model, rate


def predict(model, table):
    """Logarithms of prices, whatever file or process the model is from."""
    x = TableEncoder.of(model)(table)
    return model.predict(x, batch_size=4096, verbose=0)[:, 0]


def boosting(train, test):
    """Predictions of 100 trees, each of which corrects those before."""
    codes = (OrdinalEncoder(), WORDS)
    columns = make_column_transformer(codes, ("passthrough", NUMBERS))
    trees = HistGradientBoostingRegressor(
        categorical_features=range(len(WORDS)), random_state=SEED
    )
    model = make_pipeline(columns, trees)
    return model.fit(train, log_price(train)).predict(test)


def main():
    keras.utils.set_random_seed(SEED)
    train, test = split(load("ggplot2", "diamonds"))
    y = log_price(test)
    print(f"{'error of the log of the price':<34}RMSE")

    def tell(name, predicted):
        print(f"{name:<34}{np.sqrt(np.mean((predicted - y) ** 2)):.4f}")

    tell("always the mean", log_price(train).mean())
    tell("gradient boosting, 100 trees", boosting(train, test))
    model, rate = fit(train)
    tell(f"network, {EPOCHS} epochs at {rate:.0e}", predict(model, test))

    print("\nHow much worse does it get without a column?")
    x = TableEncoder.of(model)(test)
    importance = inference.feature_importance(model, x, y)
    for i in np.argsort(-importance.importances):
        print(f"{importance.names[i]:<34}{importance.importances[i]:.3f}")

    # One file holds the network, the words it knows and the scales.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "diamonds.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    prices = np.exp(predict(loaded, NEW))
    print("\nA new diamond of one carat, of ideal cut and of unknown cut:")
    print(", ".join(f"${price:,.0f}" for price in prices))


if __name__ == "__main__":
    main()
