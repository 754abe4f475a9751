"""What does the importance of each column cost?

`feature_importance`, one repeat, against a plain loop in batches of the same
size: permute a column, `model.predict()`, the error, and so on. Both also
predict the rows as they are. 13 columns, 9,768 rows, a model of
`tabular_model`. Both are warmed up first, so no tracing is in it. Goal: it
takes no longer than the loop.

    python benchmarks/feature_importance.py [--write]
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import keras
import numpy as np

from keras_fast.data import TableEncoder
from keras_fast.inference import feature_importance
from keras_fast.models import tabular_model

ROWS, WORDS, NUMBERS = 9768, 8, 5  # as the test data of adult
PAIRS = 11


def subject():
    """A compiled model, its inputs and its labels."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    words = {
        f"word_{i}": rng.integers(0, 5 + 5 * i, ROWS) for i in range(WORDS)
    }
    numbers = {f"number_{i}": rng.normal(size=ROWS) for i in range(NUMBERS)}
    encoder = TableEncoder([*words], [*numbers])
    encoder.adapt(words | numbers)
    model = tabular_model(encoder, 1)
    model.compile("adam", "mse")
    return model, encoder(words | numbers), rng.normal(size=ROWS)


def loop(model, x, y, batch_size):
    """How much worse the error is without each column."""
    order = np.random.default_rng(0).permutation(len(y))

    def error(rows):
        predicted = model.predict(rows, batch_size=batch_size, verbose=0)
        return np.mean((predicted[:, 0] - y) ** 2)

    before = error(x)
    return [error({**x, name: x[name][order]}) - before for name in x]


def row(model, x, y, batch_size):
    def ours():
        return feature_importance(
            model, x, y, num_repeats=1, batch_size=batch_size
        ).importances

    def plain():
        return loop(model, x, y, batch_size)

    np.testing.assert_allclose(ours(), plain(), rtol=1e-3, atol=1e-5)
    seconds = measure.interleaved([plain, ours], PAIRS)
    share = measure.ratio(seconds, 1)
    return [
        batch_size,
        *(f"{1000 * x:.0f} ms" for x in np.median(seconds, axis=0)),
        measure.shown(share),
        measure.verdict(share, 1.0),
    ]


def main():
    model, x, y = subject()
    head = ["batch size", "loop of `predict()`", "feature_importance"]
    rows = [row(model, x, y, size) for size in (256, 1024)]
    table = measure.table([*head, "ratio", "goal"], rows)
    measure.report("feature_importance", table)


if __name__ == "__main__":
    main()
