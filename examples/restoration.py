"""Repair small JPEGs: from 16 to 64 pixels, by pixels and by features.

    python examples/restoration.py [IMAGE]

The clip art beside this file is made four times smaller and saved as JPEG. A
network learns to undo that: first with the squared error of the pixels, then
with a loss that compares features of EfficientNet-Lite0, whose weights come in
a package. Nothing is downloaded. IMAGE is where to draw some results.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_fast
from keras_fast import callbacks, data
from keras_fast.layers import ICNR, PixelShuffle
from keras_fast.losses import FeatureLoss

CLIP_ART = Path(__file__).parent / "data" / "clipart"
SIZE, SCALE = 64, 4
QUALITIES = 20, 60
BATCH_SIZE = 16


def load(part, most):
    """Clip art on white, (n, SIZE, SIZE, 3), from 0 to 255."""
    paths = sorted((CLIP_ART / part).glob("*/*.png"))
    order = np.random.default_rng(0).permutation(len(paths))[:most]
    paths = [paths[i] for i in order]
    return data.load_images(paths, SIZE, background=(255, 255, 255))


def damage(images, seed=0):
    """Small JPEGs of the images, and the images, both from 0 to 1."""
    small = data.crappify(images, scale=SCALE, quality=QUALITIES, seed=seed)
    return small.astype("float32") / 255, images.astype("float32") / 255


def build(filters=32, num_blocks=3):
    """A network of a few layers that adds to a bicubic enlargement.

    It works on the small image, and its end is pixel shuffle, twice.
    """
    conv = keras.layers.Conv2D
    inputs = keras.Input((None, None, 3))
    x = conv(filters, 3, padding="same")(inputs)
    for _ in range(num_blocks):
        y = conv(filters, 3, padding="same", activation="relu")(x)
        y = conv(filters, 3, padding="same")(y)
        x = keras.layers.Add()([x, y])
    for _ in range(2):
        x = conv(4 * filters, 1, activation="relu", kernel_initializer=ICNR())(
            x
        )
        x = PixelShuffle(2)(x)
    # Zeros: it starts as the enlargement.
    details = conv(3, 3, padding="same", kernel_initializer="zeros")(x)
    enlarged = keras.layers.UpSampling2D(SCALE, interpolation="bicubic")(inputs)
    outputs = keras.layers.Add(dtype="float32")([enlarged, details])
    return keras.Model(inputs, outputs)


def feature_loss(style=1.0, pixel="mae"):
    network = keras_fast.models.efficientnet_lite0(include_top=False)
    # That takes pixels from 0 to 255.
    layers = [
        keras.Input((None, None, 3)),
        keras.layers.Rescaling(255, name="to_255"),
        network,
    ]
    return FeatureLoss(keras.Sequential(layers), style=style, pixel=pixel)


def train(model, pairs, loss, epochs, max_lr, *extra):
    model.compile(keras.optimizers.Adam(), loss)
    return model.fit(
        *pairs,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[callbacks.OneCycle(max_lr), *extra],
        verbose=0,
    )


def bicubic(small):
    size = SIZE, SIZE
    large = keras.ops.image.resize(small, size, interpolation="bicubic")
    return keras.ops.convert_to_numpy(large)


def psnr(made, wanted):
    """Mean over the images of the signal-to-noise ratio, in decibels."""
    errors = np.square(np.clip(made, 0, 1) - wanted).mean(axis=(1, 2, 3))
    return float(np.mean(-10 * np.log10(errors)))


def sharpness(made, wanted):
    """Mean absolute Laplacian, as a share of the originals'."""

    def edges(images):
        grey = np.clip(images, 0, 1).mean(axis=-1)
        inner = grey[:, 1:-1, 1:-1]
        around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
        around = around + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
        return np.abs(around - 4 * inner).mean()

    return float(edges(made) / edges(wanted))


def main():
    keras.utils.set_random_seed(0)
    pairs = damage(load("train", 240))
    small, wanted = damage(load("valid", 60), seed=1)
    model = build()
    samples = callbacks.SampleImages(small[:4])

    def report(name, made):
        decibels, sharp = psnr(made, wanted), sharpness(made, wanted)
        print(f"{name:<16}{decibels:.2f} dB, sharpness {sharp:.2f}", flush=True)

    report("bicubic", bicubic(small))
    train(model, pairs, "mse", 20, 4e-3, samples)
    report("pixels", model.predict(small, verbose=0))
    train(model, pairs, feature_loss(), 4, 1e-3, samples)
    report("then features", model.predict(small, verbose=0))
    if len(sys.argv) > 1:
        samples.plot().flat[0].figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
