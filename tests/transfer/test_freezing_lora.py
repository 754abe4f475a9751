"""Does what `enable_lora` froze stay frozen?"""

import keras
import numpy as np
import pytest
from helpers import BACKEND, data, fit, sgd

from keras_fast import (
    decay_weights_only,
    fine_tune,
    freeze,
    freeze_to,
    layer_multipliers,
    training_plan,
    unfreeze,
)
from keras_fast.optimizers import DiscriminativeOptimizer

layers = keras.layers
JIT = BACKEND == "jax"


def network():
    """Three kinds of layers that can, and two without it."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(4, activation="tanh"),
            layers.Reshape((4, 1)),
            layers.Conv1D(3, 2),
            layers.EinsumDense("abc,cd->abd", (3, 3), bias_axes="d"),
            layers.Flatten(),
            layers.Dense(3, activation="tanh"),
            layers.Dense(1),
        ]
    )
    for place in (0, 2, 3):
        model.layers[place].enable_lora(2)
    return model


def bases(model):
    # `kernel` has the low-rank product added.
    return [model.layers[place]._kernel for place in (0, 2, 3)]


def numbers():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 6)).astype("float32")
    return x, x[:, :1]


def assert_frozen(model, before):
    for base, value in zip(bases(model), before, strict=True):
        assert not base.trainable
        np.testing.assert_array_equal(base.numpy(), value)


@pytest.mark.parametrize("groups", [False, True])
def test_frozen_and_set_free(groups):
    model = network()
    before = [base.numpy() for base in bases(model)]
    able = [v.path for v in model.trainable_variables]
    optimizer = sgd()
    if groups:
        multipliers = layer_multipliers(model, slice(1e-3, 1e-1))
        assert [v.path for v in multipliers.variables] == able
        optimizer = DiscriminativeOptimizer(optimizer, list(multipliers))
    model.compile(optimizer, "mse", jit_compile=JIT)
    for change in (unfreeze, freeze, unfreeze, lambda m: freeze_to(m, 1)):
        change(model)
        assert_frozen(model, before)
    unfreeze(model)
    fit(model, *numbers(), epochs=2)
    assert_frozen(model, before)
    assert [v.path for v in model.trainable_variables] == able
    assert np.any(model.layers[0].lora_kernel_b.numpy() != 0)


def test_embedding():
    model = keras.Sequential(
        [keras.Input((2,), dtype="int32"), layers.Embedding(5, 4)]
    )
    [embedding] = model.layers
    embedding.enable_lora(2)
    freeze_to(model, 0)
    embedding.trainable = False
    unfreeze(model)
    names = [v.name for v in model.trainable_variables]
    assert names == ["lora_embeddings_a", "lora_embeddings_b"]


def test_fine_tune():
    model = network()
    before = [base.numpy() for base in bases(model)]
    model.compile(
        keras.optimizers.AdamW(0.01, weight_decay=1.0), "mse", jit_compile=JIT
    )
    decay_weights_only(model)
    arguments = {"freeze_epochs": 1, "head_epochs": 0, "epochs": 1}
    fine_tune(model, *numbers(), verbose=0, **arguments)
    assert_frozen(model, before)


def test_it_was_enabled_between_two_fits():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5), layers.Dense(1)]
    )
    model.compile(sgd(), "mse", jit_compile=JIT)
    fit(model, *data(2))
    first = model.layers[0]
    first.enable_lora(2)
    unfreeze(model)
    kernel, low = first._kernel.numpy(), first.lora_kernel_b.numpy()
    fit(model, *data(2))
    np.testing.assert_array_equal(first._kernel.numpy(), kernel)
    assert np.any(first.lora_kernel_b.numpy() != low)
    assert training_plan(model).rows[0]["trains"] == "23"


def test_a_variable_that_is_frozen_by_itself():
    model = keras.Sequential(
        [keras.Input((4,)), layers.Dense(5), layers.Dense(1)]
    )
    bias = model.layers[1].bias
    bias.trainable = False
    for change in (freeze, unfreeze):
        change(model)
        assert not bias.trainable
