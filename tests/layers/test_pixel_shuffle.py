"""Pixel shuffle, and its start that is nearest upsampling."""

import keras
import numpy as np
import pytest

from keras_fast.layers import ICNR, PixelShuffle


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_channels_become_pixels(scale):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5 * scale**2))
    x = x.astype("float32")
    expected = x.reshape(2, 3, 4, scale, scale, 5)
    expected = expected.transpose(0, 1, 3, 2, 4, 5)
    expected = expected.reshape(2, 3 * scale, 4 * scale, 5)
    layer = PixelShuffle(scale)
    np.testing.assert_array_equal(numbers(layer(x)), expected)
    assert layer.compute_output_shape((None, 3, None, 5 * scale**2)) == (
        None,
        3 * scale,
        None,
        5,
    )


@pytest.mark.parametrize("scale", [2, 3])
def test_starts_as_nearest_upsampling(scale):
    x = np.random.default_rng(1).normal(size=(2, 4, 5, 3)).astype("float32")
    conv = keras.layers.Conv2D(
        6 * scale**2, 1, kernel_initializer=ICNR(scale, "he_normal")
    )
    found = numbers(PixelShuffle(scale)(conv(x)))
    kernel = numbers(conv.kernel)[0, 0, :, :6]
    expected = (x @ kernel).repeat(scale, axis=1).repeat(scale, axis=2)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert np.unique(kernel).size == kernel.size


def test_are_saved(tmp_path):
    start = ICNR(2, keras.initializers.HeNormal(seed=3))
    model = keras.Sequential(
        [
            keras.Input((None, None, 2)),
            keras.layers.Conv2D(8, 1, kernel_initializer=start),
            PixelShuffle(2, name="shuffled"),
        ]
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    layer = again.layers[-1]
    assert (layer.scale, layer.name) == (2, "shuffled")
    initializer = again.layers[0].kernel_initializer
    np.testing.assert_array_equal(
        *(numbers(each((1, 1, 2, 8))) for each in (start, initializer))
    )
    x = np.ones((1, 3, 5, 2), "float32")
    np.testing.assert_array_equal(numbers(again(x)), numbers(model(x)))


@pytest.mark.parametrize("kind", [PixelShuffle, ICNR])
def test_scale_is_a_whole_number(kind):
    with pytest.raises(ValueError, match="`scale` must be a whole number of"):
        kind(0)
    with pytest.raises(TypeError, match="`scale` must be a whole number of"):
        kind(2.0)


def test_channels_must_be_divisible():
    with pytest.raises(ValueError, match="a multiple of 4 channels") as error:
        PixelShuffle(2)(np.zeros((1, 2, 2, 6)))
    assert "Received: input_shape=(1, 2, 2, 6), scale=2" in str(error.value)
    with pytest.raises(ValueError, match="a multiple of 4 channels"):
        ICNR(2)((1, 1, 3, 6))
