"""What does `lr_find` cost, and what does it do to the next fit?

A model that has trained before (and swept before, so that nothing is traced)
sweeps 100 steps, against 100 plain steps of `fit()`, in turn. `stop_factor`
is so high that no sweep stops early. What a sweep costs besides its steps is
in it: putting the model back, and the judgement. Goal: at most 1.10 times its
steps on the MLP, at most 1.03 on the CNN.

Then the fit after a sweep is measured against the fit of a twin that never
swept. Goal: 1.00, within 0.02.

The first sweep traces a step of its own; what it takes is shown beside the
first fit, which traces too.

    python benchmarks/lr_find_overhead.py [--write]
"""

import _measure as measure
import keras
import numpy as np

from keras_fast import lr_find

PAIRS = 25
STEPS = 100
AFTER = 0.02


def mlp():
    x = np.random.default_rng(0).normal(size=(32 * STEPS, 256))
    layers = [keras.layers.Dense(256, activation="relu") for _ in range(4)]
    return x.astype("float32"), layers, 1.10


def cnn():
    x = np.random.default_rng(0).normal(size=(32 * STEPS, 20, 20, 3))
    layers = [
        keras.layers.Conv2D(16, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
    ]
    return x.astype("float32"), layers, 1.03


def prepared(task):
    """The model's fit, its sweep, and the goal."""
    x, layers, goal = task()
    y = np.arange(len(x)) % 10
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), *layers, keras.layers.Dense(10)]
    )
    model.compile(
        keras.optimizers.Adam(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )

    def fit():
        model.fit(x, y, batch_size=32, verbose=0)

    def sweep():
        found = lr_find(
            model,
            x,
            y,
            batch_size=32,
            end_lr=1e-3,
            num_steps=STEPS,
            stop_factor=1e9,
        )
        assert len(found.losses) == STEPS, found.stop_reason

    return fit, sweep, goal


def compare(task):
    """A row of the table."""
    fit, sweep, goal = prepared(task)
    plain_fit, _, _ = prepared(task)
    first_fit, first_sweep = (
        measure.cpu_seconds(fit),
        measure.cpu_seconds(sweep),
    )

    seconds = measure.interleaved([fit, sweep, plain_fit], PAIRS)
    cost = measure.ratio(seconds, 1)

    def untimed_sweep_then(k):
        if k == 0:
            sweep()
        return measure.cpu_seconds((fit, plain_fit)[k])

    after = np.array(
        [
            [untimed_sweep_then(k) for k in ((0, 1), (1, 0))[i % 2]][
                :: 1 if i % 2 == 0 else -1
            ]
            for i in range(PAIRS)
        ]
    )
    after = measure.ratio(after, 0, base=1)
    met = abs(after[0] - 1) <= AFTER
    return [
        task.__name__.upper(),
        f"{1000 * np.median(seconds[:, 0]) / STEPS:.2f} ms",
        measure.shown(cost),
        measure.verdict(cost, goal),
        measure.shown(after),
        f"{'met' if met else 'missed'} (1.00 ± {AFTER})",
        measure.shown(measure.ratio(seconds, 2)),
        f"{first_sweep:.2f} s, {first_fit:.2f} s",
    ]


def main():
    head = [
        "model",
        "plain step",
        "sweep / its steps",
        "goal",
        "fit after a sweep / fit",
        "goal",
        "plain / plain",
        "first sweep, first fit",
    ]
    rows = [compare(mlp), compare(cnn)]
    measure.report("lr_find_overhead", measure.table(head, rows))


if __name__ == "__main__":
    main()
