"""Points in images, on a small network."""

import keras
import numpy as np
import pytest

import keras_fast
from keras_fast.models import point_regressor
from keras_fast.training._features import Features
from keras_fast.training._points import start_points

SIZE = 32


def backbone():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 127.5, -1),
            keras.layers.Conv2D(8, 3, strides=2, padding="same"),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Conv2D(16, 3, strides=2, padding="same"),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Conv2D(16, 3, strides=2, padding="same"),
        ]
    )


def spots(number, size=SIZE):
    """A bright spot each, and where it is."""
    rng = np.random.default_rng(0)
    points = rng.uniform(4, size - 5, (number, 1, 2)).astype("float32")
    y, x = np.mgrid[:size, :size]
    away = (x - points[..., :1]) ** 2 + (y - points[..., 1:]) ** 2
    images = 255 * np.exp(-away / 8)
    return np.repeat(images[..., None], 3, axis=-1), points


@pytest.mark.parametrize("units", ["pixels", "relative"])
def test_starts_in_the_middle_at_any_size(units):
    model = point_regressor(
        backbone(), 2, input_shape=(SIZE, SIZE, 3), units=units
    )
    for height, width in ((32, 32), (16, 64)):
        found = model.predict(np.zeros((1, height, width, 3)), verbose=0)
        middle = [(width - 1) / 2, (height - 1) / 2]
        expected = middle if units == "pixels" else [0, 0]
        np.testing.assert_allclose(found, [[expected] * 2], atol=1e-4)


def test_learns_where_a_spot_is_and_finds_it_in_larger_images(tmp_path):
    images, points = spots(256)
    model = point_regressor(backbone(), 1, input_shape=(SIZE, SIZE, 3))
    keras_fast.unfreeze(model)
    model.compile(keras.optimizers.Adam(), "mae")
    # Those that are not there have no say.
    wrong = points.copy()
    wrong[::4] = 1000
    weights = np.ones((256, 1))
    weights[::4] = 0
    model.fit(
        images,
        wrong,
        sample_weight=weights,
        epochs=25,
        callbacks=[keras_fast.callbacks.OneCycle(0.02)],
        verbose=0,
    )
    found = model.predict(images, verbose=0)
    constant = np.abs(points - points.mean(axis=0)).mean()
    assert np.abs(found - points).mean() < 0.25 * constant
    larger, there = spots(64, 64)
    found = model.predict(larger, verbose=0)
    constant = np.abs(there - there.mean(axis=0)).mean()
    assert np.abs(found - there).mean() < 0.5 * constant
    model.save(tmp_path / "points.keras")
    again = keras.saving.load_model(tmp_path / "points.keras")
    np.testing.assert_allclose(again.predict(larger, verbose=0), found)


def test_its_groups_head_and_recipe():
    images, points = spots(32)
    model = point_regressor(backbone(), 1, input_shape=(SIZE, SIZE, 3))
    body, head = keras_fast.split_head(model)
    assert [layer.name for layer in head.layers if layer.weights] == [
        "points_bn",
        "points_conv1",
        "points_bn1",
        "points_conv3",
        "points_bn3",
        "point_maps",
    ]
    np.testing.assert_allclose(
        head.predict(body.predict(images, verbose=0), verbose=0),
        model.predict(images, verbose=0),
        atol=1e-4,
    )
    model.compile("adam", "mae")
    history = keras_fast.fine_tune(
        model, images, points, epochs=1, head_epochs=2, verbose=0
    )
    assert history.head is not None


@pytest.mark.parametrize("units", ["pixels", "relative"])
def test_fine_tune_starts_points_at_their_means(units):
    images, points = spots(8)
    points = np.concatenate([points, points + 3], axis=1)
    if units == "relative":
        points = 2 * (points + 0.5) / SIZE - 1
    # Those that are missing have no say.
    weights = np.ones((8, 2))
    weights[::3, 1] = 0
    expected = [points[:, 0].mean(0), points[weights[:, 1] > 0, 1].mean(0)]
    model = point_regressor(
        backbone(), 2, input_shape=(SIZE, SIZE, 3), units=units
    )
    body, head = keras_fast.split_head(model)
    features = body.predict(images, verbose=0)
    start_points(head, Features(features, points, weights, 8, 1))
    found = model.predict(images, verbose=0)
    np.testing.assert_allclose(found, [expected] * 8, atol=1e-3)


def test_points_that_are_no_numbers_are_refused_before_anything_trains():
    images, points = spots(8)
    points[2, 0, 1] = np.nan
    model = point_regressor(backbone(), 1, input_shape=(SIZE, SIZE, 3))
    model.compile("adam", "mae")
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"Received: y\[2, 0\]=\[.*, nan\]"):
        keras_fast.fine_tune(model, images, points, epochs=1, verbose=0)
    for value, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.parametrize("shape", [(8, 2), (8, 1, 2), (8, 4)])
def test_points_that_a_loss_would_broadcast_are_refused(shape):
    images, _ = spots(8)
    model = point_regressor(backbone(), 2, input_shape=(SIZE, SIZE, 3))
    model.compile("adam", "mae")
    with pytest.raises(ValueError, match="must be x and y of each point"):
        keras_fast.fine_tune(model, images, np.ones(shape), epochs=1, verbose=0)


@pytest.mark.parametrize("shape", [(8,), (8, 2, 2)])
def test_weights_that_keras_could_take_for_others_are_refused(shape):
    images, points = spots(8)
    points = np.repeat(points, 2, axis=1)
    model = point_regressor(backbone(), 2, input_shape=(SIZE, SIZE, 3))
    model.compile("adam", "mae")
    with pytest.raises(ValueError, match=r"Pass \(n, 1\) for one for each"):
        keras_fast.fine_tune(
            model,
            images,
            points,
            sample_weight=np.ones(shape),
            epochs=1,
            verbose=0,
        )


def test_pixels_are_refused_where_shares_are_found():
    images, points = spots(8)
    model = point_regressor(
        backbone(), 1, input_shape=(SIZE, SIZE, 3), units="relative"
    )
    model.compile("adam", "mae")
    with pytest.raises(ValueError, match="`y` must be shares of the image"):
        keras_fast.fine_tune(model, images, points, epochs=1, verbose=0)


def test_features_are_those_at_an_eighth_of_the_size():
    base = backbone()
    deeper = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            *base.layers,
            keras.layers.Conv2D(9, 3, strides=2, padding="same"),
        ]
    )
    # Eight pixels are enough, since the deeper layer is left out.
    for network, size in ((base, SIZE), (deeper, SIZE), (deeper, 8)):
        model = point_regressor(network, 1, input_shape=(size, size, 3))
        assert model.get_layer("points_bn").gamma.shape == (16,)
        assert model.get_layer("points").stride == 8
    with pytest.raises(ValueError, match="stride of the features, 8 pixels"):
        point_regressor(deeper, 1, input_shape=(7, SIZE, 3))
    patches = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(9, 16, strides=16)]
    )
    model = point_regressor(patches, 1, input_shape=(SIZE, SIZE, 3))
    assert model.get_layer("points").stride == 16


def test_float32_under_mixed_precision_and_what_it_refuses():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = point_regressor(backbone(), 3, input_shape=(SIZE, SIZE, 3))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.output.dtype == "float32"
    assert model.output_shape == (None, 3, 2)
    with pytest.raises(ValueError, match="`units` must be"):
        point_regressor(backbone(), 3, units="metres")
