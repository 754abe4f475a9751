"""How long does a language model of this size train?

    python benchmarks/language_model_sizes.py [--write]

Tokens a second in training on one core, 16 windows of 72 tokens, small to
fastai's sizes.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import keras
import numpy as np

from keras_fast.data import TextStream
from keras_fast.models import language_model

BATCH_SIZE, LENGTH, STEPS, REPEATS = 16, 72, 3, 5
SMALL = {"embedding_size": 128, "units": 256, "num_layers": 2}
SIZES = [(2000, SMALL), (8000, SMALL), (8000, {})]
CORPUS = 10_000_000  # tokens


def training(words, sizes):
    """Some steps of it."""
    model = language_model(words, **sizes)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", crossentropy)
    ids = np.random.default_rng(0).integers(0, words, BATCH_SIZE * 2 * LENGTH)
    x, y = TextStream(ids, BATCH_SIZE, LENGTH, seed=0)[0]
    return lambda: [model.train_on_batch(x, y) for _ in range(STEPS)]


def main():
    seconds = measure.interleaved([training(*x) for x in SIZES], REPEATS)
    rows = []
    for (words, sizes), once in zip(SIZES, np.median(seconds, 0), strict=True):
        pace = STEPS * BATCH_SIZE * LENGTH / once
        widths = "`units=256, embedding_size=128, num_layers=2`"
        name = widths if sizes else "the defaults, fastai's"
        hours = CORPUS / pace / 3600
        rows.append([name, f"{words:,}", f"{pace:,.0f}", f"{hours:.1f} hours"])
    head = ["sizes", "vocabulary", "tokens a second", "ten million tokens"]
    measure.report("language_model_sizes", measure.table(head, rows))


if __name__ == "__main__":
    main()
