"""Can a random forest over trials propose better ones than chance?

Three small networks, on scikit-learn's digits, wine and diabetes, each trained
in 160 trials with random hyperparameters. A search draws from these trials:
either 20 of them, or 10 and then the 10 of the others for which a forest
predicts the lowest loss. Both searches begin with the same 10, and the lowest
validation loss that they have seen is compared, over 10 repeats and over 100.

The goal for a method `propose()`: in 10 repeats lower by more than two standard
errors on two tasks, and higher on none.

    python benchmarks/search.py [--write]
"""

import _measure as measure
import keras
import numpy as np
from sklearn import datasets
from sklearn.ensemble import RandomForestRegressor

from keras_fast.callbacks import ParamScheduler
from keras_fast.schedules import one_cycle
from keras_fast.search import trial_importance

TRIALS, FIRST, REPEATS, MORE_REPEATS = 160, 10, 10, 100
# Rows to train on, and how often each is seen.
TASKS = {"digits": (900, 6), "wine": (118, 20), "diabetes": (294, 10)}


class VariableDropout(keras.layers.Layer):
    """Dropout whose rate changes without another trace."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.rate = self.add_weight(shape=(), initializer="zeros")
        self.rate.trainable = False
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x, training=False):
        if not training:
            return x
        shape = keras.ops.shape(x)
        kept = keras.random.uniform(shape, seed=self.seeds) >= self.rate
        return x * keras.ops.cast(kept, x.dtype) / (1 - self.rate)


def load(task):
    """x_train, y_train, x_valid, y_valid; columns of mean 0 and spread 1."""
    x, y = getattr(datasets, f"load_{task}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order]
    rows = TASKS[task][0]
    spread = x[:rows].std(axis=0)
    x = (x - x[:rows].mean(axis=0)) / np.where(spread > 0, spread, 1)
    x = np.clip(x, -5, 5).astype("float32")
    if task == "diabetes":
        y = (y - y[:rows].mean()) / y[:rows].std()
    return x[:rows], y[:rows], x[rows:], y[rows:]


def build(width, num_inputs, num_outputs):
    model = keras.Sequential(
        [
            keras.Input((num_inputs,)),
            keras.layers.Dense(width, activation="relu"),
            VariableDropout(),
            keras.layers.Dense(width, activation="relu"),
            keras.layers.Dense(num_outputs),
        ]
    )
    loss = keras.losses.MeanSquaredError()
    if num_outputs > 1:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(), loss, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model


def start_anew(model, seed):
    keras.utils.set_random_seed(seed)
    model.set_weights(keras.models.clone_model(model).get_weights())
    for variable in model.optimizer.variables:
        if variable is not model.optimizer.learning_rate:
            variable.assign(keras.ops.zeros_like(variable))


def draw(rng):
    return {
        "learning_rate": float(10 ** rng.uniform(-4, -1)),
        "weight_decay": float(10 ** rng.uniform(-4, 0)),
        "batch_size": int(2 ** rng.integers(4, 8)),
        "width": int(2 ** rng.integers(3, 8)),
        "dropout": float(rng.uniform(0, 0.6)),
    }


def train(model, trial, data, passes, rng):
    x, y, x_valid, y_valid = data
    order = [rng.permutation(len(x)) for _ in range(passes)]
    order = np.concatenate(order)
    model.layers[1].rate.assign(trial["dropout"])
    plan = ParamScheduler(
        learning_rate=lambda p: one_cycle(p, trial["learning_rate"]),
        weight_decay=lambda p: trial["weight_decay"],
    )
    model.fit(
        x[order],
        y[order],
        batch_size=trial["batch_size"],
        shuffle=False,
        callbacks=[plan],
        verbose=0,
    )
    return float(model.loss(y_valid, model(x_valid, training=False)))


def run(task):
    data = load(task)
    outputs = 1 if task == "diabetes" else int(data[1].max()) + 1
    rng = np.random.default_rng(1)
    models, trials = {}, []
    for seed in range(TRIALS):
        trial = draw(rng)
        width = trial["width"]
        if width not in models:
            models[width] = build(width, data[0].shape[1], outputs)
        start_anew(models[width], seed)
        loss = train(models[width], trial, data, TASKS[task][1], rng)
        trials.append({**trial, "loss": loss})
    return trials


def proposed(x, losses, first, others):
    """The trials among the others with the lowest predicted loss."""
    forest = RandomForestRegressor(300, random_state=0)
    forest.fit(x[first], losses[first])
    predicted = forest.predict(x[others])
    return others[np.argsort(predicted, kind="stable")[:FIRST]]


def compare(trials):
    """Lowest losses of both searches, (repeats, 2)."""
    x = np.array([[t[name] for name in t if name != "loss"] for t in trials])
    losses = np.array([trial["loss"] for trial in trials])
    found = []
    for seed in range(MORE_REPEATS):
        order = np.random.default_rng(seed).permutation(len(trials))
        first, others = order[:FIRST], order[FIRST:]
        guided = np.append(first, proposed(x, losses, first, others))
        found.append([losses[order[: 2 * FIRST]].min(), losses[guided].min()])
    return np.array(found)


def row(task, repeats, found):
    difference = found[:, 1] - found[:, 0]
    error = difference.std(ddof=1) / len(difference) ** 0.5
    wins, losses = np.sum(difference < 0), np.sum(difference > 0)
    return [
        task,
        repeats,
        *(f"{mean:.4f}" for mean in found.mean(axis=0)),
        f"{difference.mean():+.4f} ± {error:.4f}",
        f"{wins} / {losses}",
    ]


def main():
    rows, fits = [], []
    for task in TASKS:
        trials = run(task)
        found = compare(trials)
        for repeats in (REPEATS, MORE_REPEATS):
            rows.append(row(task, repeats, found[:repeats]))
        result = trial_importance(trials, "loss")
        first = list(result.importances.items())[:3]
        named = ", ".join(f"{name} {value:.2f}" for name, value in first)
        fits.append([task, f"{result.r2:.2f}", named])
    head = ["task", "repeats", "20 random", "10 and 10 proposed"]
    head += ["difference ± standard error", "better / worse"]
    text = measure.table(head, rows)
    head = ["task, all 160 trials", "R²", "importances"]
    measure.report("search", f"{text}\n\n{measure.table(head, fits)}")


if __name__ == "__main__":
    main()
