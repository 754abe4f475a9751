# %% [markdown]
# # Your own images
#
# The lessons have tidy folders. Yours are not, and this page goes through what
# people bring: no split, labels in a table or in the name, several labels,
# transparency, odd sizes, a class with five images.
#
# **First look for files that would stop the training**, then at a batch. Both
# are one line, and both find what no metric shows.

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
# Keras splits at random. That is right only where each image stands for
# itself. If several show the same animal, the same patient or the same minute
# of a film, copies of the training images end up among the others, and the
# accuracy is too good. Then split by hand: all of one animal on one side.

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
# ## Labels in a table, or in the name
#
# A list of paths, a list of labels in the same order, and `load_images`. For
# more images than fit in memory, `tf.data` maps the same over the paths.

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
# A label in the name is the same with another line, such as
# `re.match(r"(.+)_\d+\.jpg", path.name)[1]`, and several labels an image are
# rows of 0 and 1: [several labels](../tutorials/labels_and_points.md).
#
# ## Transparent images
#
# A PNG with transparency has a color behind what can't be seen. Keras shows it,
# and it is often black. `verify_images` warns of such files, and
# `background=` lays them on a color of your choice. Load everything with it, for
# training and later.

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
# Photos of a phone may lie on their side for the same reason: the file says how
# to turn them, and Keras does not read it. `upright=True` does.
#
# ## Sizes and colors
#
# - **Odd shapes.** `image_size=(96, 96)` squeezes a long image. That is often no
#   harm, as long as you predict on squeezed ones too.
#   `crop_to_aspect_ratio=True` cuts the ends off, `pad_to_aspect_ratio=True`
#   leaves borders.
# - **Grey images** become RGB when they are loaded, which is what a pretrained
#   network wants. For one channel alone pass `color_mode="grayscale"`, and
#   `input_shape=(96, 96, 1)` to `image_classifier`, which adapts the first
#   layer's weights.
# - **Small things in large images.** At 96 pixels they may be gone. Look at a
#   batch: what you can't tell apart, the network can't either.
#
# ## Too few of a class
#
# Count first.

# %%
for name, number in zip(classes, np.bincount(y), strict=True):
    print(f"{name:<10}{number:4}")

# %% [markdown]
# - With fewer than ten, hold out by class, not at random: otherwise a class may
#   be missing from the validation set, and its accuracy is about nothing.
#   scikit-learn's `train_test_split(x, y, stratify=y)` does.
# - `class_weight` of `fit()` makes rare classes count for more:
#   `{i: len(y) / (len(classes) * n) for i, n in enumerate(np.bincount(y))}`. The
#   probabilities are then too high for them.
# - Judge by the [confusion matrix](../api/inference.md), class by class. The
#   accuracy hides a class of five.
# - Merge classes that nobody needs apart.
#
# ## Which image was that?
#
# `inference.top_losses(model, valid)` names images by their place in the data.
# Where the data is shuffled, that is the place in that one pass, and
# `valid.file_paths[i]` is another image. So load validation data with
# `shuffle=False`:

# %%
valid = keras.utils.image_dataset_from_directory(
    folder, image_size=(96, 96), shuffle=False, verbose=False
)
print(valid.file_paths[0] == str(sorted(folder.glob("*/*"))[0]))

# %% [markdown]
# Then go on with [lesson 1](../tutorials/pictures.md): everything there takes
# `x, y` as well as a data set.
