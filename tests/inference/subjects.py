"""Small classifiers whose weights are always the same, and their data."""

import keras
import numpy as np
from helpers import BACKEND

CLASSES = 3
SHAPE = (8, 8, 2)


def images(n=20, seed=1):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, *SHAPE)).astype("float32")
    return x, rng.integers(CLASSES, size=n)


def cnn(
    units=CLASSES,
    activation="softmax",
    loss="sparse_categorical_crossentropy",
    seed=2,
):
    """A CNN with all that has a state: statistics, dropout, metrics."""
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Conv2D(4, 3, padding="same", name="conv"),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(name="maps"),
            keras.layers.Dropout(0.5),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(units, activation, name="scores"),
        ]
    )
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        scale = 0.2 if "variance" not in variable.path else 0.0
        value = rng.normal(scale=scale, size=variable.shape)
        base = 1.0 if variable.name in ("gamma", "moving_variance") else 0.0
        variable.assign(base + value)
    kernel = model.get_layer("scores").kernel
    values = rng.normal(scale=9, size=kernel.shape)
    kernel.assign(values - values.mean(axis=0))  # scores on either side of 0
    model.compile("adam", loss, metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)
    return model


class Batches(keras.utils.PyDataset):
    def __init__(self, x, y, size=6):
        super().__init__()
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return -(-len(self.x) // self.size)

    def __getitem__(self, i):
        rows = slice(i * self.size, (i + 1) * self.size)
        return self.x[rows], self.y[rows]


def generated(x, y):
    data = Batches(x, y)
    return (data[i] for i in range(len(data)))


def loader(x, y):
    import torch

    data = torch.utils.data.TensorDataset(
        torch.as_tensor(x), torch.as_tensor(y)
    )
    return torch.utils.data.DataLoader(data, batch_size=6)


def tf_data(x, y, weights=None):
    import tensorflow as tf

    columns = (x, y) if weights is None else (x, y, weights)
    return tf.data.Dataset.from_tensor_slices(columns).batch(6)


def unknown_length(x, y):
    return tf_data(x, y).filter(lambda x, y: True)


def weighted(x, y):
    return tf_data(x, y, np.zeros(len(x), "float32"))


def tensors(x, y):
    return keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(y)


# Everything that `fit()` takes, as positional arguments behind the model.
FORMS = {
    "arrays": lambda x, y: (x, y),
    "tensors": tensors,
    "tf.data": lambda x, y: (tf_data(x, y),),
    "unknown length": lambda x, y: (unknown_length(x, y),),
    "weights": lambda x, y: (weighted(x, y),),
    "PyDataset": lambda x, y: (Batches(x, y),),
    "generator": lambda x, y: (generated(x, y),),
}
if BACKEND == "torch":
    FORMS["DataLoader"] = lambda x, y: (loader(x, y),)
