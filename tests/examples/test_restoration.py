"""The example, with few images and a small network to look with."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_fast.losses import FeatureLoss

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = [pytest.mark.once, pytest.mark.tensorflow_only]  # loads images


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import restoration

    return restoration


def test_measures(example):
    wanted = np.zeros((2, 8, 8, 3))
    wanted[:, ::2] = 1
    assert example.psnr(wanted + 0.1 * (1 - 2 * wanted), wanted) == (
        pytest.approx(20)
    )
    assert example.sharpness(wanted / 2, wanted) == pytest.approx(0.5)


def test_it_is_ahead_of_bicubic_and_features_come_nearer(example):
    images = example.load("train", 16)
    assert images.shape == (16, 64, 64, 3)
    small, wanted = pairs = example.damage(images)
    assert small.shape == (16, 16, 16, 3)
    keras.utils.set_random_seed(0)
    model = example.build(filters=8, num_blocks=1)
    enlarged = example.bicubic(small)
    start = model.predict(small, verbose=0)
    np.testing.assert_allclose(start, enlarged, atol=1e-5)
    example.train(model, pairs, "mse", 40, 0.01)
    made = model.predict(small, verbose=0)
    assert example.psnr(made, wanted) > example.psnr(start, wanted) + 0.2
    network = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
        ]
    )
    loss = FeatureLoss(network, style=1.0)
    before = float(loss(wanted, made))
    example.train(model, pairs, loss, 40, 0.003)
    assert float(loss(wanted, model.predict(small, verbose=0))) < before
