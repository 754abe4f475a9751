"""How long does the first update take, with a callback of this package?

Without one, TensorFlow traces the step of an optimizer that is not built yet
twice. The network is EfficientNet-Lite0, and all of it trains.

    python benchmarks/first_trace.py [--write]
"""

import _measure as measure
import keras
import numpy as np

import keras_fast
from keras_fast import callbacks, models

REPEATS, SIZE = 5, 64


def compiled():
    base = models.efficientnet_lite0(include_top=False)
    model = models.image_classifier(base, 2, input_shape=(SIZE, SIZE, 3))
    keras_fast.unfreeze(model)
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def first_update(*chosen):
    model = compiled()
    x, y = np.zeros((8, SIZE, SIZE, 3), "float32"), np.arange(8) % 2
    return measure.cpu_seconds(
        lambda: model.fit(x, y, callbacks=list(chosen), verbose=0)
    )


def main():
    ways = {
        "Keras alone": lambda: first_update(),
        "OneCycle": lambda: first_update(callbacks.OneCycle(1e-3)),
        "Recorder": lambda: first_update(callbacks.Recorder()),
    }
    seconds = np.empty((REPEATS, len(ways)))
    for row in seconds:
        for k, way in enumerate(ways.values()):
            keras.backend.clear_session()
            row[k] = way()
    rows = [
        [
            name,
            f"{np.median(seconds[:, k]):.1f} s",
            measure.shown(measure.ratio(seconds, k)) if k else 1,
        ]
        for k, name in enumerate(ways)
    ]
    head = ["callback", "first update", "as a share"]
    measure.report("first_trace", measure.table(head, rows))


if __name__ == "__main__":
    main()
