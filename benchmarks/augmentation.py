"""How fast is `AugTransforms`?

A pipeline of `tf.data` augments the same images, 224 pixels square, with
`AugTransforms` and with Keras's own layers for the same six operations, in
turn. The same pipeline without augmentation is measured too. Goal: at least
four times the images a second, the bare pipeline's time included.

    python benchmarks/augmentation.py [--write]
"""

import _measure as measure
import keras
import numpy as np
import tensorflow as tf

from keras_fast.data import AugTransforms

PAIRS = 7
IMAGES = 128
GOAL = 0.25


def separate():
    """Keras's layers, with the magnitudes of fastai."""
    layers = keras.layers
    return keras.layers.Pipeline(
        [
            layers.RandomFlip("horizontal"),
            layers.RandomPerspective(0.75, scale=0.2),
            layers.RandomRotation(10 / 360, fill_mode="reflect"),
            layers.RandomZoom((-0.1, 0.0), fill_mode="reflect"),
            layers.RandomBrightness(0.2),
            layers.RandomContrast(0.2),
        ]
    )


def run(layer, batch_size, dtype):
    pixels = np.random.default_rng(0).uniform(0, 255, (IMAGES, 224, 224, 3))
    data = tf.data.Dataset.from_tensor_slices(pixels.astype(dtype))
    data = data.batch(batch_size)
    if layer is not None:
        data = data.map(lambda x: layer(x, training=True))

    def whole_epoch():
        for _ in data:
            pass

    return whole_epoch


def compare(batch_size, dtype):
    """A row of the table."""
    runs = [
        run(layer, batch_size, dtype)
        for layer in (separate(), AugTransforms(), None)
    ]
    seconds = measure.interleaved(runs, PAIRS)
    share = measure.ratio(seconds, 1)
    rates = IMAGES / np.median(seconds, axis=0)
    return [
        batch_size,
        dtype,
        *(f"{rate:.0f} a second" for rate in rates),
        measure.shown(share),
        measure.verdict(share, GOAL),
    ]


def main():
    head = [
        "batch",
        "pixels",
        "separate layers",
        "AugTransforms",
        "no augmentation",
        "time of AugTransforms / of separate layers",
        "goal",
    ]
    rows = [
        compare(n, dtype) for n in (8, 32) for dtype in ("uint8", "float32")
    ]
    measure.report("augmentation", measure.table(head, rows))


if __name__ == "__main__":
    main()
