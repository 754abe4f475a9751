"""The tasks of lr_find_regret.py: small ones, tables and ratings.

Those of tables and ratings are a recipe of tabular.py or collaborative.py, on
an inner part of its training data.
"""

from functools import partial

import collaborative
import keras
import numpy as np
import tabular
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from keras_fast import decay_weights_only, lr_find
from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import collaborative_filter, tabular_model


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


class Task:
    """One compiled model that starts anew as often as it is asked to.

    `build(seed)` returns it, compiled; `test` is `(x, y)`.
    """

    def __init__(self, build, x, y, test, batch_size, epochs):
        self.build, self.x, self.y, self.test = build, x, y, test
        self.batch_size, self.epochs = batch_size, epochs
        self.model = build(0)
        self.model.optimizer.build(self.model.trainable_variables)

    def restart(self, seed):
        keras.utils.set_random_seed(seed)
        self.model.set_weights(self.build(seed).get_weights())
        for variable in self.model.optimizer.variables:
            if variable is not self.model.optimizer.learning_rate:
                variable.assign(keras.ops.zeros_like(variable))

    def evaluate(self):
        return self.model.evaluate(
            *self.test, batch_size=1024, verbose=0, return_dict=True
        )

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


def small(data, layers, optimizer, batch_size, epochs):
    """A stack of layers, and what Keras compiles with by default."""
    x, y, *test = data()
    classes = y.dtype.kind != "f"
    outputs = int(y.max()) + 1 if classes else 1
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def build(seed):
        keras.utils.set_random_seed(seed)
        head = keras.layers.Dense(outputs)
        model = keras.Sequential([keras.Input(x.shape[1:]), *layers(), head])
        model.compile(
            optimizer(),
            logits if classes else "mse",
            metrics=["accuracy"] if classes else None,
        )
        return model

    return Task(build, x, y, test, batch_size, epochs)


def of_table(name):
    """A table of tabular.py, with its recipe."""
    _, inner, regression, _, changes = tabular.TASKS[name]
    part, changes = inner(), dict(changes)
    recipe = {k: changes.pop(k, v) for k, v in tabular.RECIPE.items()}
    encoder = TableEncoder(**part.columns, min_count=recipe["min_count"])
    encoder.adapt(part.train)
    logits = keras.losses.BinaryCrossentropy(from_logits=True)
    if regression:
        changes["targets"] = part.y

    def build(seed):
        keras.utils.set_random_seed(seed)
        model = tabular_model(encoder, 1, **changes)
        optimizer = keras.optimizers.AdamW(
            weight_decay=recipe["weight_decay"], beta_2=0.99
        )
        model.compile(optimizer, "mse" if regression else logits)
        decay_weights_only(model)
        return model

    test = encoder(part.test), part.y_test
    x = encoder(part.train)
    return Task(build, x, part.y, test, 256, recipe["epochs"])


def of_ratings(name):
    """Ratings of collaborative.py, with its recipe."""
    table, y = collaborative.TASKS[name][0]()
    train, test = next(collaborative.folds(y, inner=True))
    encoder = TableEncoder([*table.columns])
    encoder.adapt(table.iloc[train])

    def build(seed):
        keras.utils.set_random_seed(seed)
        model = collaborative_filter(
            encoder, y_range=(0, 5.5), targets=y[train]
        )
        optimizer = keras.optimizers.AdamW(
            weight_decay=0.4, beta_2=0.99, epsilon=1e-5
        )
        model.compile(optimizer, "mse")
        return model

    x, x_test = (encoder(table.iloc[part]) for part in (train, test))
    return Task(build, x, y[train], (x_test, y[test]), 256, 5)


SMALL = {
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
TASKS = {
    **{name: partial(small, *task) for name, task in SMALL.items()},
    "diamonds, tabular_model, AdamW": partial(of_table, "diamonds, 5 epochs"),
    "adult, tabular_model, AdamW": partial(of_table, "adult"),
    "ML-100k, factors, AdamW": partial(of_ratings, "ML-100k"),
    "ml-latest-small, factors, AdamW": partial(of_ratings, "ml-latest-small"),
}
