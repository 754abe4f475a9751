"""How good is a U-Net on a pretrained network after a few minutes?

    python benchmarks/segmentation.py CLIP_ART.npz [--seeds 0 1 2] [--write]

Scenes of one to three pieces of clip art on made backgrounds, 128 pixels (see
_scenes.py): 1,000 to train with, and 200 whose clip art has no near-duplicate
among theirs. Each seed has its own split, scenes and weights. The mean
intersection over union is over the six classes and the background, on all
scenes together; foreground is whatever is not background.

The yardsticks are a mask of background alone, a logistic regression on the
maps of the frozen base, enlarged to the size of the images, and the same U-Net
from random weights with as many updates, on the first seed alone. Of the
pretrained one the decoder alone trains, of the other everything. "And mirrored"
is the pretrained one's mean over each scene and its mirror image.
`--inner` splits the clip art for training once more and leaves the validation
scenes alone: the recipe was chosen there.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import argparse
import time
from pathlib import Path

import _scenes
import keras
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import keras_fast
from keras_fast import inference, models
from keras_fast.callbacks import OneCycle

SIZE = 128
NUM_TRAIN, NUM_VALID = 1000, 200
BATCH_SIZE = 16
EPOCHS, MAX_LR = 5, 8e-3
# How much rare classes count for more: 1 would make all count alike.
BALANCE = 0.25
REGRESSION_SCENES, REGRESSION_PIXELS = 600, 20
# From scratch on the first seed alone: it takes twice as long.
WAYS = "all background", "regression", "pretrained", "and mirrored", "scratch"
GOALS = {"mean IoU": 0.40, "foreground IoU": 0.90}


def build(pretrained, num_classes):
    weights = "imagenet" if pretrained else None
    base = models.efficientnet_lite0(weights, include_top=False)
    return models.unet(base, num_classes)


def train(model, scenes, num_classes):
    """What is not frozen: the decoder on a pretrained encoder."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(
        scenes.images,
        scenes.masks,
        sample_weight=weights_of(scenes.masks, num_classes),
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        callbacks=[OneCycle(MAX_LR)],
        verbose=0,
    )


def weights_of(masks, num_classes):
    """A weight for each pixel, by its class; their mean is 1."""
    share = np.bincount(masks.ravel(), minlength=num_classes) / masks.size
    weights = np.maximum(share, 1e-6) ** -BALANCE
    return (weights / (share @ weights)).astype("float32")[masks]


def predicted(model, images):
    logits = model.predict(images, batch_size=BATCH_SIZE, verbose=0)
    return logits.argmax(axis=-1)


def regression(train, valid, num_classes):
    """Masks by a linear model of the maps of levels 3 to 5."""
    encoder = build(True, num_classes).get_layer("encoder")

    def maps(images):
        return encoder.predict(images, batch_size=BATCH_SIZE, verbose=0)[2:]

    rng = np.random.default_rng(0)
    size = (REGRESSION_SCENES, REGRESSION_PIXELS)
    rows, columns = rng.integers(0, SIZE, (2, *size))
    scenes = np.arange(REGRESSION_SCENES)[:, None]
    x = [
        m[scenes, rows * m.shape[1] // SIZE, columns * m.shape[2] // SIZE]
        for m in maps(train.images[:REGRESSION_SCENES])
    ]
    sizes = [each.shape[-1] for each in x]
    x = np.concatenate(x, axis=-1).reshape(-1, sum(sizes))
    y = train.masks[scenes, rows, columns].ravel()
    scaler, linear = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.003, max_iter=200)
    ).fit(x, y)
    # Linear, so the scores are enlarged instead of the maps.
    kernel = linear.coef_ / scaler.scale_
    scores = linear.intercept_ - kernel @ scaler.mean_
    parts = np.split(kernel.T, np.cumsum(sizes)[:-1])
    for level, part in zip(maps(valid.images), parts, strict=True):
        times = SIZE // level.shape[1]
        scores = scores + (level @ part).repeat(times, 1).repeat(times, 2)
    return linear.classes_[scores.argmax(axis=-1)]


def scores_of(found, masks, num_classes):
    """Mean IoU over all classes, and IoU of the foreground."""
    pairs = masks.ravel().astype(int) * num_classes + found.ravel()
    table = np.bincount(pairs, minlength=num_classes**2)
    table = table.reshape(num_classes, num_classes)
    both = np.diag(table)
    either = table.sum(axis=0) + table.sum(axis=1) - both
    foreground = table[1:, 1:].sum() / (table.sum() - table[0, 0])
    return {
        "mean IoU": np.mean(both[either > 0] / either[either > 0]),
        "foreground IoU": foreground,
    }


def measured(art, seed, inner, models_wanted):
    """Scores and CPU seconds of each row of the table."""
    train_art, valid_art = _scenes.split(art, seed)
    if inner:
        train_art, valid_art = _scenes.split(train_art, seed + 1000)
    num_classes = len(art.classes) + 1
    scenes = _scenes.make(train_art, NUM_TRAIN, SIZE, seed)
    valid = _scenes.make(valid_art, NUM_VALID, SIZE, seed + 500)

    kept = {}

    def unet(pretrained):
        keras.utils.set_random_seed(seed)
        model = build(pretrained, num_classes)
        if not pretrained:
            keras_fast.unfreeze(model)
        train(model, scenes, num_classes)
        kept[pretrained] = model
        return predicted(model, valid.images)

    def mirrored():
        flips = inference.flips()
        how = {"batch_size": BATCH_SIZE, "verbose": 0}
        scores = keras_fast.predict_tta(kept[True], valid.images, flips, **how)
        return scores.argmax(axis=-1)

    ways = {
        "all background": lambda: np.zeros_like(valid.masks),
        "regression": lambda: regression(scenes, valid, num_classes),
        "scratch": lambda: unet(False),
        "pretrained": lambda: unet(True),
        "and mirrored": mirrored,
    }
    rows = {}
    for name in models_wanted:
        start = time.process_time()
        rows[name] = scores_of(ways[name](), valid.masks, num_classes)
        rows[name]["CPU seconds"] = time.process_time() - start
        print(seed, name, rows[name], flush=True)
    return rows


def summary(runs):
    rows = []
    for name in runs[0]:
        cells = [name]
        found = [run[name] for run in runs if name in run]
        for score in GOALS:
            values = [run[score] for run in found]
            each = " ".join(f"{value:.3f}" for value in values)
            cells.append(f"{np.mean(values):.3f} ({each})")
        seconds = np.mean([run["CPU seconds"] for run in found])
        rows.append([*cells, f"{seconds:.0f}"])
    text = measure.table(["", *GOALS, "CPU seconds"], rows)
    if not {"pretrained", "scratch", "regression"} <= {*runs[0]}:
        return text

    def mean(name, score="mean IoU"):
        return np.mean([run[name][score] for run in runs if name in run])

    best = "and mirrored"
    verdicts = [
        f"{score} {'met' if mean(best, score) >= goal else 'missed'} "
        f"(≥ {goal:.2f})"
        for score, goal in GOALS.items()
    ]
    first = runs[0]
    gain = first["pretrained"]["mean IoU"] / first["scratch"]["mean IoU"]
    verdicts.append(
        f"pretrained / scratch {gain:.2f}, "
        f"{'met' if gain >= 1.2 else 'missed'} (≥ 1.20)"
    )
    ahead = mean("pretrained") > mean("regression")
    verdicts.append(f"{'ahead of' if ahead else 'behind'} the regression")
    return f"{text}\n\n{'; '.join(verdicts)}."


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("clip_art", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--inner", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if options.write and (options.inner or options.only):
        raise SystemExit("--write takes all rows, on the validation scenes")
    art = _scenes.load(options.clip_art)
    runs = [
        measured(art, seed, options.inner, options.only or WAYS[: 5 - bool(i)])
        for i, seed in enumerate(options.seeds)
    ]
    measure.report("segmentation", summary(runs))


if __name__ == "__main__":
    main()
