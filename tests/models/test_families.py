"""The smallest network of each family in keras.applications."""

import inspect
import subprocess
import sys
from typing import NamedTuple

import keras
import numpy as np
import pytest
from classifiers import base_of, features, numbers, scores

from keras_fast import layer_groups
from keras_fast.models import image_classifier
from keras_fast.models.images._preprocessing import FAMILIES as MODES
from keras_fast.models.images._preprocessing import MODES as NUMBERS
from keras_fast.models.images._preprocessing import mode_of, prepare

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
# Few layers, and the preprocessing with the most parts.
QUICK = {"vgg16"}
# NASNet takes multiples of 32 alone.
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 128, 96, 4))
PIXELS = PIXELS.astype("float32")


class Case(NamedTuple):
    family: str
    model: keras.Model


def prepared(model):
    """What the backbone is given."""
    node = base_of(model)._inbound_nodes[-1]
    return keras.Model(model.input, node.input_tensors[0])


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


def test_every_family_is_known():
    modules = inspect.getmembers(keras.applications, inspect.ismodule)
    families = {n for n, m in modules if hasattr(m, "preprocess_input")}
    # As ResNet, and EfficientNet, in a module of their own.
    assert families - {"resnet50", "imagenet_utils"} == {*MODES}
    assert {*SMALLEST} == {*MODES}


@pytest.mark.parametrize("family", SMALLEST)
def test_modes_are_those_of_the_families(family):
    x = PIXELS[..., :3]
    inputs = keras.Input((None, None, 3))
    found = keras.Model(inputs, prepare(inputs, MODES[family]))(x)
    expected = getattr(keras.applications, family).preprocess_input(x.copy())
    np.testing.assert_allclose(numbers(found), expected, rtol=1e-5, atol=2e-5)


def test_pixels_are_prepared_as_the_family_does(case):
    module = getattr(keras.applications, case.family)
    x = PIXELS[..., :3]
    np.testing.assert_allclose(
        numbers(prepared(case.model)(x)),
        module.preprocess_input(x.copy()),
        rtol=1e-5,
        atol=2e-5,
    )


def test_a_network_is_known_as_a_model_too(case):
    base, mode = base_of(case.model), MODES[case.family]
    # Those begin with layers that do it.
    wanted = None if mode == "raw" else mode
    rescaling = keras.layers.Rescaling(1 / 255)
    assert mode_of(base) == mode_of(keras.Sequential([base])) == wanted
    assert mode_of(keras.Sequential([rescaling, base])) is None


def test_a_cut_network_is_given_what_it_was_trained_on():
    # A name that is ours, and a part of the network.
    whole = keras.applications.VGG16(include_top=False, weights=None)
    cut = keras.Model(whole.inputs, whole.get_layer("block4_pool").output)
    given = prepared(image_classifier(cut, 3))(PIXELS[..., :3])
    expected = keras.applications.vgg16.preprocess_input(PIXELS[..., :3].copy())
    np.testing.assert_allclose(numbers(given), expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("mode", NUMBERS)
def test_grey_images_are_as_if_in_color(mode):
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, prepare(inputs, mode))
    grey = PIXELS[..., :1]
    expected = model.predict(np.repeat(grey, 3, axis=-1), verbose=0)
    # What was traced for three channels does not check them any more.
    np.testing.assert_array_equal(model.predict(grey, verbose=0), expected)
    for channels in (2, 4):
        with pytest.raises(Exception, match="shape"):  # up to the backend
            model.predict(PIXELS[..., :channels], verbose=0)


def test_takes_two_sizes(case):
    for size in (96, 128):
        found = scores(case.model, PIXELS[:, :size, ..., :3])
        assert found.shape == (2, 3)
        np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_head_is_the_last_group_and_alone_trains(case):
    *body, head = layer_groups(case.model)
    names = [layer.name for layer in head]
    assert names == ["hidden_bn", "hidden", "scores_bn", "scores"]
    assert not any(layer.trainable for group in body for layer in group)
    assert len(case.model.trainable_variables) == 6


def test_weights_of_a_network_come_from_a_path(case, tmp_path):
    path = tmp_path / "base.weights.h5"
    base_of(case.model).save_weights(path)
    model = image_classifier(SMALLEST[case.family], 3, weights=path)
    saved, loaded = (base_of(m).get_weights() for m in (case.model, model))
    for old, new in zip(saved, loaded, strict=True):
        np.testing.assert_array_equal(old, new)


LOAD = """
import sys, keras, numpy as np
sys.modules["keras_fast"] = None
model = keras.saving.load_model("model.keras")
np.save("scores.npy", model.predict(np.load("pixels.npy"), verbose=0))
"""


@pytest.mark.stress
def test_loads_in_a_process_without_keras_fast(case, tmp_path):
    case.model.save(tmp_path / "model.keras")
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
        scores(case.model, PIXELS[..., :3]),
        rtol=1e-3,
        atol=1e-5,
    )


@pytest.mark.stress
def test_a_fourth_channel_changes_nothing_at_first(case, tmp_path):
    path = tmp_path / "base.weights.h5"
    base_of(case.model).save_weights(path)
    four = image_classifier(
        SMALLEST[case.family], 3, weights=path, input_shape=(96, 96, 4)
    )
    expected = scores(features(case.model), PIXELS[..., :3])
    assert np.abs(expected).max() > 0
    np.testing.assert_allclose(
        scores(features(four), PIXELS),
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
    found = model(PIXELS[..., :3])
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    given = prepared(model)(PIXELS[..., :3])
    assert keras.backend.standardize_dtype(given.dtype) == "float32"
