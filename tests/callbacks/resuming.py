"""A small training that is killed, for checkpoints to resume."""

from pathlib import Path

import keras
from helpers import (
    data,
    mlp,
    sgd,
)

EPOCHS = 4  # of ten batches
CHECKPOINT = "training.save"
DATA = Path(__file__).parents[1] / "data"


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Ends a training without its knowledge."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Killed


def layers():
    return keras.layers.Dropout(0.3), keras.layers.BatchNormalization()


def train(make, *callbacks, x=None, **arguments):
    keras.utils.set_random_seed(0)
    model = make()
    if x is None:
        x, arguments["y"] = data()
        arguments["batch_size"] = 4
    history = model.fit(
        x,
        epochs=EPOCHS,
        verbose=0,
        callbacks=[c for c in callbacks if c is not None],
        **arguments,
    )
    return model, history.history


def small():
    return mlp(sgd(), keras.layers.Dropout(0.3))
