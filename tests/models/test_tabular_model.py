"""Does a model of a table do what other models do, and carry its encoder?"""

import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest
from helpers import distance, weights
from table_models import (
    COLUMNS,
    PRICE,
    ROWS,
    TABLE,
    compiled,
    data,
    encoder,
    fit,
    predict,
    tabular,
)

import keras_fast
from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import tabular_model


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    model = compiled(tabular(units=(32,)), traced=True)
    fit(model, epochs=20, callbacks=[OneCycle(3e-2)])
    return model


def test_it_learns(trained):
    error = np.sqrt(np.mean((predict(trained)[:, 0] - PRICE) ** 2))
    assert error < 0.2 * PRICE.std()


def test_the_last_layer_begins_with_mean_and_spread():
    # Whatever the unit: a first prediction is within a few spreads.
    other = tabular(targets=PRICE * 1e-6)
    model = tabular()
    other.set_weights(model.get_weights())
    first, scaled = predict(model), predict(other)
    np.testing.assert_allclose(scaled, first * 1e-6, rtol=1e-5)
    kernel, bias = model.get_layer("scores").get_weights()
    assert not bias.any() and kernel.any()
    zero = [np.zeros_like(w) for w in model.get_weights()]
    model.set_weights(zero)
    np.testing.assert_allclose(predict(model), PRICE.mean(), rtol=1e-6)
    model.get_layer("scores").set_weights([kernel * 0, bias + 1])
    expected = PRICE.mean() + PRICE.std()
    np.testing.assert_allclose(predict(model), expected, rtol=1e-6)


def test_several_targets():
    targets = np.stack([PRICE, np.full(ROWS, 5.0), -PRICE], axis=1)
    model = tabular_model(encoder(), 3, targets=targets, units=())
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    expected = targets.mean(axis=0)
    np.testing.assert_allclose(predict(model)[0], expected, rtol=1e-6)
    model.get_layer("scores").set_weights(
        [np.zeros(model.get_layer("scores").kernel.shape), np.ones(3)]
    )
    expected += [PRICE.std(), 1, PRICE.std()]
    np.testing.assert_allclose(predict(model)[0], expected, rtol=1e-6)


def test_a_range():
    model = tabular(y_range=(0, 1e5))
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    np.testing.assert_allclose(predict(model), PRICE.mean(), rtol=1e-5)
    _, bias = model.get_layer("scores").get_weights()
    kernel = np.zeros(model.get_layer("scores").kernel.shape)
    step = []
    for small in (-1e-2, 1e-2):
        model.get_layer("scores").set_weights([kernel, bias + small])
        step.append(predict(model)[0, 0])
    slope = (step[1] - step[0]) / 2e-2
    assert abs(slope / PRICE.std() - 1) < 1e-2
    model.get_layer("scores").set_weights([kernel, bias + 1e3])
    np.testing.assert_allclose(predict(model), 1e5)
    plain = tabular(y_range=(0, 1e5), targets=None)
    assert abs(predict(plain) / 5e4 - 1).max() < 1


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_classes(activation):
    model = tabular_model(encoder(), 3, units=(4,), activation=activation)
    scores = predict(model)
    assert scores.shape == (ROWS, 3)
    if activation == "softmax":
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert model.get_layer("scores").activation is keras.activations.get(
        activation
    )


def test_layers():
    model = tabular(dropout=0.2)
    names = [layer.name for layer in model.layers]
    assert names[len(encoder()(TABLE)) :] == [
        "table",
        "hidden_1",
        "dropout_1",
        "hidden_2",
        "dropout_2",
        "scores",
        "scale",
    ]
    table = model.get_layer("table")
    sizes = {n: table.embeddings[n].embeddings.shape for n in ("cut", "colour")}
    assert sizes == {"cut": (4, 3), "colour": (8, 5)}
    assert list(table.embeddings) == list(encoder().vocabularies)
    wide = tabular(num_bins=64).get_layer("hidden_1").kernel.shape[0]
    plain = tabular(num_bins=0).get_layer("hidden_1").kernel.shape[0]
    assert plain < model.get_layer("hidden_1").kernel.shape[0] < wide


def test_columns_with_the_names_of_our_layers():
    names = ["table", "hidden_1", "scores", "scale", "range"]
    made = TableEncoder(numerical=names)
    made.adapt({name: np.arange(4) for name in names})
    model = tabular_model(made, 1, targets=[1, 2, 3, 4], y_range=(0, 5))
    assert TableEncoder.of(model).columns == made.columns
    assert model.predict(made({n: [1] for n in names}), verbose=0).shape == (
        1,
        1,
    )


# Training.


def test_groups_freezing_and_splitting(trained):
    model = compiled(tabular())
    groups = keras_fast.layer_groups(model)
    assert [[layer.name for layer in group] for group in groups] == [
        ["table", "hidden_1"],
        ["hidden_2"],
        ["scores"],
    ]
    keras_fast.freeze(model)
    before = model.get_weights()
    fit(model, epochs=1)
    changed = [
        bool((a != b).any())
        for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert changed == [False] * (len(changed) - 2) + [True] * 2
    plan = str(keras_fast.training_plan(model))
    assert "table" in plan and "scores" in plan
    keras_fast.unfreeze(model)
    body, head = keras_fast.split_head(model)
    got = head(predict(body, encoder()(TABLE)))
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(got), predict(model)
    )


def test_rates_for_groups_and_decay_for_weights():
    model = tabular()
    multipliers = keras_fast.layer_multipliers(model, [1e-9, 1e-3, 1e-2])
    optimizer = keras.optimizers.AdamW(1e-2, weight_decay=0.1)
    optimizer = keras_fast.optimizers.DiscriminativeOptimizer(
        optimizer, multipliers
    )
    model.compile(optimizer, "mse", run_eagerly=True)
    keras_fast.decay_weights_only(model)
    embedding = model.get_layer("table").embeddings["cut"].embeddings
    before = keras.ops.convert_to_numpy(embedding).copy()
    fit(model, epochs=1)
    assert 0 < distance(keras.ops.convert_to_numpy(embedding), before) < 1e-6


def test_the_finder_leaves_no_trace():
    model = compiled(tabular())
    before = weights(model)
    x, y = data(model)
    result = keras_fast.lr_find(model, x, y, batch_size=32, num_steps=12)
    assert len(result.losses) == 12
    np.testing.assert_array_equal(weights(model), before)


@pytest.mark.stress
def test_fine_tune_trains_it():
    model = compiled(tabular())
    x, y = data(model)
    history = keras_fast.fine_tune(model, x, y, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_mixed_precision():
    target = PRICE / PRICE.std()
    model = tabular(units=(8,), targets=target)
    keras.config.set_dtype_policy("mixed_float16")
    try:
        half = tabular(units=(8,), targets=target)
    finally:
        keras.config.set_dtype_policy("float32")
    assert half.get_layer("table").compute_dtype == "float16"
    half.set_weights(model.get_weights())
    assert predict(half).dtype == "float32"
    assert distance(predict(half), predict(model)) < 0.02
    before = weights(half)
    compiled(half)
    for _ in range(4):  # the first may be spent on the scale of the loss
        half.train_on_batch(data(half)[0], target)
    assert 0 < distance(weights(half), before) < 0.1


# Saving.

OTHER = """
import sys
import keras, numpy as np
from keras_fast.data import TableEncoder
import keras_fast
model = keras.saving.load_model(sys.argv[1])
rows = {
    "cut": ["Good", None, "Ideal"], "colour": [3, 2, None],
    "carat": [0.5, None, 2], "depth": [None, 61, 60],
    "sold": ["2024-03-01", None, "2024-02-29"],
}
x = TableEncoder.of(model)(rows)
np.save(sys.argv[2], model.predict(x, verbose=0))
"""
NEW_ROWS = {
    "cut": ["Good", None, "Ideal"],
    "colour": [3, 2, None],
    "carat": [0.5, None, 2],
    "depth": [None, 61, 60],
    "sold": ["2024-03-01", None, "2024-02-29"],
}


@pytest.mark.tensorflow_only
@pytest.mark.parametrize(
    "backend",
    [
        "jax",
        pytest.param("torch", marks=pytest.mark.stress),
        pytest.param("tensorflow", marks=pytest.mark.stress),
    ],
)
def test_one_file_for_another_process(trained, tmp_path, backend):
    pytest.importorskip(backend)
    path, out = tmp_path / "m.keras", tmp_path / "out.npy"
    trained.save(path)
    done = subprocess.run(
        [sys.executable, "-c", OTHER, path, out],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    expected = predict(trained, encoder()(NEW_ROWS))
    np.testing.assert_allclose(np.load(out), expected, rtol=1e-5)


def test_it_is_saved_and_loaded(trained, tmp_path):
    trained.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    assert TableEncoder.of(again).get_config() == encoder().get_config()
    np.testing.assert_array_equal(weights(again), weights(trained))
    assert distance(predict(again), predict(trained)) == 0
    around = keras.Sequential([keras.layers.Dense(1)])
    whole = keras.Model(again.inputs, around(again.outputs[0]))
    assert TableEncoder.of(whole).columns == encoder().columns


def test_a_forged_vocabulary_runs_nothing(trained, tmp_path):
    trained.save(tmp_path / "m.keras")
    forged = {"class_name": "Lambda", "module": "keras.layers", "config": {}}
    rewritten = tmp_path / "forged.keras"
    with (
        zipfile.ZipFile(tmp_path / "m.keras") as old,
        zipfile.ZipFile(rewritten, "w") as new,
    ):
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                [table] = [
                    x
                    for x in config["config"]["layers"]
                    if x["config"].get("name") == "table"
                ]
                state = json.loads(table["config"]["encoder"])
                state["state"]["categories"]["cut"]["words"][0] = forged
                table["config"]["encoder"] = json.dumps(state)
                content = json.dumps(config)
            new.writestr(name, content)
    model = keras.saving.load_model(rewritten)
    with pytest.raises(ValueError, match=r"Received: cut=.*Lambda"):
        TableEncoder.of(model)


@pytest.mark.tensorflow_only
def test_it_is_exported(trained, tmp_path):
    import tensorflow as tf

    trained.export(tmp_path / "m", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "m")
    served = loaded.serve(encoder()(TABLE))
    np.testing.assert_allclose(served, predict(trained), rtol=1e-6)


def test_a_model_without_encoder():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    with pytest.raises(
        ValueError, match=r"must be built on one TableEncoder.*0 enc"
    ):
        TableEncoder.of(model)


# Errors.


@pytest.mark.parametrize(
    ("error", "arguments", "expected"),
    [
        (ValueError, {"num_outputs": 0}, "num_outputs=0"),
        (TypeError, {"units": 5}, "units=5"),
        (ValueError, {"units": (5, 0)}, "units=0"),
        (ValueError, {"dropout": 1.0}, "dropout=1.0"),
        (ValueError, {"num_bins": -1}, "num_bins=-1"),
        (ValueError, {"num_bins": 257}, "num_bins=257"),
        (ValueError, {"activation": "relu"}, "activation='relu'"),
        (ValueError, {"activation": "softmax"}, "num_outputs=1"),
        (ValueError, {"activation": "sigmoid", "targets": [1]}, "targets=[1]"),
        (
            ValueError,
            {"activation": "sigmoid", "y_range": (0, 1)},
            "y_range=(0, 1)",
        ),
        (ValueError, {"targets": [1.0, np.nan, 2]}, "Received: [nan] in row 1"),
        (ValueError, {"targets": [1.0, np.inf]}, "[inf] in row 1"),
        (ValueError, {"targets": []}, "shape (0,)"),
        (ValueError, {"targets": [[1, 2]]}, "targets of shape (1, 2)"),
        (TypeError, {"targets": ["a"]}, "targets=['a']"),
        (TypeError, {"targets": 3.0}, "targets=3.0"),
        (ValueError, {"targets": [1, 6], "y_range": (0, 5)}, "a target of 6"),
        (ValueError, {"targets": [-1, 5], "y_range": (0, 5)}, "a target of -1"),
        (ValueError, {"y_range": (0, 1, 2)}, "y_range=(0, 1, 2)"),
        (ValueError, {"y_range": (5, 0)}, "low=5, high=0"),
        (TypeError, {"y_range": 5}, "y_range=5"),
        (TypeError, {"encoder": COLUMNS}, "encoder={"),
        (TypeError, {"encoder": TableEncoder}, "encoder=<class"),
        (ValueError, {"encoder": TableEncoder(["cut"])}, "not adapted"),
    ],
)
def test_bad_arguments(error, arguments, expected):
    arguments = {"encoder": encoder(), "num_outputs": 1, **arguments}
    with pytest.raises(error) as caught:
        tabular_model(**arguments)
    assert expected in str(caught.value)
    assert "Received:" in str(caught.value)
