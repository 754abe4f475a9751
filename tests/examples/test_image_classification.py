"""The eight steps of the example, with a small base and few images."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_fast.data import AugTransforms
from keras_fast.models import image_classifier

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.tensorflow_only  # it reads images with tf.data


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import image_classification

    return image_classification


def base():
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(8, 3, strides=2, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
        ]
    )


@pytest.fixture
def folder(tmp_path):
    """Images of two classes, bright above or below, some against the rule."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("valid", 6)):
        for i in range(2 * count):
            pixels = rng.uniform(0, 100, (16, 16, 3))
            odd = part == "train" and i % 5 == 0
            first = 8 * ((i + odd) % 2)
            pixels[first : first + 8] += 150
            path = tmp_path / part / str(i % 2) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(path, pixels, scale=False)
    return tmp_path


# The example silences it when it is imported, pytest resets that.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
def test_the_eight_steps(example, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "SIZE", 16)
    model = image_classifier(base(), 2, input_shape=(16, 16, 3))
    augment = AugTransforms(seed=0)
    train = example.load(folder / "train")
    augmented = example.load(folder / "train", augment)
    valid = example.load(folder / "valid")
    told = []
    snapshots, recorder = example.eight_steps(
        model,
        train,
        augmented,
        valid,
        tmp_path / "kept",
        lambda step, result=None, rate=None: told.append((step, rate)),
    )
    assert [step[0] for step, _ in told] == list("12345678")
    rates = {step[0]: rate for step, rate in told if rate}
    assert list(rates) == ["2", "7"]
    assert len(snapshots.members) == 3
    # Seven epochs of two batches, from the rate of step 7 down, three times.
    assert len(recorder.learning_rates) == 14
    assert recorder.learning_rates[[0, 2, 6]] == pytest.approx(rates["7"])
    assert model.evaluate(valid, verbose=0)[1] > 0.9
