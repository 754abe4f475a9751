"""fast.ai's eight steps on real images, in a few minutes on a CPU.

The images are public-domain clip art of six classes; the network is
EfficientNet-Lite0 as it was trained on ImageNet. A table says what each step
took and how many of the validation images the model then gets right. After
the steps come test-time augmentation and the ensemble of the snapshots. What
to compare with comes first: the same network trained from scratch for as many
epochs as step 8, and a logistic regression on what the frozen base computes.

The table and the pictures are on one page, `demo/report.html`. Nothing is
downloaded.
"""

import tempfile
import time

import keras
import matplotlib as mpl
import numpy as np
from _report import Report
from image_classification import (
    CLIP_ART,
    SEED,
    build,
    eight_steps,
    load,
)
from matplotlib import pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_fast
from keras_fast import callbacks, inference
from keras_fast.data import AugTransforms
from keras_fast.plots import plot_schedule

mpl.use("Agg")

CLASSES = sorted(path.name for path in (CLIP_ART / "train").iterdir())
# Of step 8; a third, of four epochs, would take a minute or two.
NUM_CYCLES = 2


class Progress:
    """Adds a row for each step; the clock stands while it evaluates."""

    def __init__(self, report, accuracy):
        self.report, self.accuracy = report, accuracy
        self.found = []
        self.start = time.perf_counter()

    def __call__(self, step, result=None, rate=None):
        cells = {"seconds": time.perf_counter() - self.start}
        if isinstance(result, keras_fast.LRFinderResult):
            self.found.append((result, rate))
            cells["rate"] = rate
        elif result is not None:
            cells["epochs"] = len(result.epoch)
            cells["accuracy"] = self.accuracy()
        self.report.row(step, **cells)
        self.start = time.perf_counter()


def arrays(images):
    x, y = zip(*images.as_numpy_iterator(), strict=True)
    return np.concatenate(x), np.concatenate(y)


def regression(train, valid):
    """Accuracy of a logistic regression on the base's mean features."""
    body, _ = keras_fast.split_head(build(len(CLASSES)))

    def features(images):
        return body.predict(images, verbose=0), arrays(images)[1]

    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.003, max_iter=500)
    )
    classifier.fit(*features(train))
    return classifier.score(*features(valid))


def from_scratch(x, y):
    """The same network with random weights, all of it trained with 1cycle."""
    augmented = load(CLIP_ART / "train", AugTransforms(seed=SEED))
    model, rate = build(len(CLASSES), weights=None), 5e-3
    epochs = callbacks.SGDR.num_epochs(NUM_CYCLES, cycle_mult=2)
    keras_fast.unfreeze(model)
    optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    cycle = callbacks.OneCycle(rate)
    model.fit(augmented, epochs=epochs, callbacks=[cycle], verbose=0)
    right = model.predict(x, verbose=0).argmax(axis=-1) == y
    return {"rate": rate, "epochs": epochs, "accuracy": np.mean(right)}


def compare(report, name, measure):
    """A row for another way; `measure` returns accuracy, and what else."""
    start = time.perf_counter()
    cells = measure()
    report.row(name, seconds=time.perf_counter() - start, **cells)
    return cells["accuracy"]


def plot_steps(rows, baseline):
    """Accuracy after each step, beside that of the regression."""
    steps = [(row[0].strip(), float(row[-1])) for row in rows if row[-1]]
    names, accuracies = zip(*steps, strict=True)
    _, ax = plt.subplots(
        figsize=(8, 0.4 * len(names) + 1.2), layout="constrained"
    )
    ax.axvline(baseline, color="#0072B2", ls="--")
    name = "logistic regression on frozen features  "
    ax.text(baseline, -0.7, name, color="#0072B2", ha="right")
    ax.plot(accuracies, names, "o", color="#222", markersize=8)
    ax.set_ylim(len(names) - 0.5, -1.2)
    ax.set_xlabel("accuracy on the validation images")
    ax.grid(axis="x", color="#ddd")
    return ax


def draw(report, progress, recorder, model, x, y):
    """What happened, and what the model does now."""
    parts = ("the head", "all layers")
    for (found, rate), part in zip(progress.found, parts, strict=True):
        caption = (
            f"A sweep of the learning rate for {part}: the loss of each "
            f"update, and the rates that the rules suggest. Taken: {rate:.1e}"
        )
        if rate == found.suggestions["trained"]:
            caption += (
                ", a safe distance below where the loss begins to rise, for a "
                "model that is trained already"
            )
        name = part.split()[-1]
        report.picture(f"lr_find_{name}", f"{caption}.", found.plot())
    rates = {"learning_rate": recorder.learning_rates}
    caption = "Step 8: the learning rate of the last group at each update."
    report.picture("schedule", caption, plot_schedule(rates))
    caption = "Step 8: the training loss of each update, and smoothed."
    report.picture("losses", caption, recorder.plot())
    matrix = inference.confusion_matrix(model, x, y, class_names=CLASSES)
    caption = "The validation images: what they are, and what they are seen as."
    report.picture("confusion", caption, matrix.plot())
    worst = inference.top_losses(model, x, y, k=9, class_names=CLASSES)
    caption = "Those with the highest loss."
    report.picture("top_losses", caption, worst.plot()[0])
    maps = inference.grad_cam(model, worst.inputs)
    caption = "Where the model looks in them, for the class that it predicts."
    report.picture("grad_cam", caption, maps.plot(class_names=CLASSES)[0])


def main():
    start = time.perf_counter()
    keras.utils.set_random_seed(SEED)
    train, valid = load(CLIP_ART / "train"), load(CLIP_ART / "valid")
    x, y = arrays(valid)
    print(f"{len(x)} validation images of {', '.join(CLASSES)}\n")
    report = Report("demo")
    compare(
        report,
        "the same network from scratch",
        lambda: from_scratch(x, y),
    )
    baseline = compare(
        report,
        "logistic regression on frozen features",
        lambda: {"accuracy": regression(train, valid)},
    )

    # From here on as if nothing had come before.
    keras.utils.set_random_seed(SEED)
    augment = AugTransforms(seed=SEED)
    augmented = load(CLIP_ART / "train", augment)
    model = build(len(CLASSES))

    def accuracy(probabilities):
        return float(np.mean(probabilities.argmax(axis=-1) == y))

    def now():
        return accuracy(model.predict(x, verbose=0))

    progress = Progress(report, now)
    with tempfile.TemporaryDirectory() as folder:
        snapshots, recorder = eight_steps(
            model, train, augmented, valid, folder, progress, NUM_CYCLES
        )
        ensemble = snapshots.to_model()

    def tta(model):
        averaged = keras_fast.predict_tta(model, x, augment, seed=SEED)
        return {"accuracy": accuracy(averaged)}

    compare(report, "  with test-time augmentation", lambda: tta(model))
    compare(
        report,
        "  with the ensemble of snapshots and both",
        lambda: tta(ensemble),
    )
    steps = plot_steps(report.rows, baseline)
    report.picture("steps", "The accuracy after each step.", steps)
    draw(report, progress, recorder, model, x, y)
    seconds = time.perf_counter() - start
    path = report.save("Eight steps", __doc__.split("\n\n")[1])
    print(f"\n{seconds:.0f} s in all; the pictures are in {path.resolve()}")


if __name__ == "__main__":
    main()
