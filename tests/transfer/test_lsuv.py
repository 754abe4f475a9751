"""Layers scaled to unit variance, against NumPy."""

import keras
import numpy as np
import pytest

import keras_fast

X = np.random.default_rng(0).normal(3, 5, (64, 6)).astype("float32")
IMAGES = np.random.default_rng(1).normal(size=(16, 8, 8, 3)).astype("float32")


def numbers(variable):
    return keras.ops.convert_to_numpy(variable)


def network(depth=6, activation="relu"):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(32, activation) for _ in range(depth)]
    return keras.Sequential([*layers, keras.layers.Dense(3)])


def test_each_layer_by_the_closed_form():
    model = network()
    model.build((None, 6))
    starts = [numbers(layer.kernel) for layer in model.layers]
    found = keras_fast.lsuv_init(model, X)
    h = X.astype("float64")
    for layer, start, (path, (before, after)) in zip(
        model.layers, starts, found.items(), strict=True
    ):
        raw = h @ start
        assert path == layer.path
        np.testing.assert_allclose(before, raw.std(), rtol=1e-4)
        kernel = start
        if abs(raw.std() - 1) > 0.1:
            kernel = start / raw.std()
            assert abs(after - 1) < 1e-3
        np.testing.assert_allclose(numbers(layer.kernel), kernel, rtol=1e-4)
        out = h @ kernel
        np.testing.assert_allclose(numbers(layer.bias), -out.mean(), atol=1e-3)
        h = np.maximum(out - out.mean(), 0)


def test_convolutions_in_the_order_of_the_data():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    first = keras.layers.SeparableConv2D(
        8, 3, activation="gelu", use_bias=False
    )
    second = keras.layers.DepthwiseConv2D(3, name="second")
    inner = keras.Sequential([keras.Input((6, 6, 8)), second])
    x = inner(first(inputs))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Dropout(0.9)(x))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    found = keras_fast.lsuv_init(model, 9 * IMAGES, tolerance=0.01)
    assert list(found)[:2] == [first.path, second.path]
    assert len(found) == 3
    assert all(abs(after - 1) <= 0.01 for _, after in found.values())
    out = inner(first(9 * IMAGES))
    assert abs(numbers(out).std() - 1) < 0.01
    assert abs(numbers(out).mean()) < 1e-3


def test_activations_are_back_and_nothing_else_changes():
    model = network(2)
    model.compile("sgd", "mse")
    keras_fast.lsuv_init(model, X)
    assert [layer.activation.__name__ for layer in model.layers] == [
        "relu",
        "relu",
        "linear",
    ]
    assert "call" not in model.layers[0].__dict__
    norm = keras.Sequential(
        [keras.layers.Dense(4), keras.layers.BatchNormalization()]
    )
    keras_fast.lsuv_init(norm, X)
    statistics = [numbers(v) for v in norm.layers[1].weights]
    np.testing.assert_array_equal(
        statistics, [[1] * 4, [0] * 4, [0] * 4, [1] * 4]
    )


def test_frozen_layers_are_left_alone():
    model = network(2)
    model.build((None, 6))
    model.layers[0].trainable = False
    frozen = model.layers[0].get_weights()
    assert len(keras_fast.lsuv_init(model, X)) == 2
    for value, before in zip(
        model.layers[0].get_weights(), frozen, strict=True
    ):
        np.testing.assert_array_equal(value, before)


def test_puts_everything_back_where_a_layer_gives_nothing():
    model = keras.Sequential(
        [
            keras.layers.Dense(4),
            keras.layers.Lambda(lambda x: 0 * x),
            keras.layers.Dense(4),
        ]
    )
    model.build((None, 6))
    before = model.get_weights()
    with pytest.raises(
        ValueError, match=r"must be finite and differ.*Received"
    ):
        keras_fast.lsuv_init(model, X)
    for value, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_model_without_kernels():
    model = keras.Sequential([keras.layers.Rescaling(2.0)])
    with pytest.raises(ValueError, match="must have layers with a kernel"):
        keras_fast.lsuv_init(model, X)


def test_recurrent_and_normalized_layers_are_left_alone():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(8, 6, 5)).astype("float32")
    network = keras.Sequential(
        [
            keras.layers.SpectralNormalization(keras.layers.Dense(4)),
            keras.layers.Bidirectional(keras.layers.LSTM(4)),
            keras.layers.Dense(3, name="last"),
        ]
    )
    found = keras_fast.lsuv_init(network, x)
    assert [path.split("/")[-1] for path in found] == ["last"]
    outputs = keras.ops.convert_to_numpy(network(x))
    np.testing.assert_allclose(outputs.std(), 1, atol=0.1)
