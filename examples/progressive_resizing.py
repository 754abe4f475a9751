"""Train on small images first, then on larger ones.

    python examples/progressive_resizing.py

Clip art beside this file, of six classes, at 32 and then at 64 pixels, against
64 pixels throughout. The network is small and starts from random weights:
nothing is downloaded.
"""

import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_fast
from keras_fast import data

CLIP_ART = Path(__file__).parent / "data" / "clipart"
SMALL, LARGE = 32, 64
SEED = 0


def load(part, size):
    """Images (n, size, size, 3), 0 to 255, and their classes."""
    paths = sorted((CLIP_ART / part).glob("*/*"))
    classes = sorted({path.parent.name for path in paths})
    labels = np.array([classes.index(path.parent.name) for path in paths])
    return data.load_images(paths, size, background=(255, 255, 255)), labels


def build(num_classes=6, filters=(16, 32, 64, 128)):
    """Convolutions and a mean over all places: any size will do."""
    layers = keras.layers
    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, -1)(inputs)
    x = layers.RandomFlip("horizontal")(x)
    for number in filters:
        x = layers.Conv2D(number, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(x))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(num_classes, "softmax")(x))
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def train(model, of_size, sizes, epochs, max_lr):
    """CPU seconds. `of_size` gives the data of a size."""
    begin = time.process_time()
    keras_fast.progressive_resizing(
        model, of_size, sizes=sizes, epochs=epochs, max_lr=max_lr, verbose=0
    )
    return time.process_time() - begin


def main():
    images = {size: load("train", size) for size in (SMALL, LARGE)}
    valid = load("valid", LARGE)
    for sizes, epochs, max_lr in (
        ([LARGE], [16], [4e-3]),
        ([SMALL, LARGE], [16, 6], [4e-3, 2e-3]),
    ):
        keras.utils.set_random_seed(SEED)
        model = build()
        seconds = train(model, images.get, sizes, epochs, max_lr)
        _, accuracy = model.evaluate(*valid, verbose=0)
        print(f"{sizes}: accuracy {accuracy:.3f}, {seconds:.0f} CPU s")


if __name__ == "__main__":
    main()
