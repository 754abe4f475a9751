"""Is the model what it was, however a sweep ends?"""

import hashlib
import pickle
import random
from functools import cache, partial

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    adam,
    data,
    fit,
    mlp,
    put,
    sgd,
    state,
)

from keras_fast import lr_find
from keras_fast.callbacks import OneCycle
from keras_fast.optimizers import DiscriminativeOptimizer


def in_groups():
    return DiscriminativeOptimizer(adam(), [0.1, 0.1, 0.5, 0.5, 1.0, 1.0])


# The optimizer and the policy of each.
SET_UPS = {
    "momentum": (sgd, "float32"),
    "adam": (adam, "float32"),
    "mixed_float16": (adam, "mixed_float16"),
    "groups": (in_groups, "float32"),
    "ema": (
        partial(adam, use_ema=True, ema_overwrite_frequency=7),
        "float32",
    ),
}


def make(name, built=True):
    """A model with statistics and random state of its own."""
    optimizer, policy = SET_UPS[name]
    keras.config.set_dtype_policy(policy)
    try:
        layers = [
            keras.layers.Dense(5),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2, seed=1),
            keras.layers.Dense(1, dtype="float32"),
        ]
        model = keras.Sequential([keras.Input((4,))] * built + layers)
        model.compile(optimizer(), "mse", metrics=["mae"])
        return model
    finally:
        keras.config.set_dtype_policy("float32")


@cache
def trained(name):
    model = make(name)
    fit(model, *data(), epochs=1)
    # On JAX Keras leaves weights and their averages in the same memory, and
    # its next fit fails over that.
    put(model, state(model))
    return model


def traces(model):
    """All that a caller could see of a sweep."""
    variables = [
        *model.variables,
        *model.metrics_variables,
        *model.optimizer.variables,
    ]
    digest = hashlib.sha256()
    for variable in variables:
        digest.update(variable.path.encode())
        digest.update(np.array(variable.numpy()).tobytes())
    digest.update(pickle.dumps(random.getstate()))
    digest.update(pickle.dumps(np.random.get_state()))
    return {
        "variables": len(variables),
        "digest": digest.hexdigest(),
        "stop_training": model.stop_training,
        "history": id(model.history),
        "train_function": id(model.train_function),
        "compute_loss": model.compute_loss,
        "config": model.optimizer.get_config(),
        "compiled": model.get_compile_config(),
        "metrics": [m.name for m in model.metrics],
    }


def out_of_memory():
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.errors.ResourceExhaustedError(None, None, "OOM")
    return MemoryError("OOM")


class Raises(keras.callbacks.Callback):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch, logs=None):
        if batch == 5:
            raise self.error


def failing_batches():
    x, y = data()
    for start in range(0, 20, 4):
        yield x[start : start + 4], y[start : start + 4]
    raise RuntimeError("lost the disk")


def failures():
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return RuntimeError, tf.errors.OpError
    return RuntimeError


def leave(model, way):
    x, y = data()
    sweep = partial(lr_find, model, batch_size=4, num_steps=25)
    match way:
        case "normal":
            result = sweep(x, y, end_lr=1e-3, stop_factor=1e9)
            assert result.stop_reason == "completed"
        case "divergence":
            result = sweep(x, y, start_lr=1e-3, end_lr=1e6)
            assert result.stop_reason == "diverged"
        case "nan":
            y[30] = np.nan
            result = sweep(x, y, end_lr=1e-3, stop_factor=1e9, shuffle=False)
            assert result.stop_reason == "non_finite"
            assert result.losses.shape == (7,)
        case "short":
            result = sweep(x[:4], y[:4], end_lr=1e-3, stop_factor=1e9)
            assert result.losses.shape == (25,)
        case "generator":
            with pytest.raises(failures()):
                lr_find(model, failing_batches(), num_steps=25)
        case _:
            error = {
                "exception": ValueError("mine"),
                "interrupt": KeyboardInterrupt(),
                "memory": out_of_memory(),
            }[way]
            with pytest.raises(type(error)):
                sweep(x, y, callbacks=[Raises(error)])


WAYS = (
    "normal",
    "divergence",
    "nan",
    "exception",
    "interrupt",
    "memory",
    "short",
    "generator",
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SET_UPS)
@pytest.mark.matrix(10)
def test_leaves_no_trace(name, way):
    model = trained(name)
    model.stop_training = True
    before = traces(model)
    leave(model, way)
    assert traces(model) == before


@pytest.mark.parametrize("built", [True, False], ids=["built", "unbuilt"])
@pytest.mark.parametrize("name", SET_UPS)
@pytest.mark.matrix(2)
def test_next_fit_is_as_if_there_had_been_no_sweep(name, built):
    ended = []
    for sweeps in (False, True):
        keras.utils.set_random_seed(3)
        model = make(name, built)
        if sweeps:
            lr_find(model, *data(), batch_size=4, num_steps=25)
        x, y = data()
        # Shuffled: the random state of the process counts too.
        history = model.fit(x, y, batch_size=4, epochs=2, verbose=0)
        ended.append((state(model), history.history))
    for plain, swept in zip(ended[0][0], ended[1][0], strict=True):
        np.testing.assert_array_equal(plain, swept)
    assert ended[0][1] == ended[1][1]


def test_between_two_scheduled_fits():
    ended = []
    for sweeps in (False, True):
        model = mlp(adam())
        fit(model, *data(), OneCycle(0.05))
        if sweeps:
            lr_find(model, *data(), batch_size=4, num_steps=25)
        fit(model, *data(), OneCycle(0.05))
        ended.append(state(model))
    for plain, swept in zip(*ended, strict=True):
        np.testing.assert_array_equal(plain, swept)


class Drawn(keras.utils.PyDataset):
    """Batches of rows that each draw at random."""

    num_batches = 3

    def __getitem__(self, index):
        x, y = data()
        random.random()
        rows = np.random.permutation(len(x))[:4]
        return x[rows], y[rows]


def test_what_the_data_draw_at_random_is_put_back():
    model = mlp(adam())
    before = random.getstate(), *map(str, np.random.get_state())
    lr_find(model, Drawn(), num_steps=6)
    assert (random.getstate(), *map(str, np.random.get_state())) == before
