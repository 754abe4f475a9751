"""Do a tied embedding, pooling and penalties compute what NumPy does?"""

import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import JIT, adam, distance, fit

from keras_fast.layers import (
    ActivationRegularization,
    Bias,
    ConcatPooling,
    Embedding,
    WeightDropLSTM,
)

WORDS, SIZE, LENGTH, BATCH = 7, 4, 6, 3
RNG = np.random.default_rng(0)
IDS = RNG.integers(0, WORDS, (20 * BATCH, LENGTH)).astype("int32")
TABLE = RNG.normal(size=(WORDS, SIZE)).astype("float32")


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def tied(**arguments):
    """Scores of all words from one word's vector, and a bias."""
    embedding = Embedding(WORDS, SIZE, weights=TABLE, **arguments)
    ids = keras.Input((None,), dtype="int32")
    return keras.Model(ids, Bias()(embedding(embedding(ids), reverse=True)))


def language_model():
    embedding = Embedding(WORDS, SIZE, dropout=0.2, seed=3, name="words")
    ids = keras.Input((None,), dtype="int32")
    raw = WeightDropLSTM(SIZE, 0.5, return_sequences=True)(embedding(ids))
    dropped = keras.layers.SpatialDropout1D(0.1)(raw)
    x = ActivationRegularization()([raw, dropped])
    return keras.Model(ids, Bias()(embedding(x, reverse=True)))


@pytest.mark.parametrize("jit", JIT)
def test_adam_on_a_tied_table_equals_numpy(jit):
    model = tied()
    model.compile(adam(), "mse", jit_compile=jit)
    y = RNG.normal(size=(*IDS.shape, WORDS)).astype("float32")
    fit(model, IDS, y, epochs=1, batch_size=BATCH)
    weights = [TABLE.astype("float64"), np.zeros(WORDS)]
    slots = [np.zeros((2, *w.shape)) for w in weights]
    for k in range(20):
        batch = slice(k * BATCH, (k + 1) * BATCH)
        ids, target = IDS[batch].ravel(), y[batch].reshape(-1, WORDS)
        rows = weights[0][ids]
        error = 2 * (rows @ weights[0].T + weights[1] - target) / target.size
        gradients = [error.T @ rows, error.sum(axis=0)]
        np.add.at(gradients[0], ids, error @ weights[0])
        for w, (mean, square), gradient in zip(
            weights, slots, gradients, strict=True
        ):
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            rate = 0.01 * np.sqrt(1 - 0.999 ** (k + 1)) / (1 - 0.9 ** (k + 1))
            w -= rate * mean / (np.sqrt(square) + 1e-7)
    for got, expected in zip(model.get_weights(), weights, strict=True):
        assert distance(got, expected) <= 1e-5


def test_dropout_drops_whole_words_and_draws_anew():
    table = np.ones((2000, 2), "float32")
    embedding = Embedding(2000, 2, weights=table, dropout=0.25, seed=1)
    ids = np.tile(np.arange(2000), (3, 1))
    drawn = [numbers(embedding(ids, training=True)) for _ in range(2)]
    for rows in drawn:
        np.testing.assert_array_equal(rows[0], rows[1])
        np.testing.assert_array_equal(rows[..., 0], rows[..., 1])
        kept = rows[0, :, 0] > 0
        np.testing.assert_allclose(rows[0, kept], 4 / 3, rtol=1e-6)
        assert 0.7 < kept.mean() < 0.8
    assert (drawn[0] != drawn[1]).any()
    np.testing.assert_array_equal(numbers(embedding(ids)), table[ids])
    # The decoder has all words, in training too.
    x = RNG.normal(size=(3, 2)).astype("float32")
    got = numbers(embedding(x, reverse=True, training=True))
    np.testing.assert_allclose(got, x @ table.T, rtol=1e-6)


def test_no_dropout_no_state():
    embedding = Embedding(WORDS, SIZE)
    embedding.build()
    assert len(embedding.variables) == 1


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_tied_table_is_quantized(mode):
    model = tied(name="words")
    expected = model.predict(IDS, verbose=0)
    model.quantize(mode, filters="words")
    got = model.predict(IDS, verbose=0)
    assert 0 < distance(got, expected) < (0.2 if mode == "int8" else 2)


def test_a_tied_model_is_cloned_and_stays_tied():
    model = language_model()
    clone = keras.models.clone_model(model)
    assert len(clone.trainable_weights) == len(model.trainable_weights) == 5
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        clone.predict(IDS, verbose=0), model.predict(IDS, verbose=0)
    )


@pytest.mark.once
def test_a_tied_model_is_loaded_in_a_new_process(tmp_path):
    model = language_model()
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    fit(model, IDS, IDS, epochs=1)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "ids.npy", IDS)
    code = """
import sys, keras, numpy as np, keras_fast
model = keras.saving.load_model(f"{sys.argv[1]}/model.keras")
assert len(model.trainable_weights) == 5
ids = np.load(f"{sys.argv[1]}/ids.npy")
np.save(f"{sys.argv[1]}/scores.npy", model.predict(ids, verbose=0))
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    subprocess.run(command, check=True)
    np.testing.assert_array_equal(
        np.load(tmp_path / "scores.npy"), model.predict(IDS, verbose=0)
    )


def test_reverse_refuses_masks():
    embedding = Embedding(WORDS, SIZE, mask_zero=True)
    with pytest.raises(ValueError) as error:
        embedding(np.ones((2, SIZE), "float32"), reverse=True)
    assert (
        "`reverse` needs an embedding without masks. Leave `mask_zero` out, "
        "and mask where outputs are pooled. Received: mask_zero=True"
    ) in str(error.value)


def test_bad_dropout():
    with pytest.raises(ValueError) as error:
        Embedding(WORDS, SIZE, dropout=1)
    assert str(error.value) == (
        "`dropout` must be a number of at least 0 and below 1. Pass one such "
        "as 0.05. Received: dropout=1"
    )


def penalty(alpha, beta, raw, dropped):
    pace = np.diff(raw.astype("float64"), axis=1) ** 2
    size = np.mean(dropped.astype("float64") ** 2)
    return alpha * size + (beta * pace.mean() if pace.size else 0)


@pytest.mark.parametrize("length", [1, 5])
def test_penalties_equal_numpy(length):
    raw, dropped = RNG.normal(size=(2, 3, length, 4)).astype("float32")
    layer = ActivationRegularization(3, 0.5)
    np.testing.assert_array_equal(
        numbers(layer([raw, dropped], training=True)), dropped
    )
    expected = penalty(3, 0.5, raw, dropped)
    np.testing.assert_allclose(numbers(layer.losses[0]), expected, rtol=1e-5)
    np.testing.assert_array_equal(numbers(layer(raw, training=True)), raw)
    expected = penalty(3, 0.5, raw, raw)
    np.testing.assert_allclose(numbers(layer.losses[-1]), expected, rtol=1e-5)
    again = ActivationRegularization.from_config(layer.get_config())
    assert (again.alpha, again.beta) == (3, 0.5)


def test_penalties_are_in_the_loss_of_training_alone():
    x = RNG.normal(size=(8, 5, 4)).astype("float32")
    inputs = keras.Input((None, 4))
    layer = ActivationRegularization()
    model = keras.Model(inputs, layer(keras.layers.Dense(4)(inputs)))
    model.compile(keras.optimizers.SGD(0.0), "mse")
    outputs = model.predict(x, verbose=0)
    plain = np.mean(outputs.astype("float64") ** 2)
    history = fit(
        model,
        x,
        0 * x,
        epochs=1,
        batch_size=8,
        validation_data=(x, 0 * x),
    ).history
    extra = penalty(2, 1, outputs, outputs)
    np.testing.assert_allclose(history["loss"], plain + extra, rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"], plain, rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "shapes"),
    [
        ([np.ones((1, 2, 3))] * 3, [(1, 2, 3)] * 3),
        (TABLE, [(7, 4)]),
        ([np.ones((1, 2, 3)), TABLE], [(1, 2, 3), (7, 4)]),
    ],
)
def test_penalties_refuse_other_shapes(inputs, shapes):
    with pytest.raises(ValueError) as error:
        ActivationRegularization()(inputs)
    assert str(error.value) == (
        "The input must be outputs (batch, timesteps, features), or [raw, "
        "dropped] outputs. Have LSTMs return sequences. "
        f"Received: shapes={shapes}"
    )


@pytest.mark.parametrize("name", ["alpha", "beta"])
def test_bad_factors(name):
    with pytest.raises(ValueError) as error:
        ActivationRegularization(**{name: -1})
    assert str(error.value) == (
        f"`{name}` must be a finite number of at least 0. Pass 0 or more. "
        f"Received: {name}=-1"
    )


def pooled(outputs, ids, pad):
    """Row by row; without a word zeros."""
    found = []
    for row, real in zip(outputs, ids != pad, strict=True):
        row = row[real].astype("float64")
        if len(row) == 0:
            row = np.zeros((1, outputs.shape[-1]))
        found.append(np.concatenate([row[-1], row.max(0), row.mean(0)]))
    return np.stack(found)


@pytest.mark.parametrize("pad", [0, 3])
def test_pooling_equals_numpy(pad):
    outputs = RNG.normal(size=(5, 6, 2)).astype("float32") - 3
    ids = np.full((5, 6), pad + 1)
    for row, count in enumerate([6, 4, 1, 0]):
        ids[row, count:] = pad
    ids[4, 0] = ids[4, 3] = pad  # on the left and within
    outputs[ids == pad] = np.nan
    expected = pooled(outputs, ids, pad)
    layer = ConcatPooling(pad)
    np.testing.assert_allclose(
        numbers(layer([outputs, ids])), expected, rtol=1e-5
    )
    mask = keras.ops.convert_to_tensor(ids != pad)
    np.testing.assert_allclose(
        numbers(ConcatPooling()(outputs, mask=mask)), expected, rtol=1e-5
    )
    assert ConcatPooling.from_config(layer.get_config()).pad == pad


def test_pooling_takes_keras_masks_and_ids_together():
    ids = np.array([[1, 2, 0, 0], [3, 2, 1, 5]])
    embedding = Embedding(9, SIZE, mask_zero=True)
    rows = embedding(ids)
    expected = pooled(numbers(rows), np.where(ids == 5, 0, ids), 0)
    np.testing.assert_allclose(
        numbers(ConcatPooling(5)([rows, ids])), expected, rtol=1e-5, atol=1e-7
    )


def test_mixed_precision_adds_up_long_texts():
    outputs = np.full((1, 4096, 1), 60.0, "float16")
    layer = ConcatPooling(dtype="mixed_float16")
    got = numbers(layer([outputs, np.ones((1, 4096), "int32")]))
    assert got.dtype == "float16"
    np.testing.assert_array_equal(got, [[60, 60, 60]])


def test_predictions_and_gradients_do_not_depend_on_the_padding(tmp_path):
    ids = keras.Input((None,), dtype="int32")
    x = Embedding(WORDS, SIZE)(ids)
    x = WeightDropLSTM(SIZE, return_sequences=True)(x)
    x = ConcatPooling()([x, ids])
    model = keras.Model(ids, keras.layers.Dense(2)(x))
    assert x.shape == (None, 3 * SIZE)
    model.save(tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "model.keras")
    words = 1 + IDS[:8] % (WORDS - 1)
    words[0, 1:] = 0
    padded = np.pad(words, ((0, 0), (0, 5)))
    for each, given in ((model, words), (other, padded)):
        each.compile(keras.optimizers.SGD(0.1), "mse")
        fit(each, given, np.ones((8, 2)), epochs=2)
    for got, expected in zip(
        other.get_weights(), model.get_weights(), strict=True
    ):
        # Row 0 is padding.
        np.testing.assert_allclose(got, expected, atol=1e-6)
    np.testing.assert_allclose(
        other.predict(padded, verbose=0),
        model.predict(words, verbose=0),
        atol=1e-6,
    )


def test_pooling_refuses_other_shapes():
    with pytest.raises(ValueError) as error:
        ConcatPooling()(TABLE)
    assert str(error.value).endswith(
        "The input must be outputs (batch, timesteps, features), or [outputs, "
        "ids] with ids (batch, timesteps). Have LSTMs return sequences. "
        "Received: shapes=[(7, 4)]"
    )
    with pytest.raises(ValueError) as error:
        ConcatPooling()([np.ones((1, 2, 3)), np.ones((1, 4))])
    assert (
        "The outputs must have a timestep for each id. Take out what shortens "
        "the sequence, such as strides, or pool the outputs alone. "
        "Received: 2 timesteps of 4 ids"
    ) in str(error.value)


def test_bias_adds_and_is_saved():
    layer = Bias("ones")
    x = RNG.normal(size=(2, 3, 4)).astype("float32")
    np.testing.assert_allclose(numbers(layer(x)), x + 1, rtol=1e-6)
    assert layer.bias.shape == (4,)
    again = Bias.from_config(layer.get_config())
    np.testing.assert_array_equal(numbers(again(x)), numbers(layer(x)))
