# %% [markdown]
# # Several labels, and points
#
# This page predicts two things that are not a single class: which of several
# objects are in an image, and where an object is. Both start from the same
# pretrained network, with different heads.

# %%
import logging
import pathlib

import keras
import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

import keras_fast
from keras_fast import inference, models
from keras_fast.data import show_batch

keras.utils.set_random_seed(0)
# TensorFlow warns about programs with many models.
logging.getLogger("tensorflow").setLevel("ERROR")
SIZE = 64

# %% [markdown]
# As in [a label for each pixel](segmentation.md), drawings are cut out and
# pasted on a background. Here each image has up to three of them.

# %%
CLASSES = ["animal", "food", "person", "vehicle"]


def cut_out(path):
    """A drawing and where it is: what white of the border does not reach."""
    drawing = ImageOps.expand(Image.open(path).convert("RGB"), 1, "white")
    away = 255 - np.asarray(drawing, "int32")
    regions, _ = ndimage.label(away.sum(axis=-1) <= 30)
    return drawing, Image.fromarray(regions != regions[0, 0])


def load(part):
    folder = pathlib.Path("examples/data/clipart", part)
    return [
        (*cut_out(path), number)
        for number, name in enumerate(CLASSES)
        for path in sorted((folder / name).iterdir())
    ]


def scenes(drawings, number, most, seed):
    """Images, 0 to 255, which classes are in them, and middles, in pixels."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 80, SIZE)[:, None, None]
    images = rng.uniform(0, 175, (number, 1, 1, 3)) + slope
    images = images + rng.normal(0, 8, (number, SIZE, SIZE, 3))
    labels = np.zeros((number, len(CLASSES)), "float32")
    middles = np.zeros((number, 1, 2), "float32")
    for i in range(number):
        for _ in range(rng.integers(1, most + 1)):
            drawing, there, label = drawings[rng.integers(len(drawings))]
            side = int(rng.integers(24, 44))
            row, column = rng.integers(0, SIZE - side + 1, 2)
            inked = np.asarray(there.resize((side, side)))
            place = np.s_[row : row + side, column : column + side]
            small = np.asarray(drawing.resize((side, side)))
            images[i][place][inked] = small[inked]
            labels[i, label] = 1
            rows, columns = np.nonzero(inked)
            middles[i, 0] = column + columns.mean(), row + rows.mean()
    return np.clip(images, 0, 255).astype("uint8"), labels, middles


train, valid = load("train"), load("valid")

# %% [markdown]
# ## Several labels
#
# The targets are rows of 0 and 1, one for each label. So the head has one
# sigmoid per label instead of one softmax for all, and the loss is binary
# crossentropy.

# %% alt="Nine scenes with the names of their objects"
x, labels, _ = scenes(train, 400, most=3, seed=0)
x_valid, y_valid, _ = scenes(valid, 200, most=3, seed=1)
x_test, y_test, _ = scenes(valid, 200, most=3, seed=2)
axes = show_batch(x, labels, class_names=CLASSES)

# %%
base = models.efficientnet_lite0(include_top=False)
shape = (SIZE, SIZE, 3)
model = models.image_classifier(
    base, len(CLASSES), input_shape=shape, activation="sigmoid"
)
model.compile(keras.optimizers.AdamW(weight_decay=0.01), "binary_crossentropy")
history = keras_fast.fine_tune(
    model, x, labels, epochs=3, num_views=1, verbose=0
)

# %% [markdown]
# ## Thresholds
#
# The model predicts a probability for each label. Above which threshold is the
# label present? 0.5 is right if both kinds of errors cost the same; a rare or
# hard label seldom reaches it. `label_report` chooses the threshold of each
# label on validation data, so that precision and recall are balanced. Then
# measure on other data, here a test set of other scenes.

# %%
chosen = inference.label_report(model, x_valid, y_valid, class_names=CLASSES)
report = inference.label_report(
    model, x_test, y_test, thresholds=chosen.thresholds, class_names=CLASSES
)
half = inference.label_report(model, x_test, y_test, thresholds=0.5)

print(f"{'':<10}threshold  precision  recall    F1  F1 at 0.5  F1, always")
for i, name in enumerate(CLASSES):
    often = y_test[:, i].mean()
    print(
        f"{name:<10}{report.thresholds[i]:9.2f}{report.precision[i]:11.2f}"
        f"{report.recall[i]:8.2f}{report.f1[i]:6.2f}{half.f1[i]:11.2f}"
        f"{2 * often / (1 + often):12.2f}"
    )

# %% [markdown]
# The last column is the F1 of always answering "yes". F1 forgives that for
# frequent labels, so don't judge by it alone. *Average precision* measures how
# well the images are ranked, whatever the threshold; chance level is the
# label's frequency.

# %%
print(f"mean average precision {report.mean_average_precision:.3f}")
print(f"chance                 {y_test.mean():.3f}")

# %% alt="Four small confusion matrices, one for each label"
axes = report.plot()

# %% [markdown]
# ## Points
#
# Where is the middle of the drawing? A classifier's head averages over all
# positions. That is all it needs, but it discards the answer to this question.
# `point_regressor` has a different head: each position in the feature maps
# votes for a point nearby, and the votes are averaged, weighted by their
# confidence.

# %% alt="Nine scenes with a point in the middle of the drawing"
x, _, points = scenes(train, 300, most=1, seed=3)
x_test, _, points_test = scenes(valid, 200, most=1, seed=4)
axes = show_batch(x, points)

# %%
finder = models.point_regressor(base, num_points=1, input_shape=shape)
finder.compile("adam", "mae")
history = keras_fast.fine_tune(finder, x, points, epochs=4, verbose=0)


# %%
def error(found):
    """The median distance in pixels."""
    return np.median(np.linalg.norm(found - points_test, axis=-1))


found = finder.predict(x_test, verbose=0)
print(f"always the middle  {error(np.median(points, axis=0)):.1f} pixels")
print(f"point_regressor    {error(found):.1f} pixels")

# %% alt="Four test scenes, each with the true and the predicted middle"
axes = inference.show_results(finder, x_test, points_test, n=4)

# %% [markdown]
# With your own points:
#
# - Their shape is (n, num_points, 2), x before y, in pixels of the images that
#   the model gets. (0, 0) is the middle of the first pixel. If you resize
#   images, move the points too: `(points + 0.5) * new / old - 0.5`.
# - Compare with the median of all points, as above. On faces that all look into
#   the camera it is not far off.
# - A point that is missing gets any position and a `sample_weight` of 0. NaN
#   would make the whole model NaN, since 0 times NaN is NaN.
# - Train with `fine_tune`, which starts each point at its mean over the training
#   data. With a plain `fit()` points start in the middle of the image.
# - `AugTransforms` moves them with the images if it gets a dict of `"images"`
#   and `"keypoints"`, and marks those that have left the image: pass its
#   `"keypoint_weights"` as `sample_weight`.
# - Flipping turns a left eye into a right one. Set `flip=None` if points have a
#   side.
# - For results on photographs of faces with 68 points, see
#   [benchmarks](../benchmarks.md#how-close-are-the-points-that-are-found).
