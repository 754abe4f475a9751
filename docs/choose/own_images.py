# %% [markdown]
# # Your own images
#
# The tutorials have tidy folders. Yours may not be. This page covers the usual
# cases: no split, labels in a table or in the file name, several labels,
# transparency, odd sizes, a class with five images.
#
# **First look for files that would stop the training**, then look at a batch.
# Each takes one line and finds problems that no metric shows.

# %%
import csv
import pathlib
import tempfile

import keras
import numpy as np
from PIL import Image

from keras_fast import data
from keras_fast.data import show_batch

folder = pathlib.Path(tempfile.mkdtemp(), "images")
for path in sorted(pathlib.Path("examples/data/clipart/valid").glob("*/*")):
    copy = folder / path.parent.name / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(path.read_bytes())
(folder / "food" / "broken.png").write_bytes(b"half an ima")

for path, reason in data.verify_images(folder).items():
    print(path.name, reason)
    path.unlink()

# %% [markdown]
# ## A folder for each class, and no split
#
# Keras splits at random. That is right only if the images are independent. If
# several show the same animal, the same patient or the same minute of a film,
# near-copies of the training images end up in the validation set, and the
# accuracy is too high. Then split by hand: all of one animal on one side.

# %%
train, valid = keras.utils.image_dataset_from_directory(
    folder,
    validation_split=0.2,
    subset="both",
    seed=0,
    image_size=(96, 96),
    verbose=False,
)
print(len(train.file_paths), "to train on,", len(valid.file_paths), "others")

# %% [markdown]
# ## Labels in a table, or in the file name
#
# Pass a list of paths to `load_images`, and make a list of labels in the same
# order. For more images than fit in memory, do the same in `tf.data`, with
# `map` over the paths.

# %%
table = folder.parent / "labels.csv"
with table.open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["file", "label"])
    for path in sorted(folder.glob("*/*")):
        writer.writerow([path.relative_to(folder), path.parent.name])

with table.open(newline="") as file:
    rows = list(csv.DictReader(file))
classes = sorted({row["label"] for row in rows})
y = np.array([classes.index(row["label"]) for row in rows])
x = data.load_images([folder / row["file"] for row in rows], size=96)
print(x.shape, classes)

# %% [markdown]
# For labels in the file name, only one line changes, such as
# `re.match(r"(.+)_\d+\.jpg", path.name)[1]`. Several labels per image are rows
# of 0 and 1: [several labels](../tutorials/labels_and_points.md).
#
# ## Transparent images
#
# The transparent pixels of a PNG have a hidden color, often black, and Keras
# loads that color. `verify_images` warns about such files, and `background=`
# puts them on a color of your choice. Load all images with it, for training and
# later.

# %% alt="The same transparent drawing twice: on black as Keras loads it, and on white"
drawing = Image.open(folder / rows[0]["file"]).convert("RGBA")
pixels = np.array(drawing)
pixels[(pixels[..., :3] > 250).all(axis=-1)] = 0
transparent = folder.parent / "transparent.png"
Image.fromarray(pixels).save(transparent)
both = [
    data.load_images([transparent], 96)[0],
    data.load_images([transparent], 96, background=(255, 255, 255))[0],
]
axes = show_batch(np.stack(both))

# %% [markdown]
# Phone photos may appear on their side for a similar reason: the file stores
# how to rotate them, and Keras ignores it. `upright=True` rotates them.
#
# ## Sizes and colors
#
# - **Odd shapes.** `image_size=(96, 96)` squashes a long image. This is often
#   harmless, as long as you predict on squashed images too.
#   `crop_to_aspect_ratio=True` cuts off the ends, `pad_to_aspect_ratio=True`
#   adds borders.
# - **Grayscale images** are converted to RGB when loaded, as a pretrained
#   network expects. To keep one channel, pass `color_mode="grayscale"`, and
#   `input_shape=(96, 96, 1)` to `image_classifier`, which adapts the first
#   layer's weights.
# - **Small objects in large images** may vanish at 96 pixels. Look at a batch:
#   if you can't tell the classes apart, the network can't either.
#
# ## Classes with few images
#
# Count first.

# %%
for name, number in zip(classes, np.bincount(y), strict=True):
    print(f"{name:<10}{number:4}")

# %% [markdown]
# - With fewer than ten, split each class separately: otherwise a class may be
#   missing from the validation set, and the accuracy tells nothing about it.
#   Use scikit-learn's `train_test_split(x, y, stratify=y)`.
# - The `class_weight` argument of `fit()` gives rare classes more weight:
#   `{i: len(y) / (len(classes) * n) for i, n in enumerate(np.bincount(y))}`.
#   Their predicted probabilities are then too high.
# - Judge by the [confusion matrix](../api/inference.md), class by class. The
#   accuracy hides a class of five images.
# - Merge classes that nobody needs to tell apart.
#
# ## Which image was that?
#
# `inference.top_losses(model, valid)` returns the index of each image. If the
# data is shuffled, the index counts along that one pass, and
# `valid.file_paths[i]` is another image. So load validation data with
# `shuffle=False`:

# %%
valid = keras.utils.image_dataset_from_directory(
    folder, image_size=(96, 96), shuffle=False, verbose=False
)
print(valid.file_paths[0] == str(sorted(folder.glob("*/*"))[0]))

# %% [markdown]
# Then continue with [lesson 1](../tutorials/pictures.md): everything there
# takes `x, y` as well as a dataset.
