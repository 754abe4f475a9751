"""What do cached features save, and what does making them cost?

MobileNetV2 at 96 px, frozen, weights random. An epoch of the head on cached
features is measured against an epoch of the whole model (goal: at most 0.08
times on maps, 0.045 pooled) and against an epoch of the same head on the same
features as arrays in memory (goal: at most 1.2 times). `cache_features` is
measured against `predict` (goal: at most 1.05 times). And a linear head on
60,000 x 1,280 features, where reading is most of the work, against the same on
arrays in memory (goal: at most 1.2 times), with batches of 32 and of 256.

    python benchmarks/cached_features.py [--write]
"""

import shutil
import tempfile

import _measure as measure
import keras
import numpy as np

from keras_fast import cache_features, split_head
from keras_fast.models import image_classifier

ROWS, BATCH, PAIRS = 960, 32, 5
GOALS = {"maps": 0.08, "pooled": 0.045}
LINEAR = [
    "linear head, batch",
    "epoch in memory",
    "cached / in memory",
    "goal",
    "in memory, shuffled / not",
]


def compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def epoch(model, *data, **arguments):
    def fit():
        model.fit(*data, shuffle=False, verbose=0, **arguments)

    return fit


def compare(name, directory):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (ROWS, 96, 96, 3)).astype("float32")
    y = np.arange(ROWS) % 10
    shape = (96, 96, 3)
    model = image_classifier("MobileNetV2", 10, input_shape=shape, weights=None)
    base = next(x for x in model.layers if isinstance(x, keras.Model))
    body, head = split_head(model, at=base if name == "maps" else None)
    _, twin = split_head(model, at=base if name == "maps" else None)

    def extract():
        shutil.rmtree(directory, ignore_errors=True)
        cache_features(body, x, y, directory=directory, batch_size=BATCH)

    def predict():
        body.predict(x, batch_size=BATCH, verbose=0)

    costs = measure.interleaved([predict, extract, predict], PAIRS)
    cache = cache_features(body, x, y, directory=directory)
    whole = epoch(compiled(model), x, y, batch_size=BATCH)
    cached = epoch(compiled(head), cache.dataset(BATCH, seed=0))
    in_memory = epoch(compiled(twin), *cache.arrays(), batch_size=BATCH)
    seconds = measure.interleaved([whole, cached, in_memory], PAIRS)
    saved = measure.ratio(seconds, 1)
    reading = measure.ratio(seconds, 1, base=2)
    making = measure.ratio(costs, 1)
    return [
        name,
        f"{np.median(seconds[:, 0]):.2f} s",
        measure.shown(saved),
        f"{'met' if saved[0] <= GOALS[name] else 'missed'} (≤ {GOALS[name]})",
        measure.shown(reading),
        measure.verdict(reading, 1.2),
        measure.shown(making),
        measure.verdict(making, 1.05),
        measure.shown(measure.ratio(costs, 2)),
    ]


def compare_linear(batch, directory):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60_000, 1280), "float32")
    y = np.arange(len(x)) % 10
    body = keras.Sequential([keras.Input((1280,)), keras.layers.Identity()])
    cache = cache_features(body, x, y, directory=directory)

    def linear(*data, **how):
        head = keras.Sequential([keras.Input((1280,)), keras.layers.Dense(10)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        head.compile("adam", loss)
        how = {"verbose": 0, "shuffle": False} | how
        return lambda: head.fit(*data, **how)

    epochs = [
        linear(x, y, batch_size=batch),
        linear(cache.dataset(batch, seed=0)),
        linear(x, y, batch_size=batch, shuffle=True),
    ]
    seconds = measure.interleaved(epochs, 9)
    reading = measure.ratio(seconds, 1)
    return [
        batch,
        f"{np.median(seconds[:, 0]):.2f} s",
        measure.shown(reading),
        measure.verdict(reading, 1.2),
        measure.shown(measure.ratio(seconds, 2)),
    ]


def main():
    head = [
        "features",
        "epoch of the model",
        "cached / model",
        "goal",
        "cached / in memory",
        "goal",
        "making / predict",
        "goal",
        "predict / predict",
    ]
    with tempfile.TemporaryDirectory() as directory:
        rows = [compare(name, directory) for name in GOALS]
        linear = [compare_linear(batch, directory) for batch in (32, 256)]
    tables = [measure.table(head, rows), measure.table(LINEAR, linear)]
    measure.report("cached_features", "\n\n".join(tables))


if __name__ == "__main__":
    main()
