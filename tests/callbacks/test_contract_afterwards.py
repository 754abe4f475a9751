"""What does a callback leave behind?"""

import copy
import os
import pickle
import subprocess
import sys
from functools import cache

import keras
import numpy as np
import pytest
from contract import (
    MAKE,
    UPDATES,
    every_callback,
    every_scheduler,
    expected,
    trained,
)
from helpers import (
    BACKEND,
    adam,
    attribute,
    data,
    distance,
    fit,
    leaf,
    mlp,
    put,
    sgd,
    state,
    weights,
)

from keras_fast import callbacks


class Counted(keras.layers.Layer):
    """Counts how often Python runs through it."""

    def build(self, shape):
        self.__dict__["traces"] = 0

    def call(self, x):
        self.__dict__["traces"] += 1
        return x


@cache
def counting():
    counted = Counted()
    # Without `jit_compile` JAX does not compile at all.
    jit_compile = BACKEND == "jax"
    return mlp(adam(), counted, jit_compile=jit_compile), counted


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
@every_callback
@pytest.mark.matrix(4)
def test_second_fit_does_not_trace(name):
    model, counted = counting()
    fit(model, *data(2), MAKE[name](4))
    traces = counted.traces
    assert traces > 0
    fit(model, *data(2), MAKE[name](8), epochs=4)
    assert counted.traces == traces


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
def test_another_schedule_and_a_plain_fit_do_not_trace():
    model, counted = counting()
    fit(model, *data(2), callbacks.OneCycle(0.1))
    traces = counted.traces
    fit(model, *data(2), callbacks.FlatCosine(0.1))
    fit(model, *data(2))
    assert counted.traces == traces


@every_scheduler
@pytest.mark.matrix(3)
def test_a_used_schedule_can_be_copied(name):
    model, _ = counting()
    callback = MAKE[name](4)
    fit(model, *data(2), callback)
    for other in copy.deepcopy(callback), pickle.loads(pickle.dumps(callback)):
        assert other.model is None
        wanted = callback.curve(6, epochs=2)
        assert {k: v.tolist() for k, v in other.curve(6, epochs=2).items()} == {
            k: v.tolist() for k, v in wanted.items()
        }
        fit(model, *data(2), other)


def hyperparameters(optimizer):
    inner = leaf(optimizer)
    names = {attribute(inner, "learning_rate"), attribute(inner, "momentum")}
    return {name: float(getattr(inner, name)) for name in names}


class Watch(keras.callbacks.Callback):
    """Takes down the optimizer's config at the end of every batch."""

    def __init__(self):
        super().__init__()
        self.configs = []

    def on_train_batch_end(self, batch, logs=None):
        self.configs.append(self.model.optimizer.get_config())


class Fails(keras.callbacks.Callback):
    def __init__(self, batch):
        super().__init__()
        self.fails_at = batch

    def on_train_batch_end(self, batch, logs=None):
        if batch == self.fails_at:
            # On JAX this brings the variables up to date.
            raise RuntimeError(f"killed in {self.model.name}")


@every_callback
@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.matrix(9)
def test_hyperparameters_and_config_stay_the_optimizers_own(name, optimizer):
    model, start = trained(optimizer, False, 1, (), "float32")
    put(model, start)
    before = hyperparameters(model.optimizer)
    config = model.optimizer.get_config()
    watch = Watch()
    fit(model, *data(2), MAKE[name](4), watch)
    assert len(watch.configs) == 4
    assert all(c == config for c in watch.configs)
    assert hyperparameters(model.optimizer) == before
    assert model.optimizer.get_config() == config


@every_callback
@pytest.mark.matrix(4)
def test_after_an_exception_training_is_plain_again(name):
    model, start = trained(adam, False, 1, (), "float32")
    put(model, start)
    before = hyperparameters(model.optimizer)
    config = model.optimizer.get_config()
    with pytest.raises(RuntimeError, match="killed"):
        fit(model, *data(), MAKE[name](UPDATES), Fails(3))
    assert hyperparameters(model.optimizer) == before
    assert model.optimizer.get_config() == config
    plain = mlp(adam())
    put(plain, state(model))
    fit(model, *data())
    fit(plain, *data())
    assert distance(weights(model), weights(plain)) <= 1e-6


def test_after_an_exception_a_schedule_starts_anew():
    model = mlp(adam())
    with pytest.raises(RuntimeError, match="killed"):
        fit(model, *data(), callbacks.OneCycle(0.5), Fails(3))
    put(model, state(mlp(adam())))
    fit(model, *data(), MAKE["FlatCosine"](UPDATES))
    wanted = expected("FlatCosine", adam, (), "float32")
    assert distance(weights(model), wanted) <= 2e-6


ALONE = """
import sys
sys.modules["keras_fast"] = None
import keras, numpy as np
from helpers import data, fit, weights
model = keras.models.load_model(sys.argv[1])
fit(model, *data())
np.save(sys.argv[2], weights(model))
"""


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.optimized
@pytest.mark.matrix(1)
def test_saved_model_loads_and_trains_without_keras_fast(optimizer, tmp_path):
    model = mlp(optimizer())
    recorder = callbacks.Recorder()
    fit(model, *data(), callbacks.OneCycle(0.05), recorder)
    path, result = tmp_path / "model.keras", tmp_path / "weights.npy"
    model.save(path)
    environment = os.environ | {
        "PYTHONPATH": os.path.dirname(os.path.dirname(__file__))
    }
    subprocess.run(
        [sys.executable, "-c", ALONE, str(path), str(result)],
        env=environment,
        check=True,
        timeout=300,
    )
    fit(model, *data())
    np.testing.assert_array_equal(np.load(result), weights(model))
