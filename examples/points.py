"""Where is it? Points in images, found by a pretrained network.

    python examples/points.py [IMAGE]

Scenes with one of scikit-learn's handwritten digits each, small or large. The
network learns where its middle is. The backbone is EfficientNet-Lite0, whose
weights come in a package: nothing is downloaded. IMAGE is where to draw some
results.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_fast
from keras_fast import inference, models

SIZE = 64  # pixels
NUM_TRAIN, NUM_TEST = 300, 100
SEED = 0


def scenes(digits, number, seed):
    """Images (n, SIZE, SIZE, 3), 0 to 255, and middles (n, 1, 2), x and y."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 60, SIZE)[:, None, None]
    images = rng.uniform(0, 120, (number, 1, 1, 3)) + slope
    images = images + rng.normal(0, 8, (number, SIZE, SIZE, 3))
    middles = np.empty((number, 1, 2), "float32")
    for image, middle in zip(images, middles, strict=True):
        scale = rng.integers(2, 5)
        ink = digits[rng.integers(len(digits))]
        ink = ink.repeat(scale, axis=0).repeat(scale, axis=1)
        row, column = rng.integers(0, SIZE - len(ink) + 1, 2)
        there = np.s_[row : row + len(ink), column : column + len(ink)]
        image[there] += 8 * ink[..., None]
        middle[:] = np.array([column, row]) + (len(ink) - 1) / 2
    return np.clip(images, 0, 255).astype("uint8"), middles


def load():
    """Training and test scenes; no digit is in both."""
    digits = load_digits().images
    half = len(digits) // 2
    train = scenes(digits[:half], NUM_TRAIN, SEED)
    return train, scenes(digits[half:], NUM_TEST, SEED + 1)


def build(weights="imagenet"):
    base = models.efficientnet_lite0(weights, include_top=False)
    model = models.point_regressor(base, 1, input_shape=(SIZE, SIZE, 3))
    model.compile(keras.optimizers.AdamW(weight_decay=0.01), "mae")
    return model


def error(found, points):
    """The median distance, in pixels."""
    return float(np.median(np.linalg.norm(found - points, axis=-1)))


def main():
    keras.utils.set_random_seed(SEED)
    (images, points), (x_test, y_test) = load()
    model = build()
    keras_fast.fine_tune(model, images, points, epochs=5, verbose=0)
    found = model.predict(x_test, verbose=0)
    constant = np.median(points, axis=0)
    print(f"always the middle: {error(constant, y_test):.1f} pixels")
    print(f"point_regressor:   {error(found, y_test):.1f} pixels")
    if len(sys.argv) > 1:
        axes = inference.show_results(model, x_test, y_test)
        axes[0, 0].figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
