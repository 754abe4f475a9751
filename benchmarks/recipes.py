"""Which recipe classifies a few hundred images best?

    python benchmarks/recipes.py FOLDER... [--train 100 300 0] [--splits 3]
        [--recipes fine_tune fastai] [--size 96] [--clip-art] [--write NAME]

A FOLDER has a folder of images for every class. A file `groups.csv` (file,
group) keeps images together that are of one thing. In each split groups are
drawn at random for training, and up to 400 images of the others are the test.
`--train 0` takes all but a quarter of the images. `--clip-art` adds three tasks
of the images in examples/data.

The baseline is three lines of scikit-learn: a logistic regression on the
standardized mean features of the frozen base, its penalty chosen by
cross-validation within the training images. Each recipe is one call of
`keras_fast.fine_tune`, with `AugTransforms`, on the same images; *TTA* is
`predict_tta` with four views. *Ratio* is the error of a recipe over that of
the regression, both averaged over splits; the last rows have the geometric
mean and the worst of the tasks. Seconds are of the CPU, and one thread's.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import argparse
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from _images import CLIP_ART_TASKS, clip_art, photos, split
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_fast
from keras_fast import models
from keras_fast.data import AugTransforms, load_images

FASTAI = {
    "epochs": 4,
    "head_epochs": 0,
    "freeze_epochs": 1,
    "base_lr": 2e-3,
    "lr_mult": 100,
    "train_batchnorm": True,
    "average": 0,
}
# Arguments of the head, the optimizer and `fine_tune`.
RECIPES = {
    "fine_tune": ({}, "adam", {"epochs": 8}),
    "fastai": ({"head_units": 512}, "adam", FASTAI),
}
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")


def build(num_classes, size, **head):
    base = models.efficientnet_lite0(include_top=False)
    return models.image_classifier(
        base, num_classes, input_shape=(size, size, 3), **head
    )


def regression(train, test, size):
    """Accuracy of a logistic regression on the frozen base's features."""
    body, _ = keras_fast.split_head(build(2, size))
    x, x_test = (body.predict(x, verbose=0) for x, _ in (train, test))
    classifier = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(Cs=np.logspace(-4, 0, 7), cv=4, max_iter=300),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what scikit-learn will change
        return classifier.fit(x, train[1]).score(x_test, test[1])


def recipe(name, train, test, seed):
    """Accuracy, accuracy with TTA and CPU seconds of one recipe."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    head, optimizer, arguments = RECIPES[name]
    x, y = train
    augment = AugTransforms(seed=seed)
    data = tf.data.Dataset.from_tensor_slices(train)
    data = data.shuffle(len(x), seed=seed).batch(32)
    data = data.map(lambda x, y: (augment(x, training=True), y)).prefetch(2)
    model = build(int(y.max()) + 1, x.shape[1], **head)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    start = time.process_time()
    keras_fast.fine_tune(model, data, **arguments, verbose=0)
    seconds = time.process_time() - start
    x_test, y_test = test
    augmented, plain = keras_fast.predict_tta(
        model, x_test, augment, beta=None, seed=seed
    )
    views = 0.25 * plain + 0.75 * augmented
    accuracies = [np.mean(p.argmax(-1) == y_test) for p in (plain, views)]
    return [*accuracies, seconds]


def measured(task, num_train, options):
    """Mean over splits: regression, then three numbers for each recipe."""
    paths, names, groups = task
    x = load_images(paths, options.size)
    y = np.unique(names, return_inverse=True)[1]
    groups = np.asarray(groups)
    rows = []
    for seed in range(options.splits):
        train, test = split(y, groups, seed, num_train)
        # A class that is missing in training has no number.
        labels = np.searchsorted(np.unique(y[train]), y)
        data = [(x[part], labels[part]) for part in (train, test)]
        row = [regression(*data, options.size)]
        for name in options.recipes:
            row += recipe(name, *data, seed)
        print(len(train), len(test), np.round(row, 3), flush=True)
        rows.append(row)
    return len(train), np.mean(rows, axis=0)


def summary(results, column):
    """Geometric mean and worst of the ratios of errors."""
    errors = [1 - row for _, _, row in results]
    # Half an image of 400: no recipe is beyond that.
    ratios = [
        max(error[column], 1 / 800) / max(error[0], 1 / 800) for error in errors
    ]
    return float(np.exp(np.mean(np.log(ratios)))), max(ratios), ratios


def text(results, recipes):
    head = ["task", "images", "regression"]
    for name in recipes:
        head += [name, "with TTA", "CPU seconds"]
    columns = range(1, 1 + 3 * len(recipes))
    ratios = {c: summary(results, c) for c in columns if c % 3}
    rows = []
    for i, (name, count, row) in enumerate(results):
        cells = [name, count, f"{row[0]:.3f}"]
        for c in columns:
            if c % 3:
                cells.append(f"{row[c]:.3f} ({ratios[c][2][i]:.2f})")
            else:
                cells.append(f"{row[c]:.0f}")
        rows.append(cells)
    for place, name in enumerate(("geometric mean of ratios", "worst ratio")):
        cells = [name, "", ""]
        for c in columns:
            cells.append(f"{ratios[c][place]:.2f}" if c % 3 else "")
        rows.append(cells)
    return measure.table(head, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--train", nargs="+", type=int, default=[100, 300, 0])
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES))
    parser.add_argument("--clip-art", action="store_true")
    parser.add_argument("--write", help="section of docs/benchmarks.md")
    options = parser.parse_args()
    tasks = {folder.name: photos(folder) for folder in options.folders}
    if options.clip_art:
        tasks |= {name: clip_art(c) for name, c in CLIP_ART_TASKS.items()}
    if not tasks:
        parser.error("pass folders of images, or --clip-art")
    texts = []
    for num_train in options.train:
        results = []
        for name, task in tasks.items():
            print(name, flush=True)
            results.append((name, *measured(task, num_train, options)))
        texts.append(text(results, options.recipes))
        print(texts[-1], flush=True)
    measure.report(options.write, "\n\n".join(texts))


if __name__ == "__main__":
    main()
