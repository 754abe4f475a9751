"""The smallest network of each family in keras.applications."""

from typing import NamedTuple

import keras
import numpy as np
import pytest

from keras_fast import layer_groups
from keras_fast.models import image_classifier

SMALLEST = {
    "mobilenet_v2": "MobileNetV2",
    "resnet": "ResNet50",
    "convnext": "ConvNeXtTiny",
    "densenet": "DenseNet121",
    "efficientnet": "EfficientNetB0",
    "efficientnet_v2": "EfficientNetV2B0",
    "inception_resnet_v2": "InceptionResNetV2",
    "inception_v3": "InceptionV3",
    "mobilenet": "MobileNet",
    "mobilenet_v3": "MobileNetV3Small",
    "nasnet": "NASNetMobile",
    "resnet_v2": "ResNet50V2",
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "xception": "Xception",
}
QUICK = {"mobilenet_v2"}
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 96, 80, 4))
PIXELS = PIXELS.astype("float32")


class Case(NamedTuple):
    family: str
    model: keras.Model


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def base_of(model):
    return next(x for x in model.layers if isinstance(x, keras.Model))


def prepared(model):
    """What the backbone is given."""
    node = base_of(model)._inbound_nodes[-1]
    return keras.Model(model.input, node.input_tensors[0])


def features(model):
    node = base_of(model)._inbound_nodes[-1]
    return keras.Model(model.input, node.outputs[0])


FAMILIES = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.stress)
    for name in SMALLEST
]


@pytest.fixture(scope="module", params=FAMILIES)
def case(request):
    model = image_classifier(
        SMALLEST[request.param], 3, weights=None, head_units=8
    )
    return Case(request.param, model)


def test_pixels_are_prepared_as_the_family_does(case):
    module = getattr(keras.applications, case.family)
    x = PIXELS[..., :3]
    np.testing.assert_allclose(
        numbers(prepared(case.model)(x)),
        module.preprocess_input(x.copy()),
        rtol=1e-5,
        atol=2e-5,
    )


def test_takes_two_sizes(case):
    for size in (80, 96):
        scores = numbers(case.model(PIXELS[:, :size, ..., :3]))
        assert scores.shape == (2, 3)
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_head_is_the_last_group_and_alone_trains(case):
    *body, head = layer_groups(case.model)
    names = [layer.name for layer in head]
    assert names == ["hidden_bn", "hidden", "scores_bn", "scores"]
    assert not any(layer.trainable for group in body for layer in group)
    assert len(case.model.trainable_variables) == 6


def test_is_saved_and_loaded(case, tmp_path):
    case.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = PIXELS[..., :3]
    np.testing.assert_allclose(
        numbers(again(x)), numbers(case.model(x)), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fourth_channel_changes_nothing_at_first(family, tmp_path):
    network = getattr(keras.applications, SMALLEST[family])
    path = tmp_path / "base.weights.h5"
    shape = (224, 224, 3)
    network(include_top=False, weights=None, input_shape=shape).save_weights(
        path
    )
    three, four = (
        image_classifier(
            SMALLEST[family], 3, weights=path, input_shape=(80, 80, channels)
        )
        for channels in (3, 4)
    )
    expected = numbers(features(three)(PIXELS[..., :3]))
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(
        numbers(features(four)(PIXELS)),
        expected,
        rtol=1e-3,
        atol=1e-4 * np.abs(expected).max(),
    )


@pytest.mark.stress
@pytest.mark.parametrize("family", SMALLEST)
def test_output_is_float32_under_mixed_float16(family):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = image_classifier(SMALLEST[family], 3, weights=None)
    finally:
        keras.config.set_dtype_policy("float32")
    scores = model(PIXELS[..., :3])
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    given = prepared(model)(PIXELS[..., :3])
    assert keras.backend.standardize_dtype(given.dtype) == "float32"
