"""What does a learning rate for each group cost?

One MLP of eight layers is fitted with Adam, with Adam inside
`DiscriminativeOptimizer` at three rates, and with Keras's own
`MultiOptimizer` of three Adams, in turn. Goal: at most 1.05 times the
optimizer inside.

    python benchmarks/discriminative_overhead.py [--write]
"""

import _measure as measure
import keras
import numpy as np

from keras_fast import layer_multipliers
from keras_fast.optimizers import DiscriminativeOptimizer

PAIRS = 40
GOAL = 1.05
STEPS, BATCH_SIZE, WIDTH = 96, 32, 256
RATES = (1e-4, 3e-4, 1e-3)


def new_model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((WIDTH,)),
            *(
                keras.layers.Dense(WIDTH, activation="relu", name=f"layer_{i}")
                for i in range(8)
            ),
            keras.layers.Dense(10, name="layer_8"),
        ]
    )


def plain(model):
    return keras.optimizers.Adam(RATES[-1])


def discriminative(model):
    multipliers = layer_multipliers(model, list(RATES))
    return DiscriminativeOptimizer(plain(model), multipliers)


def multi(model):
    """An Adam for each third of the layers, chosen by their paths."""
    low, middle, high = map(keras.optimizers.Adam, RATES)
    return keras.optimizers.MultiOptimizer(
        keras.optimizers.OptimizerMap(
            high, {"layer_[0-2]/.*": low, "layer_[3-5]/.*": middle}
        )
    )


def fitting(make_optimizer):
    model = new_model()
    model.compile(
        make_optimizer(model),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x = np.random.default_rng(0).normal(size=(STEPS * BATCH_SIZE, WIDTH))
    x, y = x.astype("float32"), np.arange(len(x)) % 10
    return lambda: model.fit(x, y, batch_size=BATCH_SIZE, verbose=0)


def main():
    makers = (plain, discriminative, multi, plain)
    seconds = measure.interleaved(
        [fitting(maker) for maker in makers], PAIRS, warm_up=2
    )
    rows = []
    names = ("Adam", "DiscriminativeOptimizer", "MultiOptimizer", "Adam again")
    for k, name in enumerate(names):
        quantiles = measure.ratio(seconds, k)
        rows.append(
            [
                name,
                f"{1000 * np.median(seconds[:, k]) / STEPS:.2f} ms",
                measure.shown(quantiles) if k else "1",
                measure.verdict(quantiles, GOAL) if k == 1 else "",
            ]
        )
    measure.report(
        "discriminative_overhead",
        measure.table(["optimizer", "step", "ratio to Adam", "goal"], rows),
    )


if __name__ == "__main__":
    main()
