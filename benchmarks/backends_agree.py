"""Do models of tables and ratings learn the same on every backend?

The same 50 updates by Adam, from the same weights, with indices that come many
times in a batch, on TensorFlow, JAX and PyTorch, each in a process of its own.

    python benchmarks/backends_agree.py [--write]
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

BACKENDS = ("tensorflow", "jax", "torch")
GOAL = 1e-5
UPDATES, BATCH = 50, 64


def table():
    """Few words, so that each comes often in a batch."""
    rng = np.random.default_rng(0)
    rows = UPDATES * BATCH
    return {
        "user": rng.integers(0, 9, rows),
        "film": rng.integers(0, 30, rows),
        "age": rng.normal(40, 10, rows),
    }, rng.uniform(1, 5, rows).astype("float32")


def models():
    """Names and models, with weights that are the same everywhere."""
    from keras_fast.data import TableEncoder
    from keras_fast.models import collaborative_filter, tabular_model

    columns, y = table()
    words = TableEncoder(["user", "film"])
    words.adapt(columns)
    both = TableEncoder(["user", "film"], ["age"])
    both.adapt(columns)
    yield (
        "`collaborative_filter`",
        words,
        collaborative_filter(words, y_range=(0, 5.5), targets=y),
    )
    yield "`tabular_model`", both, tabular_model(both, 1, targets=y)


def train(path):
    """Fifty updates of each model on this process's backend."""
    import keras

    columns, y = table()
    found = {}
    for name, encoder, model in models():
        rng = np.random.default_rng(1)
        starts = [rng.normal(0, 0.1, w.shape) for w in model.get_weights()]
        model.set_weights(starts)
        model.compile(keras.optimizers.Adam(1e-3), "mse")
        arguments = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
        model.fit(encoder(columns), y, **arguments)
        for i, value in enumerate(model.get_weights()):
            found[f"{name} {i}"] = value
    np.savez(path, **found)


def differences():
    """Largest difference of a weight from TensorFlow's, by model."""
    weights = {}
    with tempfile.TemporaryDirectory() as folder:
        for backend in BACKENDS:
            path = Path(folder, f"{backend}.npz")
            environment = {**os.environ, "KERAS_BACKEND": backend}
            command = [sys.executable, __file__, "--train", str(path)]
            subprocess.run(command, env=environment, check=True)
            with np.load(path) as file:
                weights[backend] = {name: file[name] for name in file}
    found = {}
    for name, value in weights["tensorflow"].items():
        model = name.split()[0]
        gaps = [np.abs(weights[b][name] - value).max() for b in BACKENDS[1:]]
        found[model] = np.maximum(found.get(model, 0), gaps)
    return found


def main():
    if sys.argv[1:2] == ["--train"]:
        train(sys.argv[2])
        return
    import _measure as measure

    rows = [
        [
            name,
            *(f"{gap:.1e}" for gap in gaps),
            f"{'met' if max(gaps) <= GOAL else 'missed'} (≤ 1e-5)",
        ]
        for name, gaps in differences().items()
    ]
    head = ["50 updates", "JAX", "PyTorch", "goal"]
    measure.report("backends_agree", measure.table(head, rows))


if __name__ == "__main__":
    main()
