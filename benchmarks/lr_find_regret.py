"""What does it cost to believe a suggestion of `lr_find`?

Small tasks, each with its model and optimizer. A grid of maximum rates is
trained with a short 1cycle; the validation loss at any rate in between is
read off that curve (linear in the logarithms). Then `lr_find` sweeps, with
several lengths and seeds, and each of its five rules suggests a rate.

    regret = log(loss at the suggested rate / lowest loss on the grid)

0 is as good as the best rate of the grid, 0.69 twice its loss. The loss at a
rate is the mean over seeds; a run that ends above the loss of the untrained
model counts as that loss, and so does a rule that suggests nothing.

    spread = largest / smallest rate suggested for one task

In the table of tasks each rule has the median of its rates and regrets. A
quarter of an hour on one core.

    python benchmarks/lr_find_regret.py [--write]
"""

import _measure as measure
import keras
import numpy as np
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from keras_fast import lr_find
from keras_fast.callbacks import OneCycle

RATES = np.logspace(-3.5, 0.5, 13)
TRAIN_SEEDS = (0, 1)
NUM_STEPS = (50, 100, 200, 400)
SWEEP_SEEDS = (10, 11, 12)
RULES = ("highest", "valley", "slide", "minimum", "steep")


# ---- tasks: data, layers, optimizer, batch size, epochs -------------------


def split(x, y):
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[: int(0.8 * len(x))], order[int(0.8 * len(x)) :]
    return x[train], y[train], x[test], y[test]


def digits(size=None):
    bunch = datasets.load_digits()
    x = (bunch.images / 16).astype("float32")[..., None]
    if size is None:
        x = x.reshape(len(x), -1)
    elif size != 8:
        x = np.asarray(keras.ops.image.resize(x, (size, size)))
    return split(x, bunch.target)


def table(x, y):
    x = StandardScaler().fit_transform(x).astype("float32")
    if y.dtype.kind == "f":
        y = StandardScaler().fit_transform(y[:, None]).astype("float32")
    return split(x, y)


def blobs():
    return table(
        *datasets.make_classification(
            4000, 40, n_informative=15, n_classes=5, random_state=1
        )
    )


def friedman():
    return table(*datasets.make_friedman1(3000, noise=1.0, random_state=0))


def cancer():
    return table(*datasets.load_breast_cancer(return_X_y=True))


def wine():
    return table(*datasets.load_wine(return_X_y=True))


def diabetes():
    return table(*datasets.load_diabetes(return_X_y=True))


def dense(*widths, norm=False):
    layers = []
    for width in widths:
        layers.append(keras.layers.Dense(width))
        # Short runs: its default momentum would still remember the start.
        layers += [keras.layers.BatchNormalization(momentum=0.9)] * norm
        layers.append(keras.layers.ReLU())
    return layers


def conv(*filters, norm=False):
    layers = []
    for width in filters:
        layers.append(keras.layers.Conv2D(width, 3, padding="same"))
        layers += [keras.layers.BatchNormalization(momentum=0.9)] * norm
        layers += [keras.layers.ReLU(), keras.layers.MaxPooling2D()]
    return [*layers, keras.layers.Flatten()]


def small_cnn():
    return conv(16, 32) + dense(64)


def adam():
    return keras.optimizers.Adam()


def sgd():
    return keras.optimizers.SGD(momentum=0.9)


TASKS = {
    "digits 32x32, CNN, Adam": (lambda: digits(32), small_cnn, adam, 64, 5),
    "digits 16x16, CNN, SGD": (lambda: digits(16), small_cnn, sgd, 64, 5),
    "digits 8x8, CNN+BN, Adam": (
        lambda: digits(8),
        lambda: conv(16, 32, norm=True) + dense(32),
        adam,
        32,
        4,
    ),
    "digits 8x8, CNN+BN, SGD": (
        lambda: digits(8),
        lambda: conv(16, 32, norm=True) + dense(32),
        sgd,
        32,
        4,
    ),
    "digits, MLP, Adam": (digits, lambda: dense(64, 64), adam, 32, 5),
    "digits, MLP, SGD": (digits, lambda: dense(64, 64), sgd, 32, 5),
    "synthetic, MLP+BN, Adam": (
        blobs,
        lambda: dense(100, 50, norm=True),
        adam,
        64,
        4,
    ),
    "synthetic, MLP+BN, SGD": (
        blobs,
        lambda: dense(100, 50, norm=True),
        sgd,
        64,
        4,
    ),
    "friedman, MLP, Adam": (friedman, lambda: dense(64, 64), adam, 64, 5),
    "cancer, MLP, Adam": (cancer, lambda: dense(32, 32), adam, 32, 5),
    "wine, MLP, SGD": (wine, lambda: dense(32), sgd, 16, 5),
    "diabetes, MLP, Adam": (diabetes, lambda: dense(64, 32), adam, 16, 4),
}


class Task:
    """One compiled model that starts anew as often as it is asked to."""

    def __init__(self, data, layers, optimizer, batch_size, epochs):
        self.x, self.y, *self.test = data()
        self.batch_size, self.epochs = batch_size, epochs
        classes = self.y.dtype.kind != "f"
        outputs = int(self.y.max()) + 1 if classes else 1
        head = keras.layers.Dense(outputs)
        self.model = keras.Sequential(
            [keras.Input(self.x.shape[1:]), *layers(), head]
        )
        crossentropy = keras.losses.SparseCategoricalCrossentropy
        self.model.compile(
            optimizer(),
            crossentropy(from_logits=True) if classes else "mse",
            metrics=["accuracy"] if classes else None,
        )
        self.model.optimizer.build(self.model.trainable_variables)

    def restart(self, seed):
        keras.utils.set_random_seed(seed)
        fresh = keras.models.clone_model(self.model)
        self.model.set_weights(fresh.get_weights())
        for variable in self.model.optimizer.variables:
            if variable is not self.model.optimizer.learning_rate:
                variable.assign(keras.ops.zeros_like(variable))

    def evaluate(self):
        return self.model.evaluate(*self.test, verbose=0, return_dict=True)

    def train(self, rate, seed, epochs=None):
        self.restart(seed)
        self.model.fit(
            self.x,
            self.y,
            batch_size=self.batch_size,
            epochs=epochs or self.epochs,
            callbacks=[OneCycle(float(rate))],
            verbose=0,
        )
        return self.evaluate()

    def sweep(self, num_steps, seed):
        self.restart(seed)
        return lr_find(
            self.model,
            self.x,
            self.y,
            batch_size=self.batch_size,
            num_steps=num_steps,
        ).suggestions


# ---- the study ------------------------------------------------------------


def study(task):
    task.restart(TRAIN_SEEDS[0])
    untrained = task.evaluate()["loss"]
    losses = [
        [task.train(rate, seed)["loss"] for rate in RATES]
        for seed in TRAIN_SEEDS
    ]
    losses = np.fmin(losses, untrained).mean(axis=0)  # NaN is untrained too
    found = [task.sweep(n, seed) for n in NUM_STEPS for seed in SWEEP_SEEDS]
    rates = {rule: [sweep[rule] for sweep in found] for rule in RULES}
    regrets = {
        rule: [regret(rate, losses, untrained) for rate in rates[rule]]
        for rule in RULES
    }
    return RATES[losses.argmin()], losses.min(), rates, regrets


def regret(rate, losses, untrained):
    if rate is None:
        return np.log(untrained / losses.min())
    curve = np.log(losses / losses.min())
    return float(np.interp(np.log(rate), np.log(RATES), curve))


def spread(rates):
    known = [rate for rate in rates if rate is not None]
    return max(known) / min(known) if known else np.nan


def tasks_table(results):
    rows = []
    for name, (best, loss, rates, regrets) in results.items():
        cells = []
        for rule in RULES:
            known = [rate for rate in rates[rule] if rate is not None]
            middle = f"{np.median(known):.1e}" if known else "none"
            cells.append(f"{middle}: {np.median(regrets[rule]):.2f}")
        rows.append([name, f"{best:.1e}", f"{loss:.3f}", *cells])
    return measure.table(["task", "best rate", "loss", *RULES], rows)


def summary_table(results):
    regrets = {
        rule: np.concatenate([each[3][rule] for each in results.values()])
        for rule in RULES
    }
    spreads = {
        rule: [spread(each[2][rule]) for each in results.values()]
        for rule in RULES
    }
    rows = [
        [name, *(f"{summary(values[rule]):.3g}" for rule in RULES)]
        for name, values, summary in (
            ("median regret", regrets, np.median),
            ("mean regret", regrets, np.mean),
            ("worst regret", regrets, np.max),
            ("median spread", spreads, np.nanmedian),
            ("worst spread", spreads, np.nanmax),
        )
    ]
    return measure.table(["over all tasks", *RULES], rows)


def main():
    results = {}
    for name, arguments in TASKS.items():
        print(name, flush=True)
        results[name] = study(Task(*arguments))
    tables = (summary_table(results), tasks_table(results))
    measure.report("lr_find_regret", "\n\n".join(tables))


if __name__ == "__main__":
    main()
