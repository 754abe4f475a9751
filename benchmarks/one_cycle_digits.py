"""How accurate is a small CNN on handwritten digits after a short training?

The model, the data and the batch size are those of `examples/schedules.py`.
Five seeds each: Adam at a constant 1e-3, 1cycle at what `lr_find` suggests,
and 1cycle at fastai's `valley`. The split is the same for all. Goal: at the
suggestion a mean of 0.975 after 5 epochs and of 0.99 after 12.

    python benchmarks/one_cycle_digits.py [--write]
"""

import sys
from pathlib import Path

import _measure as measure
import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import schedules

import keras_fast
from keras_fast.callbacks import OneCycle

SEEDS = range(5)
GOALS = {5: 0.975, 12: 0.99}  # by epochs


def start_anew(model, seed):
    """Weights of this seed and a new optimizer state; nothing is traced."""
    keras.utils.set_random_seed(seed)
    model.set_weights(keras.models.clone_model(model).get_weights())
    for variable in model.optimizer.variables:
        if variable is not model.optimizer.learning_rate:
            variable.assign(keras.ops.zeros_like(variable))


def accuracy(model, data, seed, epochs, rate):
    x_train, y_train, x_test, y_test = data
    start_anew(model, seed)
    model.fit(
        x_train,
        y_train,
        batch_size=schedules.BATCH_SIZE,
        epochs=epochs,
        callbacks=[OneCycle(rate)] if rate else [],
        verbose=0,
    )
    return model.evaluate(x_test, y_test, verbose=0)[1]


def main():
    data, model = schedules.load_data(), schedules.build_model()
    model.optimizer.build(model.trainable_variables)
    names = ("constant Adam 1e-3", "1cycle, suggestion", "1cycle, valley")
    reached = {(name, n): [] for n in GOALS for name in names}
    rates = {name: [] for name in names}
    for seed in SEEDS:
        start_anew(model, seed)
        found = keras_fast.lr_find(
            model, data[0], data[1], batch_size=schedules.BATCH_SIZE
        )
        valley = found.suggestions["valley"]
        for name, rate in zip(
            names, (None, found.suggestion, valley), strict=True
        ):
            rates[name].append(rate or 1e-3)
            for epochs in GOALS:
                value = accuracy(model, data, seed, epochs, rate)
                reached[name, epochs].append(value)
    rows = []
    for (name, epochs), values in reached.items():
        met = "met" if np.mean(values) >= GOALS[epochs] else "missed"
        goal = f"{met} (≥ {GOALS[epochs]})" if name == names[1] else ""
        rows.append(
            [
                name,
                f"{min(rates[name]):.1e} to {max(rates[name]):.1e}",
                epochs,
                f"{np.mean(values):.4f}",
                f"{min(values):.4f}",
                f"{np.std(values, ddof=1):.4f}",
                goal,
            ]
        )
    head = ["way", "learning rates", "epochs", "mean", "lowest", "sd", "goal"]
    measure.report("one_cycle_digits", measure.table(head, rows))


if __name__ == "__main__":
    main()
