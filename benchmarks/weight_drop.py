"""What does dropping recurrent weights cost?

A training step of a language model of two LSTMs, 64 windows of 72 tokens and
2000 words, with `keras_fast.layers.WeightDropLSTM` and with Keras's
`recurrent_dropout`, against one with plain LSTMs. Then how fast `TextStream`
and `TextBatches` are.

    python benchmarks/weight_drop.py [--write]
"""

import _measure as measure
import keras
import numpy as np

from keras_fast.data import TextBatches, TextStream
from keras_fast.layers import Bias, Embedding, WeightDropLSTM

WORDS, SIZE, UNITS, BATCH, LENGTH, STEPS, PAIRS = 2000, 128, 256, 64, 72, 4, 12


def weight_drop(units, **arguments):
    return WeightDropLSTM(units, 0.2, **arguments)


def recurrent_dropout(units, **arguments):
    return keras.layers.LSTM(units, recurrent_dropout=0.2, **arguments)


def language_model(lstm):
    keras.utils.set_random_seed(0)
    embedding = Embedding(WORDS, SIZE)
    ids = keras.Input((LENGTH,), dtype="int32")
    x = lstm(UNITS, return_sequences=True)(embedding(ids))
    x = lstm(SIZE, return_sequences=True)(x)
    model = keras.Model(ids, Bias()(embedding(x, reverse=True)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    return model


def lstms():
    """Rows of the table."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, WORDS, BATCH * LENGTH * STEPS + 1)
    stream = TextStream(ids, BATCH, LENGTH)
    plain = keras.layers.LSTM
    found = []
    for lstm in (plain, weight_drop, recurrent_dropout, plain):
        model = language_model(lstm)
        found.append(lambda model=model: model.fit(stream, verbose=0))
    seconds = measure.interleaved(found, PAIRS)
    names = ["LSTM", "WeightDropLSTM", "LSTM, recurrent_dropout", "LSTM again"]
    for k, name in enumerate(names):
        share = measure.ratio(seconds, k)
        yield [
            name,
            f"{1000 * np.median(seconds[:, k]) / STEPS:.0f} ms",
            "" if k == 0 else measure.shown(share),
            measure.verdict(share, 1.05) if k == 1 else "",
        ]


def data():
    """Tokens a second of an epoch, in its first pass."""
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(4, 0.6, 20_000)).astype(int) + 1
    offsets = np.cumsum([0, *lengths])
    ids = rng.integers(1, WORDS, offsets[-1]).astype("int32")
    stream = TextStream(ids, BATCH, LENGTH, offsets=offsets)
    batches = TextBatches(ids, lengths, offsets=offsets)
    padded = sum(x.size for x, _ in _passed(batches)) / len(ids)
    for name, made in (("TextStream", stream), ("TextBatches", batches)):
        seconds = []
        for _ in range(7):
            made.epoch += 1
            seconds.append(measure.cpu_seconds(lambda made=made: _passed(made)))
        speed = len(ids) / np.median(seconds) / 1e6
        share = f"{padded:.3f}" if made is batches else "1"
        yield [name, f"{speed:.0f} million", share]


def _passed(data):
    return [data[i] for i in range(data.num_batches)]


def main():
    head = ["layers", "step", "/ LSTM", "goal"]
    text = measure.table(head, list(lstms()))
    head = ["data", "tokens a second", "padded / real tokens"]
    text += "\n\n" + measure.table(head, list(data()))
    measure.report("weight_drop", text)


if __name__ == "__main__":
    main()
