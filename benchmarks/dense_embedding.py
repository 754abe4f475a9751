"""What does a dense gradient cost?

An epoch of a text classifier with `keras_fast.layers.Embedding`, against one
with `keras.layers.Embedding`, under Adam. Words come as often as Zipf says.

    python benchmarks/dense_embedding.py [--write]
"""

import _measure as measure
import keras
import numpy as np

from keras_fast.layers import Embedding

BATCH, LENGTH, SIZE, PAIRS = 32, 100, 64, 15
BATCHES = {1_000: 100, 10_000: 50, 100_000: 10}


def classifier(layer, words):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((LENGTH,), dtype="int32"),
            layer(words, SIZE),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def compare(words, batches):
    """A row of the table."""
    rng = np.random.default_rng(0)
    often = 1 / np.arange(1, words + 1)
    shape = (batches * BATCH, LENGTH)
    x = rng.choice(words, shape, p=often / often.sum()).astype("int32")
    y = rng.integers(0, 2, len(x))

    def epoch(layer):
        model = classifier(layer, words)
        how = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
        return lambda: model.fit(x, y, **how)

    plain = keras.layers.Embedding
    epochs = [epoch(plain), epoch(Embedding), epoch(plain)]
    seconds = measure.interleaved(epochs, PAIRS)
    share = measure.ratio(seconds, 1)
    return [
        f"{words:,}",
        f"{1000 * np.median(seconds[:, 0]) / batches:.2f} ms",
        measure.shown(share),
        measure.verdict(share, 1.05),
        measure.shown(measure.ratio(seconds, 2)),
    ]


def main():
    head = ["words", "plain step", "dense / plain", "goal", "plain / plain"]
    rows = [compare(words, batches) for words, batches in BATCHES.items()]
    measure.report("dense_embedding", measure.table(head, rows))


if __name__ == "__main__":
    main()
