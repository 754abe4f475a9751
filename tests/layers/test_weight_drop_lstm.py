"""Is it an LSTM, with a recurrent kernel that a call drops once?"""

import keras
import numpy as np
import pytest
from helpers import distance
from keras.src.layers.rnn import lstm as inside

from keras_fast.layers import WeightDropLSTM

UNITS, FEATURES, LENGTH, BATCH = 4, 3, 5, 2
X = np.random.default_rng(0).normal(size=(BATCH, LENGTH, FEATURES))
X = X.astype("float32")
SETTINGS = {
    "sequences": {"return_sequences": True},
    "backwards": {"go_backwards": True, "return_sequences": True},
    "states": {"return_state": True},
    "unrolled": {"unroll": True, "implementation": 1},
}


def layer(rate=0.5, seed=7, **arguments):
    made = WeightDropLSTM(UNITS, rate, seed, **arguments)
    made.build(X.shape)
    return made


def numbers(tensors):
    return [
        keras.ops.convert_to_numpy(keras.ops.cast(each, "float32"))
        for each in keras.tree.flatten(tensors)
    ]


def first_draw(kernel, rate=0.5, seed=7):
    """What a generator with this seed drops first."""
    drawn = keras.random.dropout(
        keras.ops.convert_to_tensor(kernel),
        rate,
        seed=keras.random.SeedGenerator(seed),
    )
    return keras.ops.convert_to_numpy(drawn)


def by_numpy(x, kernel, recurrent, bias):
    """Outputs of an LSTM, (batch, timesteps, units)."""
    h, c = np.zeros((2, len(x), UNITS))
    found = []
    for t in range(x.shape[1]):
        z = x[:, t] @ kernel + h @ recurrent + bias
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, o = (1 / (1 + np.exp(-each)) for each in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        found.append(h)
    return np.stack(found, axis=1)


def as_lstm(found, recurrent=None, **arguments):
    """Keras's layer with the same weights, or with another recurrent kernel."""
    lstm = keras.layers.LSTM(UNITS, **arguments)
    lstm.build(X.shape)
    values = found.get_weights()
    if recurrent is not None:
        values[1] = recurrent
    lstm.set_weights(values)
    return lstm


def test_training_equals_numpy():
    found = layer(return_sequences=True)
    kernel, recurrent, bias = found.get_weights()
    dropped = first_draw(recurrent)
    assert 0.2 < np.mean(dropped == 0) < 0.8
    kept = dropped != 0
    np.testing.assert_allclose(dropped[kept], 2 * recurrent[kept], rtol=1e-6)
    expected = by_numpy(X, kernel, dropped, bias)
    (got,) = numbers(found(X, training=True))
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert found.cell.recurrent_kernel is found.variables[1]


@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_an_lstm_in_inference_and_with_the_dropped_kernel(name):
    found = layer(**SETTINGS[name])
    plain = as_lstm(found, **SETTINGS[name])
    for got, expected in zip(numbers(found(X)), numbers(plain(X)), strict=True):
        np.testing.assert_array_equal(got, expected)
    dropped = first_draw(found.get_weights()[1])
    plain = as_lstm(found, dropped, **SETTINGS[name])
    both = numbers(found(X, training=True)), numbers(plain(X))
    for got, expected in zip(*both, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_without_dropout_it_has_and_draws_nothing_more():
    found = layer(0)
    plain = as_lstm(found)
    assert [(v.name, v.shape) for v in found.variables] == [
        (v.name, v.shape) for v in plain.variables
    ]
    before = numbers(found.cell.seed_generator.state)
    got, expected = numbers(found(X, training=True)), numbers(plain(X))
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(
        numbers(found.cell.seed_generator.state), before
    )


def test_a_new_mask_at_each_traced_step_and_only_kept_weights_move():
    model = keras.Sequential([keras.Input((LENGTH, FEATURES)), layer()])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    recurrent = [model.get_weights()[1]]
    for _ in range(3):
        model.train_on_batch(X, np.ones((BATCH, UNITS)))
        recurrent.append(model.get_weights()[1])
    moved = np.diff(recurrent, axis=0) != 0
    expected = first_draw(recurrent[0]) != 0
    # A gradient can be too small to move its weight, not the other way.
    assert not (moved[0] & ~expected).any()
    assert moved[0].sum() >= 0.8 * expected.sum()
    assert (moved[0] != moved[1]).any() and (moved[1] != moved[2]).any()
    assert 0.2 < moved.mean() < 0.8


def test_the_fused_kernel_gets_the_dropped_weights(monkeypatch):
    given = []

    def fused(*_, recurrent_kernel, **__):
        given.append(numbers(recurrent_kernel)[0])
        raise RuntimeError("no such kernel here")

    monkeypatch.setattr(inside.backend, "lstm", fused)
    found = layer()
    before = found.cell.recurrent_kernel
    with pytest.raises(RuntimeError, match="no such kernel here"):
        found(X, training=True)
    np.testing.assert_array_equal(given[0], first_draw(found.get_weights()[1]))
    assert found.cell.recurrent_kernel is before


def test_a_mask_on_the_right_changes_nothing():
    padded = np.concatenate([X, 9 * np.ones((BATCH, 2, FEATURES))], axis=1)
    mask = np.arange(LENGTH + 2) < LENGTH
    mask = keras.ops.convert_to_tensor(np.stack([mask] * BATCH))
    for training in (False, True):
        alone, with_padding = layer(), layer()
        with_padding.set_weights(alone.get_weights())
        got = with_padding(
            padded.astype("float32"), mask=mask, training=training
        )
        np.testing.assert_allclose(
            numbers(got), numbers(alone(X, training=training)), atol=1e-6
        )


def test_mixed_precision():
    found = layer(dtype="mixed_bfloat16")
    dropped = first_draw(found.get_weights()[1])
    expected = numbers(as_lstm(found, dropped)(X))
    got = found(X, training=True)
    assert keras.backend.standardize_dtype(got.dtype) == "bfloat16"
    assert distance(numbers(got), expected) <= 5e-3
    assert distance(numbers(got), numbers(found(X))) > 1e-2


def test_it_is_saved_and_loaded(tmp_path):
    made = layer(0.3, return_sequences=True, name="drop", dropout=0.1)
    model = keras.Sequential([keras.Input((LENGTH, FEATURES)), made])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert type(again) is WeightDropLSTM
    assert again.get_config() == made.get_config()
    assert (again.weight_dropout, again.cell.seed) == (0.3, 7)
    np.testing.assert_array_equal(numbers(again(X)), numbers(made(X)))
    both = keras.layers.Bidirectional(layer(0.3))
    assert both.backward_layer.weight_dropout == 0.3


@pytest.mark.tensorflow_only
def test_it_is_exported_after_training(tmp_path):
    import tensorflow as tf

    model = keras.Sequential([keras.Input((LENGTH, FEATURES)), layer()])
    model.compile("adam", "mse")
    model.train_on_batch(X, np.ones((BATCH, UNITS)))
    model.export(tmp_path / "model", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "model")
    served = loaded.serve(X)
    np.testing.assert_allclose(served, numbers(model(X))[0], atol=1e-6)
    tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint")


@pytest.mark.parametrize(
    ("rate", "error", "message"),
    [
        (
            1.0,
            ValueError,
            "`weight_dropout` must be a number of at least 0 and below 1. "
            "Pass one such as 0.5. Received: weight_dropout=1.0",
        ),
        (
            True,
            TypeError,
            "`weight_dropout` must be a number of at least 0 and below 1. "
            "Pass a Python or NumPy number; convert anything else first. "
            "Received: weight_dropout=True",
        ),
    ],
)
def test_bad_arguments(rate, error, message):
    with pytest.raises(error) as caught:
        WeightDropLSTM(UNITS, rate)
    assert str(caught.value) == message
    with pytest.raises(ValueError, match="units"):
        WeightDropLSTM(0)
