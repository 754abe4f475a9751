"""Images of other channels than a backbone was made for."""

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

from keras_fast.models.images._reshape import adapt_kernel


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
