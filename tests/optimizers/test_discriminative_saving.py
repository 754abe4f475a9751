"""Does a DiscriminativeOptimizer come back from a file as it was?"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import BACKEND, BATCH, adam, data, distance, fit, mlp, sgd, weights
from references import Momentum

from keras_fast import freeze_to, layer_multipliers, unfreeze
from keras_fast.callbacks import OneCycle
from keras_fast.optimizers import DiscriminativeOptimizer

JIT = BACKEND == "jax"


def three(make=sgd, wrap=lambda optimizer: optimizer):
    """A network of three layers of two variables."""
    optimizer = DiscriminativeOptimizer(make(), [0.1, 0.1, 0.5, 0.5, 1.0, 1.0])
    hidden = keras.layers.Dense(5, activation="tanh")
    return mlp(wrap(optimizer), hidden, jit_compile=JIT)


def configs_equal(a, b):
    return keras.saving.serialize_keras_object(
        a
    ) == keras.saving.serialize_keras_object(b)


def test_config_round_trips():
    optimizer = DiscriminativeOptimizer(
        keras.optimizers.AdamW(0.01, weight_decay=0.3, clipnorm=1.0),
        np.array([0.1, 1.0], "float32"),
        name="by_layer",
    )
    config = optimizer.get_config()
    assert config["name"] == "by_layer"
    assert config["multipliers"] == [float(np.float32(0.1)), 1.0]
    assert config["inner_optimizer"]["class_name"] == "AdamW"
    assert set(config) == {"name", "inner_optimizer", "multipliers"}
    again = DiscriminativeOptimizer.from_config(config)
    assert configs_equal(again, optimizer)
    # The config is not used up.
    assert configs_equal(DiscriminativeOptimizer.from_config(config), again)
    text = keras.saving.serialize_keras_object(optimizer)
    assert text["registered_name"] == "keras_fast>DiscriminativeOptimizer"
    restored = keras.saving.deserialize_keras_object(text)
    assert isinstance(restored, DiscriminativeOptimizer)
    assert configs_equal(restored, optimizer)
    assert configs_equal(keras.optimizers.get(text), optimizer)


def test_an_optimizer_can_be_named():
    optimizer = DiscriminativeOptimizer("adam", [1.0])
    assert isinstance(optimizer.inner_optimizer, keras.optimizers.Adam)


ALONE = """
import sys
import keras, numpy as np
import keras_fast
from helpers import data, fit
for path in sys.argv[1:]:
    model = keras.models.load_model(path)
    fit(model, *data(3))
    keras_fast.unfreeze(model)
    fit(model, *data(3))
    np.savez(path + ".npz", *model.get_weights())
"""


def run_alone(*paths):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, paths)],
        env=environment,
        check=True,
        timeout=300,
    )


@pytest.mark.optimized
@pytest.mark.matrix(2)
def test_saved_and_loaded_it_trains_on_bit_for_bit(tmp_path):
    models = {}
    for make in (sgd, adam):
        models[f"{make.__name__}.keras"] = three(make)
    models["scheduled.keras"] = three(sgd)
    models["scale.keras"] = three(adam, keras.optimizers.LossScaleOptimizer)
    for name, model in models.items():
        callbacks = [OneCycle(0.1)] * (name == "scheduled.keras")
        fit(model, *data(3), *callbacks)
        model.save(tmp_path / name)
    # Frozen from the start: there are no slots that the file leaves out.
    frozen = three(adam)
    freeze_to(frozen, 1)
    fit(frozen, *data(3))
    frozen.save(tmp_path / "frozen.keras")
    models["frozen.keras"] = frozen
    run_alone(*(tmp_path / name for name in models))
    for name, model in models.items():
        fit(model, *data(3))
        unfreeze(model)
        fit(model, *data(3))
        loaded = np.load(tmp_path / f"{name}.npz")
        for wanted, key in zip(model.get_weights(), loaded, strict=True):
            np.testing.assert_array_equal(loaded[key], wanted, err_msg=name)


@pytest.mark.parametrize("group", [0, 2])
def test_saved_before_it_trained(tmp_path, group):
    model = three()
    reference = Momentum(model.get_weights())
    reference.rates = [0.005, 0.005, 0.025, 0.025, 0.05, 0.05]
    optimizer = DiscriminativeOptimizer(
        sgd(), layer_multipliers(model, [0.1, 0.5, 1.0])
    )
    freeze_to(model, group)
    model.compile(optimizer, "mse", jit_compile=JIT)
    model.save(tmp_path / "model.keras")
    # Keras says that there is no state yet to load.
    with pytest.warns(UserWarning, match="Skipping variable loading"):
        model = keras.models.load_model(tmp_path / "model.keras")
    for first in (group, 0, 1):
        freeze_to(model, first)
        reference.trained = [i // 2 >= first for i in range(6)]
        fit(model, *data(3), epochs=1)
        reference.train(*data(3), BATCH)
        pairs = zip(model.get_weights(), reference.weights, strict=True)
        assert max(distance(a, b) for a, b in pairs) <= 1e-6


def test_a_copy_of_the_model_gets_its_own(tmp_path):
    model = three()
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    copy.compile_from_config(model.get_compile_config())
    for each in (model, copy):
        fit(each, *data(3))
    np.testing.assert_array_equal(weights(model), weights(copy))
