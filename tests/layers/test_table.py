"""Do these layers compute what NumPy does?"""

import itertools
import json
import warnings

import keras
import numpy as np
import pytest

import keras_fast
from keras_fast.data import TableEncoder
from keras_fast.layers._table import Factors, TableFeatures, bin_edges

RNG = np.random.default_rng(0)
TABLE = {
    "c": ["b", "a", "b", "c"] * 10,
    "d": [1, None, 2, 3] * 10,
    "x": RNG.exponential(size=40),
    "y": [None, 0.0, 5.0, 0.0, 4.0] * 8,
    "z": [7.0] * 40,
}


def encoder(categorical=("c", "d"), numerical=("x", "y", "z")):
    made = TableEncoder(categorical, numerical)
    made.adapt(TABLE)
    return made


def called(layer, x):
    out = layer({name: keras.ops.convert_to_tensor(x[name]) for name in x})
    return keras.tree.map_structure(keras.ops.convert_to_numpy, out)


def edges_by_numpy(values, num_bins):
    """In spreads from the median."""
    first, median, third = np.quantile(values, [0.25, 0.5, 0.75])
    levels = np.linspace(0, 1, num_bins // 2 + 1)
    edges = [
        np.quantile(values, levels),
        np.quantile(np.unique(values), levels),
    ]
    edges = np.unique(np.concatenate(edges))
    return (edges - median) / (third - first)


def test_edges_are_half_at_quantiles_and_half_at_those_of_distinct_values():
    values = np.concatenate([np.zeros(60), RNG.exponential(size=200)])
    made = TableEncoder(numerical=["x"])
    made.adapt({"x": values})
    scale = made.get_config()["state"]["numbers"]["x"]
    got = bin_edges(scale, 32)
    np.testing.assert_allclose(got, edges_by_numpy(values, 32), atol=1e-9)
    assert len(got) <= 33


def test_no_bins_and_one():
    scale = encoder().get_config()["state"]["numbers"]["y"]
    assert len(bin_edges(scale, 0)) == 1
    np.testing.assert_allclose(bin_edges(scale, 1), [-2 / 4.25, 3 / 4.25])
    constant = encoder().get_config()["state"]["numbers"]["z"]
    assert len(bin_edges(constant, 32)) == 1


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16"])
def test_features_equal_numpy(dtype):
    made = encoder()
    layer = TableFeatures(made.get_config(), 8, name="table", dtype=dtype)
    x = made(TABLE)
    x["x"][0], x["x"][1] = 1e9, -1e9
    got = called(layer, x)
    assert got.dtype == layer.compute_dtype
    parts = [
        keras.ops.convert_to_numpy(layer.embeddings[name].embeddings)
        for name in ("c", "d")
    ]
    # For 4 codes round(1.6 * 4**0.56) = 3 or 4.
    assert [part.shape for part in parts] == [(4, 3), (4, 3)]
    # "c" was never missing: the mean stands for code 0, where it comes at all.
    expected = [parts[0][x["c"]], parts[1][x["d"]]]
    numbers = np.stack([x[name] for name in "xyz"], axis=1).astype("float64")
    expected.append(numbers / np.sqrt(1 + (numbers / 3) ** 2))
    scales = made.get_config()["state"]["numbers"]
    for i, name in enumerate("xyz"):
        edges = bin_edges(scales[name], 8)
        for low, high in itertools.pairwise(edges):
            share = (numbers[:, i] - low) / (high - low)
            expected.append(np.clip(share, 0, 1)[:, None])
    expected.append(x["y_na"][:, None])
    expected = np.concatenate(expected, axis=1)
    most = 1e-5 if dtype == "float32" else 2e-3
    np.testing.assert_allclose(got, expected, atol=most)


def test_the_mean_stands_for_what_never_occurred():
    made = encoder()
    layer = TableFeatures(made.get_config(), 0)
    x = made(TABLE)
    got = called(layer, {**x, "c": x["c"] * 0, "d": x["d"] * 0})
    tables = {
        name: keras.ops.convert_to_numpy(layer.embeddings[name].embeddings)
        for name in "cd"
    }
    np.testing.assert_allclose(
        got[0, :3], tables["c"][1:].mean(axis=0), atol=1e-7
    )
    # "d" was missing in training: it has a row of its own.
    np.testing.assert_array_equal(got[0, 3:6], tables["d"][0])


def test_factors_equal_numpy():
    made = encoder(numerical=())
    layer = Factors(made.get_config(), 5)
    first, second, bias = called(layer, made(TABLE))
    x = made(TABLE)
    for got, name in ((first, "c"), (second, "d")):
        table = keras.ops.convert_to_numpy(layer.embeddings[name].embeddings)
        np.testing.assert_array_equal(got, table[x[name]])
    expected = sum(
        keras.ops.convert_to_numpy(layer.biases[name].embeddings)[x[name]]
        for name in "cd"
    )
    np.testing.assert_allclose(bias, expected, atol=1e-9)


def test_configurations():
    config = encoder().get_config()
    for layer in (TableFeatures(config, 8), Factors(config, 3)):
        text = json.dumps(layer.get_config())
        again = type(layer).from_config(json.loads(text))
        assert again.get_config() == layer.get_config()
        assert again.encoder == config


ODD = ["native country", "größe", "_x", "-", "a\\b", "100 %", "a b", "a_b"]


def test_columns_have_any_name(tmp_path):
    encoder = TableEncoder(ODD)
    encoder.adapt({name: ["p", "q"] for name in ODD})
    rows = encoder({name: ["q", None] for name in ODD})
    model = keras_fast.models.tabular_model(encoder, 1, units=())
    model.compile("adam", "mse")
    model.fit(rows, np.ones(2), verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(
        loaded.predict(rows, verbose=0), model.predict(rows, verbose=0)
    )


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_quantized(mode, tmp_path):
    # Code 0 is the mean of what the whole numbers stand for.
    encoder = TableEncoder(["user", "film"])
    encoder.adapt({"user": [1, 2, 3], "film": ["a", "b", "c"]})
    model = keras_fast.models.collaborative_filter(encoder, num_factors=4)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.get_weights()])
    rows = {"user": np.array([0, 1]), "film": np.array([0, 2])}
    before = keras.ops.convert_to_numpy(model(rows))
    vectors = keras_fast.inference.embeddings(model)["film"].vectors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # layers without weights
        model.quantize(mode)
    after = keras.ops.convert_to_numpy(model(rows))
    close = {"atol": {"int8": 0.05, "int4": 0.6}[mode]}
    np.testing.assert_allclose(after, before, **close)
    found = keras_fast.inference.embeddings(model)["film"].vectors
    np.testing.assert_allclose(found, vectors, atol=close["atol"] / 2)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    again = keras.ops.convert_to_numpy(loaded(rows))
    np.testing.assert_array_equal(again, after)
