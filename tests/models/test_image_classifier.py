"""Builders on small backbones: the head, its channels, what is refused."""

import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_fast import layer_groups, unfreeze
from keras_fast.models import image_classifier
from keras_fast.models._reshape import adapt_kernel

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 40, 48, 5))
PIXELS = PIXELS.astype("float32")


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def backbone(channels=3, size=(None, None), before=()):
    return keras.Sequential(
        [
            keras.Input((*size, channels)),
            *before,
            keras.layers.Conv2D(4, 3, strides=2, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(6, 3, activation="relu"),
        ],
        name="small",
    )


def functional(**arguments):
    base = backbone(**arguments)
    return keras.Model(base.inputs[0], base.outputs[0])


def classifier(base=None, num_classes=3, **arguments):
    arguments = {"input_shape": (32, 32, 3), **arguments}
    return image_classifier(base or backbone(), num_classes, **arguments)


def features(model):
    layer = next(x for x in model.layers if isinstance(x, keras.Model))
    return keras.Model(model.input, layer._inbound_nodes[-1].outputs[0])


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


@pytest.mark.parametrize("size", [(None, None), (32, 32)])
@pytest.mark.parametrize("build", [backbone, functional])
def test_any_backbone_takes_pictures_of_any_size(build, size, tmp_path):
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


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_kernel_is_adapted_as_fastai_does(channels):
    kernel = np.random.default_rng(1).normal(size=(3, 3, 3, 4))
    adapted = adapt_kernel(kernel, channels)
    assert adapted.shape == (3, 3, channels, 4)
    for filters in range(4):
        r, g, b = (kernel[:, :, i, filters] for i in range(3))
        zero = np.zeros((3, 3))
        expected = {
            1: [r + g + b],
            2: [r * 1.5, g * 1.5],
            4: [r, g, b, zero],
            5: [r, g, b, zero, zero],
        }[channels]
        for i, plane in enumerate(expected):
            np.testing.assert_allclose(adapted[:, :, i, filters], plane)


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("build", [backbone, functional])
def test_other_channels_are_a_copy_with_another_first_kernel(build, channels):
    before = [
        keras.layers.Rescaling([0.1, 0.2, 0.3], [1.0, 2.0, 6.0]),
        keras.layers.Normalization(mean=[1, 2, 6], variance=[1, 4, 9]),
    ]
    base = build(before=before)
    rng = np.random.default_rng(2)
    for variable in base.weights:
        variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    model = classifier(base, input_shape=(32, 32, channels))
    copy = model.layers[1]
    kernel, *others = base.get_weights()
    adapted, *copied = copy.get_weights()
    np.testing.assert_allclose(adapted, adapt_kernel(kernel, channels))
    for old, new in zip(others, copied, strict=True):
        np.testing.assert_array_equal(old, new)
    scaling, normalization = copy.layers[-5:-3]
    first = {1: [0.2], 2: [0.1, 0.2], 4: [0.1, 0.2, 0.3, 0.2]}
    means = {1: [3.0], 2: [1.0, 2.0], 4: [1.0, 2.0, 6.0, 3.0]}
    np.testing.assert_allclose(scaling.scale, first[channels])
    np.testing.assert_allclose(scaling.offset, means[channels])
    np.testing.assert_allclose(normalization.input_mean, means[channels])
    assert model(PIXELS[..., :channels]).shape == (2, 3)
    assert base.trainable


def test_a_fourth_channel_changes_nothing_at_first():
    base = backbone(before=[keras.layers.Rescaling(0.01)])
    four = features(classifier(base, input_shape=(32, 32, 4)))
    np.testing.assert_allclose(
        numbers(four(PIXELS[..., :4])),
        numbers(features(classifier(base))(PIXELS[..., :3])),
        rtol=1e-5,
        atol=1e-5,
    )


def test_statistics_that_a_backbone_learned_are_adapted_too():
    normalization = keras.layers.Normalization()
    base = backbone(before=[normalization])
    normalization.adapt(PIXELS[..., :3])
    gray = classifier(base, input_shape=(32, 32, 1)).layers[1].layers[0]
    np.testing.assert_allclose(
        numbers(gray.mean).ravel(), numbers(normalization.mean).mean()
    )


def test_weights_of_a_model_come_from_a_path(tmp_path):
    saved = backbone()
    saved.save_weights(tmp_path / "base.weights.h5")
    model = classifier(backbone(), weights=tmp_path / "base.weights.h5")
    np.testing.assert_array_equal(
        model.layers[1].get_weights()[0], saved.get_weights()[0]
    )


FAULTS = {
    "name": (
        ("MobileNetV9", 3),
        {},
        ValueError,
        "`backbone` must be the name of a keras.applications network or a "
        "Keras model. Check its spelling: 'EfficientNetV2B0', for one. "
        "Received: backbone='MobileNetV9'",
    ),
    "function": (
        ("preprocess_input", 3),
        {},
        ValueError,
        "`backbone` must be the name of a keras.applications network or a "
        "Keras model. Check its spelling: 'EfficientNetV2B0', for one. "
        "Received: backbone='preprocess_input'",
    ),
    "backbone": (
        (3, 3),
        {},
        TypeError,
        "`backbone` must be the name of a keras.applications network or a "
        "Keras model. Pass 'EfficientNetV2B0', for one. Received: backbone=3",
    ),
    "not built": (
        (keras.Sequential([keras.layers.Conv2D(3, 3)], name="open"), 3),
        {},
        ValueError,
        "`backbone` must be a functional model, or a Sequential one that is "
        "built. Give it an Input. Received: backbone=open (Sequential)",
    ),
    "pooled": (
        (
            keras.Sequential(
                [keras.Input((8, 8, 3)), keras.layers.Flatten()], name="flat"
            ),
            3,
        ),
        {},
        ValueError,
        "`backbone` must map pictures to feature maps, both (batch, height, "
        "width, channels). Build it with include_top=False and pooling=None. "
        "Received: backbone=flat from [(None, 8, 8, 3)] to [(None, 192)]",
    ),
    "no class": (
        (backbone(), 0),
        {},
        ValueError,
        "`num_classes` must be a whole number of at least 1. Pass an int of 1 "
        "or more. Received: num_classes=0",
    ),
    "one class": (
        (backbone(), 1),
        {},
        ValueError,
        "`num_classes` must be at least 2 with softmax, which gives one class "
        "always 1. Pass 2, or activation='sigmoid'. Received: num_classes=1",
    ),
    "activation": (
        (backbone(), 3),
        {"activation": "relu"},
        ValueError,
        "`activation` must be 'softmax', 'sigmoid' or None. Pass 'sigmoid' "
        "for several classes a picture, None for logits. "
        "Received: activation='relu'",
    ),
    "dropout": (
        (backbone(), 3),
        {"dropout": 1.0},
        ValueError,
        "`dropout` must be a number of at least 0 and below 1. Pass one such "
        "as 0.9. Received: dropout=1.0",
    ),
    "head_units": (
        (backbone(), 3),
        {"head_units": 0},
        ValueError,
        "`head_units` must be a whole number of at least 1. Pass an int of 1 "
        "or more. Received: head_units=0",
    ),
    "shape": (
        (backbone(), 3),
        {"input_shape": (224, 224)},
        ValueError,
        "`input_shape` must be height, width and channels. Pass a tuple such "
        "as (224, 224, 3), or (None, None, 3) for any size. "
        "Received: input_shape=(224, 224)",
    ),
    "small": (
        (backbone(), 3),
        {"input_shape": (6, 32, 3)},
        ValueError,
        "`input_shape` must be large enough for the backbone to leave a "
        "feature. Pass larger pictures. "
        "Received: input_shape=(6, 32, 3), backbone=small",
    ),
    "channels": (
        (backbone(channels=1), 3),
        {},
        ValueError,
        "`input_shape` must have as many channels as the backbone, 1: only a "
        "backbone for 3 is adapted. Pass that many. Received: channels=3",
    ),
    "no first kernel": (
        (
            keras.Sequential(
                [
                    keras.Input((32, 32, 3)),
                    keras.layers.DepthwiseConv2D(3),
                    keras.layers.Conv2D(2, 1),
                ],
                name="depthwise",
            ),
            3,
        ),
        {"input_shape": (32, 32, 4)},
        ValueError,
        "`backbone` must begin with one convolution to be adapted to another "
        "number of channels. Pass pictures with 3. "
        "Received: backbone=depthwise, channels=4",
    ),
    "weights": (
        (backbone(), 3),
        {"weights": "imagenet21k"},
        ValueError,
        "`weights` must be 'imagenet', None or the path of a file. There is "
        "no such file. Received: weights='imagenet21k'",
    ),
    "weights' kind": (
        (backbone(), 3),
        {"weights": 3},
        TypeError,
        "`weights` must be 'imagenet', None or the path of a file. Pass one "
        "of these. Received: weights=3",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_arguments(fault):
    (base, num_classes), arguments, kind, message = FAULTS[fault]
    arguments = {"weights": None, **arguments}
    with pytest.raises(kind) as error:
        image_classifier(base, num_classes, **arguments)
    assert str(error.value) == message


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError) as error:
            image_classifier("MobileNetV2", 3, weights=None)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert str(error.value) == (
        "Keras must be set to channels last. Call "
        "`keras.config.set_image_data_format('channels_last')`. "
        "Received: image_data_format='channels_first'"
    )


def test_loads_in_a_process_without_keras_fast(tmp_path):
    # ResNet's preprocessing has the most parts: the order of the colours too.
    model = image_classifier("ResNet50", 3, weights=None, head_units=8)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", PIXELS[..., :3])
    code = """
import sys, keras, numpy as np
sys.modules["keras_fast"] = None
model = keras.saving.load_model("model.keras")
scores = keras.ops.convert_to_numpy(model(np.load("pixels.npy")))
np.save("scores.npy", scores)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        np.load(tmp_path / "scores.npy"),
        numbers(model(PIXELS[..., :3])),
        rtol=1e-4,
        atol=1e-5,
    )
