"""How long does it take to find all that a model holds?

`lr_find` and `ResumableCheckpoint` do it once a sweep and a save. Goal: at most
20 ms for 1,000 layers.

    python benchmarks/state_walk.py [--write]
"""

import sys

import _measure as measure
import keras
import numpy as np

from keras_fast._keras.held import variables_of

GOAL, LAYERS, REPEATS = 0.020, 1000, 15


def deep():
    """Dense layers and BatchNormalization in turn, trained for a batch."""
    sys.setrecursionlimit(20 * LAYERS)  # Keras goes from layer to layer
    layers = keras.layers
    stack = [
        layer
        for _ in range(LAYERS // 2)
        for layer in (layers.Dense(8), layers.BatchNormalization())
    ]
    model = keras.Sequential([keras.Input((8,)), *stack])
    model.compile("adam", "mse", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    return model


def main():
    model = deep()
    seconds = measure.interleaved([lambda: variables_of(model)], REPEATS, 2)
    middle, low, high = np.percentile(seconds, (50, 25, 75))
    count = len(variables_of(model)[0])
    verdict = "met" if middle <= GOAL else "missed"
    row = [
        LAYERS,
        count,
        f"{1e3 * middle:.1f} ms ({1e3 * low:.1f} to {1e3 * high:.1f})",
        f"{verdict} (≤ {1e3 * GOAL:.0f} ms)",
    ]
    head = ["layers", "variables", "walk", "goal"]
    measure.report("state_walk", measure.table(head, [row]))


if __name__ == "__main__":
    main()
