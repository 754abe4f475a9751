"""What does test-time augmentation cost?

`predict_tta` with eight views against eight calls of `predict()`, one a view,
in turn. All are warmed up first, so no tracing is in it. Goals: a small CNN at
most 0.12 times the eight calls for 64 images, 0.45 times for 512; a large
one, where all is arithmetic, at most 1.05 times nine calls of `predict()`, for
`predict_tta` runs the plain images too.

    python benchmarks/tta.py [--write]
"""

import _measure as measure
import keras
import numpy as np

from keras_fast import predict_tta
from keras_fast.inference import corners_and_flips


def small():
    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(8, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def large():
    return keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)


def compare(build, images, calls, goal, pairs):
    """A row of the table."""
    keras.utils.set_random_seed(0)
    model = build()
    rng = np.random.default_rng(0)
    shape = (images, *model.input_shape[1:])
    x = rng.uniform(0, 255, shape).astype("float32")
    views = corners_and_flips()
    seen = [keras.ops.convert_to_numpy(view(x)) for view in views]
    seen = [x, *seen][-calls:]

    def naive():
        for view in seen:
            model.predict(view, verbose=0)

    def tta():
        predict_tta(model, x, views)

    seconds = measure.interleaved([naive, tta], pairs, warm_up=2)
    share = measure.ratio(seconds, 1)
    return [
        build.__name__,
        images,
        f"{calls} x `predict()`",
        f"{1000 * np.median(seconds[:, 0]):.0f} ms",
        measure.shown(share),
        measure.verdict(share, goal),
    ]


def main():
    head = ["model", "images", "against", "it takes", "ratio", "goal"]
    rows = [
        compare(small, 64, 8, 0.12, 20),
        compare(small, 512, 8, 0.45, 20),
        compare(large, 64, 9, 1.05, 7),
    ]
    measure.report("tta", measure.table(head, rows))


if __name__ == "__main__":
    main()
