"""What do new statistics cost?

`update_batch_norm` on data as arrays, against an epoch of training on them,
and against `evaluate()`. It compiles anew at each call. Goal: at most half of
the epoch.

    python benchmarks/batch_norm_update.py [--write]
"""

import _measure as measure
import keras
import numpy as np

from keras_fast import update_batch_norm

BATCH, PAIRS = 32, 9
layers = keras.layers


def dense():
    """Ten layers."""
    blocks = [
        layer
        for _ in range(5)
        for layer in (
            layers.Dense(256, activation="relu"),
            layers.BatchNormalization(),
        )
    ]
    return [keras.Input((256,)), *blocks], 160


def convolutional():
    """Ten layers."""
    blocks = [
        layer
        for filters, strides in ((16, 1), (16, 1), (32, 2), (32, 1), (64, 2))
        for layer in (
            layers.Conv2D(
                filters, 3, strides, padding="same", activation="relu"
            ),
            layers.BatchNormalization(),
        )
    ]
    pool = layers.GlobalAveragePooling2D()
    return [keras.Input((24, 24, 3)), *blocks, pool], 60


def compare(build):
    """A row of the table."""
    keras.utils.set_random_seed(0)
    stack, batches = build()
    model = keras.Sequential([*stack, layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    shape = (batches * BATCH, *model.input_shape[1:])
    x = np.random.default_rng(0).standard_normal(shape, "float32")
    y = np.arange(len(x)) % 10
    how = {"batch_size": BATCH, "verbose": 0}
    seconds = measure.interleaved(
        [
            lambda: model.fit(x, y, shuffle=False, **how),
            lambda: update_batch_norm(model, x, batch_size=BATCH),
            lambda: model.evaluate(x, y, **how),
        ],
        PAIRS,
    )
    share = measure.ratio(seconds, 1)
    return [
        build.__name__,
        batches,
        f"{np.median(seconds[:, 0]):.2f} s",
        measure.shown(share),
        measure.verdict(share, 0.5),
        measure.shown(measure.ratio(seconds, 2)),
    ]


def main():
    head = [
        "ten layers",
        "batches",
        "epoch",
        "update / epoch",
        "goal",
        "evaluate / epoch",
    ]
    rows = [compare(build) for build in (dense, convolutional)]
    measure.report("batch_norm_update", measure.table(head, rows))


if __name__ == "__main__":
    main()
