"""How far does a small network repair JPEGs of 16 pixels, and with which loss?

The network of `examples/restoration.py`, from 16 to 64 pixels, on 480 images
of clip art; 150 others, of which none has a near-duplicate among those, to
judge. Each is damaged four times, two of them mirrored. Trained with the
squared error of the pixels, then on with that or with features. Between the
weights before and after that second training lie networks that are sharper than
the first and closer to the pixels than the second (Wang et al., 2018,
arXiv 1809.00219); two of them are measured too. Goals: squared error at least
1.4 dB ahead of bicubic interpolation; features with Gram matrices, or a network
on the way there, at least 1.3 times as sharp as squared error, for at most
0.4 dB.

    python benchmarks/restoration.py CLIPART.npz [--write]

The file has `x`, (n, 128, 128, 3) uint8, and `group`, the same number for
near-duplicates.
"""

import sys
from pathlib import Path

import _measure as measure
import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import restoration as example

NUM_TRAIN, NUM_TEST = 480, 150
DAMAGES, EPOCHS, MORE_EPOCHS = 4, 10, 4
RATE, MORE_RATE = 4e-3, 2e-3
# Of the way from the weights of the squared error to those of features, Gram.
PARTS = {"half of the way there": 0.5, "three quarters": 0.75}
GOAL_GAIN, GOAL_SHARPER, GOAL_LOSS = 1.4, 1.3, 0.4


def split(path):
    """Images of 64 pixels to train with and to test on, from 0 to 255."""
    with np.load(path) as file:
        images, groups = file["x"], file["group"]
    groups = np.random.default_rng(0).permutation(groups.max() + 1)[groups]
    order = np.argsort(groups, kind="stable")
    images, groups = images[order], groups[order]
    end = NUM_TRAIN
    while groups[end] == groups[end - 1]:
        end += 1
    images = images.astype("float32").reshape(-1, 64, 2, 64, 2, 3)
    images = images.mean(axis=(2, 4))
    return images[:NUM_TRAIN], images[end : end + NUM_TEST]


def measured(train, test):
    """By way: decibels and sharpness."""
    parts = [
        example.damage(train[:, :, :: -1 if seed % 2 else 1], seed)
        for seed in range(DAMAGES)
    ]
    pairs = tuple(map(np.concatenate, zip(*parts, strict=True)))
    small, wanted = example.damage(test, seed=100)
    found = {}

    def judge(name, made):
        decibels = example.psnr(made, wanted)
        found[name] = decibels, example.sharpness(made, wanted)

    judge("bicubic", example.bicubic(small))
    keras.utils.set_random_seed(0)
    model = example.build()
    example.train(model, pairs, "mse", EPOCHS, RATE)
    start = model.get_weights()
    losses = {
        "squared error": "mse",
        "features": example.feature_loss(style=0.0),
        "features, Gram": example.feature_loss(),
    }
    for name, loss in losses.items():
        model.set_weights(start)
        keras.utils.set_random_seed(1)
        example.train(model, pairs, loss, MORE_EPOCHS, MORE_RATE)
        judge(name, model.predict(small, verbose=0))
    end = model.get_weights()
    for name, share in PARTS.items():
        pairs = zip(start, end, strict=True)
        model.set_weights([(1 - share) * a + share * b for a, b in pairs])
        judge(name, model.predict(small, verbose=0))
    return found


def main():
    paths = [each for each in sys.argv[1:] if each != "--write"]
    if len(paths) != 1:
        raise SystemExit(__doc__)
    found = measured(*split(paths[0]))
    bicubic, squared = found["bicubic"][0], found["squared error"]
    gain = squared[0] - bicubic
    goals = {
        "squared error": said(
            gain >= GOAL_GAIN, f"≥ bicubic + {GOAL_GAIN} dB: {gain:+.2f}"
        ),
    }
    for name in ("features, Gram", *PARTS):
        sharper = found[name][1] / squared[1]
        loss = squared[0] - found[name][0]
        goals[name] = said(
            round(sharper, 2) >= GOAL_SHARPER and round(loss, 2) <= GOAL_LOSS,
            f"≥ {GOAL_SHARPER} times as sharp: {sharper:.2f}; "
            f"≤ {GOAL_LOSS} dB lost: {loss:.2f}",
        )
    rows = [
        [name, f"{decibels:.2f} dB", f"{sharp:.3f}", goals.get(name, "")]
        for name, (decibels, sharp) in found.items()
    ]
    head = ["way", "signal to noise", "sharpness", "goal"]
    measure.report("restoration", measure.table(head, rows))


def said(met, goal):
    return f"{'met' if met else 'missed'} ({goal})"


if __name__ == "__main__":
    main()
