"""Which of several things are in an image? A label for each that is.

    python examples/multi_label.py

Scenes of one to three of scikit-learn's handwritten digits, 0 to 4. The
backbone is EfficientNet-Lite0, whose weights come in a package: nothing is
downloaded.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_fast
from keras_fast import inference, models

SIZE = 64  # pixels
NUM_TRAIN, NUM_VALID, NUM_TEST = 400, 100, 100
NAMES = ["0", "1", "2", "3", "4"]
SEED = 0


def scenes(digits, labels, number, seed):
    """Images (n, SIZE, SIZE, 3), 0 to 255, and rows of 0 and 1."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 60, SIZE)[:, None, None]
    images = rng.uniform(0, 120, (number, 1, 1, 3)) + slope
    images = images + rng.normal(0, 8, (number, SIZE, SIZE, 3))
    found = np.zeros((number, len(NAMES)), "float32")
    for image, row in zip(images, found, strict=True):
        for _ in range(rng.integers(1, 4)):
            i, scale = rng.integers(len(digits)), rng.integers(2, 4)
            ink = digits[i].repeat(scale, axis=0).repeat(scale, axis=1)
            top, left = rng.integers(0, SIZE - len(ink), 2)
            there = np.s_[top : top + len(ink), left : left + len(ink)]
            image[there] += 8 * ink[..., None]
            row[labels[i]] = 1
    return np.clip(images, 0, 255).astype("uint8"), found


def load():
    """Training, validation and test scenes; no digit is in two of them."""
    digits, labels = load_digits(n_class=len(NAMES), return_X_y=True)
    parts = np.array_split(digits.reshape(-1, 8, 8), 3)
    numbers = NUM_TRAIN, NUM_VALID, NUM_TEST
    return [
        scenes(*part, number, SEED + i)
        for i, (*part, number) in enumerate(
            zip(parts, np.array_split(labels, 3), numbers, strict=True)
        )
    ]


def build(weights="imagenet"):
    base = models.efficientnet_lite0(weights, include_top=False)
    shape = (SIZE, SIZE, 3)
    model = models.image_classifier(
        base, len(NAMES), input_shape=shape, activation="sigmoid"
    )
    optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    model.compile(optimizer, "binary_crossentropy")
    return model


def main():
    keras.utils.set_random_seed(SEED)
    train, valid, test = load()
    model = build()
    keras_fast.fine_tune(model, *train, epochs=5, verbose=0)
    # Thresholds are chosen on one set and judged on another.
    chosen = inference.label_report(model, *valid).thresholds
    report = inference.label_report(
        model, *test, thresholds=chosen, class_names=NAMES
    )
    print("label  threshold  precision  recall")
    for i, name in enumerate(NAMES):
        numbers = chosen[i], report.precision[i], report.recall[i]
        print(f"{name:>5}{numbers[0]:11.2f}{numbers[1]:11.2f}{numbers[2]:8.2f}")
    print(f"mean average precision {report.mean_average_precision:.3f}")
    print(f"of chance              {test[1].mean():.3f}")


if __name__ == "__main__":
    main()
