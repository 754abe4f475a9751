"""What does 1cycle cost?

The same model is fitted with and without `OneCycle`, in turn. Both are warmed
up first, so no tracing is in it. A third model, plain as well, says how much of
the ratio is chance. Goal: at most 1.02 times the plain time
where a step takes 5 ms or more, at most 1.05 where it takes 1 to 2 ms.

    python benchmarks/callback_overhead.py [--write]

`KERAS_BACKEND=jax` measures JAX.
"""

import _measure as measure
import keras
import numpy as np

from keras_fast.callbacks import OneCycle

PAIRS = 30


def mlp():
    width = 256
    x = np.random.default_rng(0).normal(size=(32 * 128, width))
    layers = [keras.layers.Dense(width, activation="relu") for _ in range(4)]
    return x.astype("float32"), layers, 32, 1.05


def cnn():
    x = np.random.default_rng(0).normal(size=(32 * 96, 24, 24, 3))
    layers = [
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
    ]
    return x.astype("float32"), layers, 32, 1.02


def compiled(x, layers, steps_per_execution):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), *layers, keras.layers.Dense(10)]
    )
    model.compile(
        keras.optimizers.Adam(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        steps_per_execution=steps_per_execution,
    )
    return model


def compare(task, steps_per_execution):
    """A row of the table."""
    fits = []
    # A model of its own for each, as a user of either would have.
    for callbacks in (list, lambda: [OneCycle(1e-3)], list):
        x, layers, batch_size, goal = task()
        y = np.arange(len(x)) % 10
        model = compiled(x, layers, steps_per_execution)

        def fit(model=model, callbacks=callbacks, x=x, y=y, size=batch_size):
            model.fit(x, y, batch_size=size, verbose=0, callbacks=callbacks())

        fits.append(fit)
    seconds = measure.interleaved(fits, PAIRS, warm_up=2)
    steps = len(x) // batch_size
    one_cycle = measure.ratio(seconds, 1)
    return [
        task.__name__.upper(),
        steps_per_execution,
        f"{1000 * np.median(seconds[:, 0]) / steps:.2f} ms",
        measure.shown(one_cycle),
        measure.verdict(one_cycle, goal),
        measure.shown(measure.ratio(seconds, 2)),
    ]


def main():
    head = [
        "model",
        "steps per execution",
        "plain step",
        "1cycle / plain",
        "goal",
        "plain / plain",
    ]
    rows = [compare(task, n) for task in (mlp, cnn) for n in (1, 16)]
    backend = keras.backend.backend()
    measure.report(f"callback_overhead-{backend}", measure.table(head, rows))


if __name__ == "__main__":
    main()
