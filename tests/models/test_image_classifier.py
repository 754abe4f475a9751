"""The classifier on small backbones: its head, what trains, what it saves."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from classifiers import (
    PIXELS,
    backbone,
    classifier,
    features,
    functional,
    numbers,
)

from keras_fast import freeze, layer_groups, training_plan, unfreeze
from keras_fast.layers import ScaledSigmoid
from keras_fast.models.images._preprocessing import prepare


def test_head_is_that_of_fastai():
    head = classifier(head_units=7, dropout=0.4).layers[2:]
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == [
        "GlobalMaxPooling2D",
        "GlobalAveragePooling2D",
        "Concatenate",
        "BatchNormalization",
        "Dropout",
        "Dense",
        "BatchNormalization",
        "Dropout",
        "Dense",
    ]
    assert [layer.rate for layer in head if "Dropout" in str(layer)] == [
        0.2,
        0.4,
    ]
    assert head[3].momentum == head[6].momentum == 0.9
    assert head[5].kernel.shape == (12, 7)
    assert head[8].kernel.shape == (7, 3)


def test_output_equals_numpy():
    model = classifier(head_units=5, activation="sigmoid")
    rng = np.random.default_rng(3)
    for variable in model.layers[5].variables + model.layers[8].variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    pixels = PIXELS[..., :3] / 1000
    maps = numbers(features(model)(pixels))

    def dense(x, norm, layer):
        gamma, beta, mean, variance = map(numbers, norm.weights)
        x = (x - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta
        return x @ numbers(layer.kernel)

    x = np.concatenate([maps.max((1, 2)), maps.mean((1, 2))], axis=1)
    x = np.maximum(dense(x, model.layers[5], model.layers[7]), 0)
    x = dense(x, model.layers[8], model.layers[10])
    np.testing.assert_allclose(
        numbers(model(pixels)), 1 / (1 + np.exp(-x)), rtol=2e-4
    )


def test_without_hidden_units_the_head_is_linear():
    model = classifier(head_units=None)
    pool, norm, dense = model.layers[2:]
    assert pool.output.shape == (None, 6)
    assert norm.momentum == 0.9
    pixels = PIXELS[..., :3] / 1000
    np.testing.assert_allclose(numbers(model(pixels)), 1 / 3, rtol=1e-6)
    rng = np.random.default_rng(3)
    for variable in norm.variables + dense.variables:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    gamma, beta, mean, variance = map(numbers, norm.weights)
    x = numbers(features(model)(pixels)).mean((1, 2))
    x = (x - mean) / np.sqrt(variance + norm.epsilon) * gamma + beta
    x = np.exp(x @ numbers(dense.kernel) + numbers(dense.bias))
    np.testing.assert_allclose(
        numbers(model(pixels)), x / x.sum(1, keepdims=True), rtol=2e-4
    )
    dropped = classifier(head_units=None, dropout=0.3)
    assert dropped.layers[4].rate == 0.3


@pytest.mark.parametrize("size", [(None, None), (32, 32)])
@pytest.mark.parametrize("build", [backbone, functional])
def test_any_backbone_takes_images_of_any_size(build, size, tmp_path):
    base = build(size=size)
    model = classifier(base)
    assert model.input_shape == (None, None, None, 3)
    for height in (16, 40):
        assert model(PIXELS[:, :height, ..., :3]).shape == (2, 3)
    assert [len(group) for group in layer_groups(model)] == [2, 1, 4]
    assert model.layers[1].weights[0] is base.weights[0]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        numbers(again(PIXELS[..., :3])), numbers(model(PIXELS[..., :3]))
    )


def test_base_starts_frozen_and_can_be_unfrozen():
    model = classifier()
    head = {v.path.split("/")[0] for v in model.trainable_variables}
    assert head == {"hidden", "hidden_bn", "scores", "scores_bn"}
    assert len(model.trainable_variables) == 6
    unfreeze(model)
    assert len(model.trainable_variables) == 11


def test_training_moves_the_head_alone():
    model = classifier()
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [numbers(v).copy() for v in model.weights]
    model.fit(PIXELS[..., :3], np.array([0, 2]), verbose=0)
    moved = [
        np.any(numbers(v) != old)
        for v, old in zip(model.weights, before, strict=True)
    ]
    base = {id(v) for v in model.layers[1].weights}
    expected = [id(v) not in base for v in model.weights]
    assert moved == expected


def test_logits_and_labels():
    assert classifier(activation=None).layers[-1].activation is (
        keras.activations.linear
    )
    assert classifier(num_classes=1, activation="sigmoid").output_shape == (
        None,
        1,
    )


@pytest.mark.parametrize("mode", ["mixed_float16", "mixed_bfloat16"])
def test_output_is_float32_under_mixed_precision(mode):
    keras.config.set_dtype_policy(mode)
    try:
        model = classifier()
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(model.layers[2].compute_dtype) == (
        mode.removeprefix("mixed_")
    )
    scores = model(PIXELS[..., :3])
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"


def test_weights_of_a_model_come_from_a_path(tmp_path):
    saved = backbone()
    saved.save_weights(tmp_path / "base.weights.h5")
    model = classifier(backbone(), weights=tmp_path / "base.weights.h5")
    np.testing.assert_array_equal(
        model.layers[1].get_weights()[0], saved.get_weights()[0]
    )


def test_several_classes_an_image_have_a_threshold():
    model = classifier(activation="sigmoid")
    metrics = [
        keras.metrics.BinaryAccuracy(threshold=0.4),
        keras.metrics.F1Score(average="micro", threshold=0.4),
    ]
    model.compile("sgd", "binary_crossentropy", metrics=metrics)
    pixels = np.random.default_rng(4).uniform(0, 1, (8, 20, 20, 3))
    y = np.random.default_rng(5).integers(0, 2, (8, 3)).astype("float32")
    model.fit(pixels, y, verbose=0)
    found = model.evaluate(pixels, y, verbose=0, return_dict=True)
    scores = numbers(model(pixels))
    yes = scores > 0.4
    assert 0 < yes.mean() < 1
    loss = -np.where(y > 0, np.log(scores), np.log(1 - scores)).mean()
    right = np.sum(yes * y)
    np.testing.assert_allclose(found["loss"], loss, rtol=1e-4)
    np.testing.assert_allclose(
        found["binary_accuracy"], np.mean(yes == y), rtol=1e-6
    )
    np.testing.assert_allclose(
        found["f1_score"], 2 * right / (yes.sum() + y.sum()), rtol=1e-6
    )


def test_regression_with_a_range(tmp_path):
    model = classifier(num_classes=1, activation=None)
    rated = ScaledSigmoid(0, 5.5, dtype="float32")(model.outputs[0])
    ratings = keras.Model(model.input, rated)
    ratings.compile("sgd", "mse")
    pixels = PIXELS[..., :3]
    ratings.fit(pixels, np.array([1.0, 5.0]), verbose=0)
    raw = numbers(model(pixels)).astype("float64")
    expected = 5.5 / (1 + np.exp(-raw))
    np.testing.assert_allclose(
        numbers(ratings(pixels)), expected, rtol=1e-4, atol=1e-5
    )
    *_, head = layer_groups(ratings)
    assert [layer.name for layer in head][-1] == "scores"
    ratings.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        numbers(again(pixels)), numbers(ratings(pixels))
    )


LOAD = """
import sys, keras, numpy as np
sys.modules["keras_fast"] = None
model = keras.saving.load_model("model.keras")
np.save("scores.npy", model.predict(np.load("pixels.npy"), verbose=0))
"""


def test_loads_in_a_process_without_keras_fast(tmp_path):
    inputs = keras.Input((None, None, 3))
    # The preprocessing with the most parts.
    maps = backbone()(prepare(inputs, "caffe"))
    model = classifier(keras.Model(inputs, maps))
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", PIXELS[..., :3])
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        np.load(tmp_path / "scores.npy"),
        numbers(model(PIXELS[..., :3])),
        rtol=1e-4,
        atol=1e-6,
    )


@pytest.mark.parametrize("num_groups", [2, 3, 4])
@pytest.mark.parametrize("convolutions", [1, 2, 3])
def test_head_is_always_the_last_group(convolutions, num_groups):
    base = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            *(keras.layers.Conv2D(2, 3) for _ in range(convolutions)),
        ]
    )
    model = classifier(base)
    groups = layer_groups(model, num_groups)
    assert len(groups) == num_groups
    assert [x for group in groups[:-1] for x in group] == base.layers
    head = ["hidden_bn", "hidden", "scores_bn", "scores"]
    assert [layer.name for layer in groups[-1]] == head
    freeze(model)
    assert len(model.trainable_variables) == 6
    assert str(training_plan(model, groups))


def test_a_nested_sequential_model_takes_other_sizes_than_its_own():
    # As in ConvNeXt, whose layers were built for 224 pixels.
    inner = keras.Sequential(
        [keras.Input((64, 64, 3)), keras.layers.Conv2D(4, 4, strides=4)]
    )
    inputs = keras.Input((64, 64, 3))
    base = keras.Model(inputs, inner(inputs))
    model = classifier(base, input_shape=(8, 8, 3))
    assert model(PIXELS[:, :40, :40, :3]).shape == (2, 3)
    with pytest.raises(ValueError, match="large enough for the backbone"):
        classifier(base, input_shape=(3, 3, 3))
