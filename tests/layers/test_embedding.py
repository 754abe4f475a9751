"""Is Adam on it exact, and is all else what Keras's layer does?"""

import keras
import numpy as np
import pytest
from helpers import (
    JIT,
    adam,
    by_hand,
    distance,
    fit,
    sgd,
    weights,
)

from keras_fast import lr_find
from keras_fast.callbacks import OneCycle
from keras_fast.layers import Embedding
from keras_fast.optimizers import DiscriminativeOptimizer

ROWS, SIZE, LENGTH, BATCH, STEPS = 7, 3, 6, 4, 50
PLAIN = keras.layers.Embedding


def data():
    """Each batch of 24 has every index several times, or not at all."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, ROWS, (STEPS * BATCH, LENGTH)).astype("int32")
    x[::3] = x[::3] // 3
    y = rng.normal(size=(*x.shape, SIZE)).astype("float32")
    return x, y


def table():
    return np.random.default_rng(1).normal(size=(ROWS, SIZE)).astype("float32")


def compiled(layer, optimizer, *after, jit_compile=False, **arguments):
    embedding = layer(ROWS, SIZE, **arguments)
    model = keras.Sequential(
        [keras.Input((LENGTH,), dtype="int32"), embedding, *after]
    )
    embedding._embeddings.assign(table())
    model.compile(optimizer, "mse", jit_compile=jit_compile)
    return model


def by_numpy(rates, momentums, clip=np.inf):
    """Fifty steps of Adam, on the whole table."""
    weights = table().astype("float64")
    mean, square = np.zeros((2, ROWS, SIZE))
    x, y = data()
    for k, (rate, momentum) in enumerate(zip(rates, momentums, strict=True)):
        batch = slice(k * BATCH, (k + 1) * BATCH)
        error = 2 * (weights[x[batch]] - y[batch]) / y[batch].size
        gradient = np.zeros_like(weights)
        np.add.at(gradient, x[batch], error)
        gradient *= min(1, clip / np.linalg.norm(gradient))
        mean += (1 - momentum) * (gradient - mean)
        square += 0.001 * (gradient**2 - square)
        step = rate * np.sqrt(1 - 0.999 ** (k + 1)) / (1 - momentum ** (k + 1))
        weights -= step * mean / (np.sqrt(square) + 1e-7)
    return weights


@pytest.mark.parametrize(
    ("dtype", "jit", "most"),
    [
        *(("float32", jit, 1e-5) for jit in JIT),
        ("mixed_float16", JIT[-1], 2e-3),
    ],
)
def test_adam_equals_numpy(dtype, jit, most):
    model = compiled(Embedding, adam(), jit_compile=jit, dtype=dtype)
    fit(model, *data(), epochs=1, batch_size=BATCH)
    expected = by_numpy([0.01] * STEPS, [0.9] * STEPS)
    assert distance(model.get_weights()[0], expected) <= most


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float32"])
def test_indices_of_any_type(dtype):
    embedding = Embedding(ROWS, SIZE, weights=table())
    x = data()[0]
    rows = keras.ops.convert_to_numpy(embedding(x.astype(dtype)))
    np.testing.assert_array_equal(rows, table()[x])


def test_clipping_equals_numpy():
    model = compiled(Embedding, adam(clipnorm=0.05))
    fit(model, *data(), epochs=1, batch_size=BATCH)
    expected = by_numpy([0.01] * STEPS, [0.9] * STEPS, clip=0.05)
    assert distance(model.get_weights()[0], expected) <= 1e-5


def test_one_cycle_and_a_lower_rate_equal_numpy():
    model = compiled(Embedding, DiscriminativeOptimizer(adam(), [0.5]))
    cycle = OneCycle(0.02)
    fit(model, *data(), cycle, epochs=1, batch_size=BATCH)
    curve = cycle.curve(STEPS)
    expected = by_numpy(0.5 * curve["learning_rate"], curve["momentum"])
    assert distance(model.get_weights()[0], expected) <= 1e-5


@pytest.mark.tensorflow_only
def test_keras_has_the_fault_still():
    # Else our layer can go.
    velocities = []
    for layer in (PLAIN, Embedding):
        model = keras.Sequential(
            [keras.Input((4,), dtype="int32"), layer(3, 1)]
        )
        model.compile(keras.optimizers.Adam(beta_2=0.9), sum_of_outputs)
        model.train_on_batch(np.array([[1, 1, 1, 2]]), np.zeros((1, 4, 1)))
        velocities.append(model.optimizer._velocities[0].numpy()[:, 0])
    np.testing.assert_allclose(velocities[0], [0, 0.3, 0.1], rtol=1e-5)
    np.testing.assert_allclose(velocities[1], [0, 0.9, 0.1], rtol=1e-5)


def sum_of_outputs(_, outputs):
    return keras.ops.sum(outputs)


SETTINGS = [
    {
        "mask_zero": True,
        "embeddings_constraint": keras.constraints.MaxNorm(0.5),
        "embeddings_regularizer": keras.regularizers.L2(0.1),
    },
    {"dtype": "mixed_float16"},
    {"dtype": "bfloat16"},
]


@pytest.mark.parametrize("setting", SETTINGS, ids=["table", "mixed", "half"])
@pytest.mark.matrix(2)
def test_it_is_what_keras_does(setting):
    x, y = data()
    got = []
    for layer in (PLAIN, Embedding):
        pool = keras.layers.GlobalAveragePooling1D(dtype="float32")
        embedding = layer(ROWS, SIZE, **setting)
        model = keras.Sequential(
            [keras.Input((LENGTH,), dtype="int32"), embedding, pool]
        )
        embedding.embeddings.assign(table())
        model.compile(sgd(), "mse")
        fit(model, x[:40], y[:40, 0], epochs=1, batch_size=BATCH)
        mask = embedding.compute_mask(x)
        if mask is not None:
            mask = keras.ops.convert_to_numpy(mask).tolist()
        got.append(
            (embedding.dtype_policy.name, mask, model.predict(x, verbose=0))
        )
    assert got[0][:2] == got[1][:2]
    # Sums come in another order; bfloat16 has two digits, float16 three.
    most = {"bfloat16": 2e-2, "mixed_float16": 1e-3}
    assert distance(got[0][2], got[1][2]) <= most.get(
        setting.get("dtype"), 1e-6
    )


def test_only_lora_trains():
    model = compiled(Embedding, adam(), lora_rank=2)
    before = table()
    x, y = data()
    fit(model, x, y, epochs=1, batch_size=BATCH)
    embedding = model.layers[0]
    np.testing.assert_array_equal(embedding._embeddings.numpy(), before)
    assert len(embedding.trainable_variables) == 2
    assert (
        distance(keras.ops.convert_to_numpy(embedding.embeddings), before) > 0.1
    )


def test_it_is_quantized_as_keras_layer(tmp_path):
    x, _ = data()
    got = []
    for layer in (PLAIN, Embedding):
        model = compiled(layer, adam())
        model.quantize("int8", filters="embedding")
        model.save(tmp_path / "model.keras")
        again = keras.saving.load_model(tmp_path / "model.keras")
        assert type(again.layers[0]) is layer
        got.append(again.predict(x, verbose=0))
    assert distance(got[1], table()[x]) > 1e-5
    np.testing.assert_array_equal(*got)


def test_it_is_saved_and_loaded(tmp_path):
    x, y = data()
    model = compiled(Embedding, adam(), mask_zero=True)
    fit(model, x[:80], y[:80], epochs=1, batch_size=BATCH)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.layers[0].get_config() == model.layers[0].get_config()
    assert type(again.layers[0]) is Embedding
    for each in (model, again):
        fit(each, x[80:], y[80:], epochs=1, batch_size=BATCH)
    np.testing.assert_array_equal(weights(again), weights(model))


@pytest.mark.tensorflow_only
def test_it_is_exported(tmp_path):
    import tensorflow as tf

    x, y = data()
    model = compiled(Embedding, adam())
    fit(model, x, y, epochs=1, batch_size=BATCH)
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    served = loaded.serve(x)
    np.testing.assert_array_equal(served, model.predict(x, verbose=0))


@pytest.mark.parametrize("layer", [PLAIN, Embedding])
@pytest.mark.matrix(2)
def test_our_parts_on_it_do_what_keras_does(layer):
    x, y = (a[:80] for a in data())

    def trained(optimizer, *callbacks, before=None):
        model = compiled(layer, optimizer)
        if before is not None:
            before(model)
        fit(model, x, y, *callbacks, epochs=1, batch_size=BATCH)
        return weights(model)

    def sweep(model):
        lr_find(model, x, y, batch_size=BATCH, num_steps=10)

    plain = trained(adam())
    np.testing.assert_array_equal(trained(adam(), before=sweep), plain)
    wrapped = trained(DiscriminativeOptimizer(adam(), [1.0]))
    assert distance(wrapped, plain) <= 1e-6
    cycle = OneCycle(0.02)
    by_callback = trained(adam(), cycle)
    model = compiled(layer, adam(), jit_compile=False)
    model.compile(adam(), "mse", run_eagerly=True)
    by_hand(model, x, y, cycle.curve(20), epochs=1, batch_size=BATCH)
    assert distance(by_callback, weights(model)) <= 1e-6
