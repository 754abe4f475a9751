"""What does each of the eight steps bring?

The steps are those of `examples/image_classification.py` with two cycles, on
the clip art beside it. Two splits by groups of near-duplicates, two tasks: all
six classes, and animal or food.
The yardsticks are a logistic regression on what the frozen base computes, a
random forest on small images, and the head on cached features alone.
"""

import sys
import tempfile
import time
from pathlib import Path

from _measure import report, table

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import image_classification as example
import keras
import numpy as np
import tensorflow as tf
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_fast
from keras_fast.data import AugTransforms, load_images

SPLITS = 2
NUM_CYCLES = 2
TASKS = {"six classes": None, "animal or food": ("animal", "food")}


def clip_art():
    """All images, their classes, groups and the names of the classes."""
    paths = sorted(example.CLIP_ART.glob("*/*/*.png"))
    names = sorted({path.parent.name for path in paths})
    x = load_images(paths, example.SIZE)
    y = [names.index(path.parent.name) for path in paths]
    group = [int(path.name.split("_")[0]) for path in paths]
    return x, np.array(y), np.array(group), names


def split(group, seed):
    """Which images are for validation: a quarter of the groups."""
    groups = np.random.default_rng(seed).permutation(np.unique(group))
    return np.isin(group, groups[: len(groups) // 4])


def regression(train, valid):
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.003, max_iter=500)
    )
    return classifier.fit(*train).score(*valid)


def forest(train, valid):
    def small(images, labels):
        size = tf.image.resize(images, (24, 24), method="area")
        return size.numpy().reshape(len(images), -1), labels

    classifier = RandomForestClassifier(300, random_state=0)
    return classifier.fit(*small(*train)).score(*small(*valid))


def measure(x, y, valid, seed):
    """Accuracy and seconds of each row, in their order."""
    keras.utils.set_random_seed(seed)
    augment, size = AugTransforms(seed=seed), example.BATCH_SIZE
    train = (x[~valid], y[~valid])
    x_valid, y_valid = x[valid], y[valid]
    rows = {"random forest on pixels": (forest(train, (x_valid, y_valid)), 0)}

    def batches(shuffled):
        data = tf.data.Dataset.from_tensor_slices(train)
        if shuffled:
            data = data.shuffle(len(train[0]), seed=seed).batch(size)
            data = data.map(lambda x, y: (augment(x, training=True), y))
        else:
            data = data.batch(size)
        return data.prefetch(2)

    model = example.build(int(y.max()) + 1)
    body, _ = keras_fast.split_head(model)

    frozen = [
        (body.predict(images, verbose=0), labels)
        for images, labels in (train, (x_valid, y_valid))
    ]
    rows["regression on features"] = (regression(*frozen), 0)

    def accuracy(probabilities):
        return float(np.mean(probabilities.argmax(axis=-1) == y_valid))

    start = time.process_time()

    def tell(step, result=None, rate=None):
        nonlocal start
        seconds = time.process_time() - start
        rows[step] = (accuracy(model.predict(x_valid, verbose=0)), seconds)
        print(step, rows[step], rate or "", flush=True)
        start = time.process_time()

    def averaged(name, model):
        nonlocal start
        views = keras_fast.predict_tta(model, x_valid, augment, seed=seed)
        rows[name] = (accuracy(views), time.process_time() - start)
        start = time.process_time()

    with tempfile.TemporaryDirectory() as folder:
        data = batches(False), batches(True), (x_valid, y_valid)
        snapshots, _ = example.eight_steps(
            model, *data, folder, tell, NUM_CYCLES
        )
        averaged("with test-time augmentation", model)
        averaged("with the ensemble too", snapshots.to_model())
    print(rows, flush=True)
    return rows


def main():
    x, y, group, names = clip_art()
    texts = []
    for task, wanted in TASKS.items():
        kept = np.isin(y, [names.index(name) for name in wanted or names])
        labels = np.unique(y[kept], return_inverse=True)[1]
        runs = [
            measure(x[kept], labels, split(group[kept], seed), seed)
            for seed in range(SPLITS)
        ]
        rows = []
        for name in runs[0]:
            accuracies = [run[name][0] for run in runs]
            seconds = np.mean([run[name][1] for run in runs])
            rows.append(
                [
                    name,
                    f"{np.mean(accuracies):.3f}",
                    " ".join(f"{a:.3f}" for a in accuracies),
                    f"{seconds:.0f}" if seconds else "",
                ]
            )
        head = [f"{task} ({kept.sum()})", "accuracy", "splits", "seconds"]
        texts.append(table(head, rows))
    report("transfer", "\n\n".join(texts))


if __name__ == "__main__":
    main()
