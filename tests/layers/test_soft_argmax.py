"""Points from maps, against NumPy."""

import keras
import numpy as np
import pytest

from keras_fast.layers import SoftArgmax


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def expected(maps, num_points, stride=None):
    batch, height, width, _ = maps.shape
    y, x = np.mgrid[:height, :width] + 0.5
    points = np.zeros((batch, num_points, 2))
    for i in range(batch):
        for p in range(num_points):
            scores, right, down = (
                maps[i, ..., k * num_points + p] for k in range(3)
            )
            shares = np.exp(scores) / np.exp(scores).sum()
            points[i, p, 0] = (shares * (x + right)).sum()
            points[i, p, 1] = (shares * (y + down)).sum()
    if stride is None:
        return points / [width, height] * 2 - 1
    return points * stride - 0.5


MAPS = np.random.default_rng(0).normal(size=(2, 3, 5, 12)).astype("float32")


@pytest.mark.parametrize("stride", [None, 8])
def test_is_the_mean_of_what_all_places_say(stride):
    found = numbers(SoftArgmax(4, stride)(MAPS))
    np.testing.assert_allclose(found, expected(MAPS, 4, stride), atol=1e-5)


def test_in_a_model_for_any_size_that_is_saved(tmp_path):
    image = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(6, 3, strides=2)(image)
    model = keras.Model(image, SoftArgmax(2, stride=2)(maps))
    assert model.output_shape == (None, 2, 2)
    for size in ((9, 12), (20, 11)):
        rng = np.random.default_rng(1)
        x = rng.normal(size=(2, *size, 3)).astype("float32")
        found = model.predict(x, verbose=0)
        pixels = expected(numbers(model.layers[1](x)), 2, 2)
        np.testing.assert_allclose(found, pixels, atol=1e-4)
    model.save(tmp_path / "points.keras")
    again = keras.saving.load_model(tmp_path / "points.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), found)


def test_sums_in_float32_under_mixed_precision():
    layer = SoftArgmax(1, dtype="mixed_float16")
    maps = np.zeros((1, 64, 64, 3), "float16")
    points = layer(maps)
    assert keras.backend.standardize_dtype(points.dtype) == "float32"
    np.testing.assert_allclose(numbers(points), 0, atol=1e-6)


def test_maps_of_another_number_of_channels():
    with pytest.raises(ValueError, match=r"3 \* num_points.*27 filters"):
        SoftArgmax(9)(np.zeros((1, 4, 4, 9)))
