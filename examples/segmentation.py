"""A label for each pixel: where is which digit?

    python examples/segmentation.py

Scenes of two or three of scikit-learn's handwritten digits on a made
background, in which a U-Net marks each digit's pixels. The encoder is
EfficientNet-Lite0, whose weights come in a package: nothing is downloaded.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits

from keras_fast import models
from keras_fast.callbacks import OneCycle

SIZE = 64  # pixels
NUM_TRAIN, NUM_VALID = 300, 100
BATCH_SIZE = 16
NAMES = ["background", "0", "1", "2", "3"]
SEED = 0


def scenes(digits, labels, number, seed):
    """Images (n, SIZE, SIZE, 3), 0 to 255, and masks of class numbers."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 60, SIZE)[:, None, None]
    images = rng.uniform(0, 120, (number, 1, 1, 3)) + slope
    images = images + rng.normal(0, 8, (number, SIZE, SIZE, 3))
    masks = np.zeros((number, SIZE, SIZE), "uint8")
    for image, mask in zip(images, masks, strict=True):
        for _ in range(rng.integers(2, 4)):
            i, scale = rng.integers(len(digits)), rng.integers(2, 4)
            ink = digits[i].repeat(scale, axis=0).repeat(scale, axis=1)
            row, column = rng.integers(0, SIZE - len(ink), 2)
            there = np.s_[row : row + len(ink), column : column + len(ink)]
            image[there] += 8 * ink[..., None]
            mask[there][ink > 6] = labels[i] + 1
    return np.clip(images, 0, 255).astype("uint8"), masks


def load():
    """Training and validation scenes; no digit is in both."""
    digits, labels = load_digits(n_class=len(NAMES) - 1, return_X_y=True)
    digits = digits.reshape(-1, 8, 8)
    half = len(digits) // 2
    train = scenes(digits[:half], labels[:half], NUM_TRAIN, SEED)
    valid = scenes(digits[half:], labels[half:], NUM_VALID, SEED + 1)
    return train, valid


def build(weights="imagenet"):
    base = models.efficientnet_lite0(weights, include_top=False)
    return models.unet(base, len(NAMES), input_shape=(SIZE, SIZE, 3))


def train(model, images, masks, epochs, max_lr=4e-3):
    """The decoder alone: the encoder is frozen."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(
        images,
        masks,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[OneCycle(max_lr)],
        verbose=0,
    )


def intersection_over_union(predicted, masks):
    """Of each class: pixels in both masks, as a share of those in either."""
    scores = {}
    for number, name in enumerate(NAMES):
        ours, theirs = predicted == number, masks == number
        scores[name] = (ours & theirs).sum() / max((ours | theirs).sum(), 1)
    return scores


def main():
    keras.utils.set_random_seed(SEED)
    (images, masks), (x_valid, y_valid) = load()
    model = build()
    train(model, images, masks, epochs=5)
    predicted = model.predict(x_valid, verbose=0).argmax(axis=-1)
    scores = intersection_over_union(predicted, y_valid)
    for name, score in scores.items():
        print(f"{name}: {score:.2f}")
    print(f"validation: mean IoU {np.mean(list(scores.values())):.3f}")


if __name__ == "__main__":
    main()
