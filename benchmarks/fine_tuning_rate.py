"""Which learning rate does `lr_find` suggest for a model that is trained?

    python benchmarks/fine_tuning_rate.py FOLDER... [--only NAME] [--write]

Each task is a model whose head is trained on the features of its pretrained
base: on 300 images of a FOLDER (see recipes.py), on the clip art in
examples/data, and one on a table of numbers, whose base was trained on other
labels. A grid of peak rates is trained for four epochs with `fine_tune`; the
validation loss at any rate in between is read off that curve (linear in the
logarithms). Then `lr_find` sweeps, and its rules suggest a rate.

    regret = log(loss at the rate / lowest loss on the grid)

0 is as good as the best rate of the grid, 0.69 twice its loss. A rule that
suggests nothing leaves the model as it is. Beside the rules stand the rate that
the sweep of the head had found, fixed rates, and what is taken: `trained` if it
speaks, else `fine_tune`'s default.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import argparse
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from _images import CLIP_ART_TASKS, clip_art, photos, split
from recipes import build
from sklearn.datasets import make_classification

import keras_fast
from keras_fast.data import AugTransforms, load_images
from keras_fast.training._head import train_head

RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
DEFAULT = 4e-4  # half of `base_lr`
SIZE = 96
SWEEPS = 2
LOSS = "sparse_categorical_crossentropy"
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")


def batches(x, y, augment=None, seed=0):
    data = tf.data.Dataset.from_tensor_slices((x, y))
    data = data.shuffle(len(x), seed=seed).batch(32)
    if augment is not None:
        data = data.map(lambda x, y: (augment(x, training=True), y))
    return data.prefetch(2)


def images(paths, names, groups):
    """Training data, validation data and an uncompiled model."""
    x = load_images(paths, SIZE)
    y = np.unique(names, return_inverse=True)[1]
    train, test = split(y, np.asarray(groups), 0, 300)
    y = np.searchsorted(np.unique(y[train]), y)
    data = batches(x[train], y[train], AugTransforms(seed=0))
    return data, (x[test], y[test]), build(int(y.max()) + 1, SIZE)


def table():
    """The base has learned four groups of classes; asked for are all eight."""
    x, y = make_classification(
        3000, 40, n_informative=15, n_classes=8, random_state=1
    )
    layers = [keras.layers.Dense(100, activation="relu") for _ in range(3)]
    base = keras.Sequential([keras.Input((40,)), *layers])
    scores = keras.layers.Dense(4, activation="softmax")
    model = keras.Sequential([base, scores])
    model.compile("adam", LOSS)
    model.fit(x[:2000], y[:2000] // 2, epochs=20, verbose=0)
    head = [
        keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.Dense(8, activation="softmax"),
    ]
    train, test = slice(2000, 2300), slice(2300, 3000)
    return (
        batches(x[train], y[train]),
        (x[test], y[test]),
        keras.Sequential([keras.Input((40,)), base, *head]),
    )


def measured(data, valid, model):
    """Loss before, loss at each rate, and rates by rule for each sweep."""
    model.compile("adam", LOSS)
    body, head = keras_fast.split_head(model)
    x, y = zip(*((body.predict_on_batch(x), y) for x, y in data), strict=True)
    head.compile("adam", LOSS)
    x, y = np.concatenate(x), np.concatenate(y)
    of_head = keras_fast.lr_find(head, x, y).suggestions["highest"]
    train_head(model, {"x": data}, 30, 4)
    keras_fast.unfreeze(model, train_batchnorm=False)
    start, weights = model.evaluate(*valid, verbose=0), model.get_weights()
    sweeps = []
    for _ in range(SWEEPS):
        found = keras_fast.lr_find(model, data)
        rates = dict(found.suggestions)
        rates["taken"] = rates["trained"] or DEFAULT
        rates["the head's rate"] = of_head
        rates |= {"fixed 4e-4": DEFAULT, "fixed 1e-3": 1e-3}
        sweeps.append(rates)
    losses = []
    for rate in RATES:
        model.set_weights(weights)
        model.compile("adam", LOSS)
        keras_fast.fine_tune(
            model, data, epochs=4, head_epochs=0, base_lr=2 * rate, verbose=0
        )
        losses.append(model.evaluate(*valid, verbose=0))
    return start, np.array(losses), sweeps


def regret(rate, start, losses):
    if rate is None:
        return np.log(start / losses.min())
    where = np.clip(np.log(rate), np.log(RATES[0]), np.log(RATES[-1]))
    loss = np.interp(where, np.log(RATES), np.log(losses))
    if rate < RATES[0]:  # towards 0 the model stays as it is
        share = np.log(rate / RATES[0]) / np.log(1e-3)
        loss += np.clip(share, 0, 1) * (np.log(start) - loss)
    return loss - np.log(losses.min())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    tasks = {f.name: lambda f=f: images(*photos(f)) for f in options.folders}
    for name, classes in CLIP_ART_TASKS.items():
        tasks[name] = lambda classes=classes: images(*clip_art(classes))
    tasks["table"] = table
    rows, regrets = [], {}
    for name, make in tasks.items():
        if options.only and name not in options.only:
            continue
        keras.backend.clear_session()
        keras.utils.set_random_seed(0)
        start, losses, sweeps = measured(*make())
        cells = [name, f"{start:.3f}", *(f"{loss:.3f}" for loss in losses)]
        given = [sweep["taken"] for sweep in sweeps]
        cells.append(" ".join(f"{rate:.1e}" for rate in given))
        for rule in sweeps[0]:
            mine = [regret(sweep[rule], start, losses) for sweep in sweeps]
            regrets.setdefault(rule, []).append(np.mean(mine))
        cells.append(f"{regrets['taken'][-1]:.3f}")
        rows.append(cells)
        print(cells, {k: round(v[-1], 3) for k, v in regrets.items()}, sweeps)
    head = ["task", "loss before", *(f"{rate:.0e}" for rate in RATES)]
    head += ["rate taken", "its regret"]
    rules = [
        [rule, f"{np.median(values):.3f}", f"{max(values):.3f}"]
        for rule, values in regrets.items()
    ]
    summary = measure.table(["rate", "median regret", "worst"], rules)
    text = f"{measure.table(head, rows)}\n\n{summary}"
    measure.report("fine_tuning_rate", text)


if __name__ == "__main__":
    main()
