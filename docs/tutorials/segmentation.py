# %% [markdown]
# # A label for each pixel
#
# Which object is where in the image? A classifier gives one label for all
# pixels. Here each pixel gets its own, which is called *segmentation*. The
# network for it is a U-Net: a pretrained network shrinks the image step by
# step, as for classification, and a decoder enlarges it again, using the
# network's features at each size.

# %%
import logging
import pathlib

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageOps
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier

import keras_fast
from keras_fast import inference, models
from keras_fast.callbacks import OneCycle
from keras_fast.data import AugTransforms, show_batch

keras.utils.set_random_seed(0)
# TensorFlow warns about programs with many models.
logging.getLogger("tensorflow").setLevel("ERROR")

# %% [markdown]
# ## Images and masks
#
# The target of an image is a *mask*: an array of the image's height and width,
# with a class number at each pixel. 0 is the background. To have exact masks,
# this page makes its own images: drawings, cut out and pasted on a background.
# The drawings for validation are different, and near-copies of a drawing are
# all in the same split.

# %%
CLASSES = ["background", "animal", "food", "vehicle"]
SIZE = 48


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
        for number, name in enumerate(CLASSES[1:], 1)
        for path in sorted((folder / name).iterdir())
    ]


def scenes(drawings, number, seed):
    """Images (n, SIZE, SIZE, 3), 0 to 255, and masks (n, SIZE, SIZE)."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(0, 80, SIZE)[:, None, None]
    images = rng.uniform(0, 175, (number, 1, 1, 3)) + slope
    images = images + rng.normal(0, 8, (number, SIZE, SIZE, 3))
    masks = np.zeros((number, SIZE, SIZE), "int32")
    for image, mask in zip(images, masks, strict=True):
        for _ in range(rng.integers(1, 3)):
            drawing, there, label = drawings[rng.integers(len(drawings))]
            side = int(rng.integers(24, 40))
            row, column = rng.integers(0, SIZE - side + 1, 2)
            inked = np.asarray(there.resize((side, side)))
            place = np.s_[row : row + side, column : column + side]
            image[place][inked] = np.asarray(drawing.resize((side, side)))[
                inked
            ]
            mask[place][inked] = label
    return np.clip(images, 0, 255).astype("uint8"), masks


x, y = scenes(load("train"), 400, seed=0)
x_valid, y_valid = scenes(load("valid"), 100, seed=1)

# %% alt="Nine scenes with the masks of their objects overlaid"
axes = show_batch(x, y, class_names=CLASSES)

# %% [markdown]
# ## How to score it
#
# Most pixels are background, so predicting "background" everywhere is right
# most of the time. The usual score is the *intersection over union* of each
# class: the pixels in both masks, as a share of those in either. Compute it
# over all images at once; it is undefined for an image without the class.


# %%
def score(name, predicted):
    ious = []
    for number in range(len(CLASSES)):
        ours, true = predicted == number, y_valid == number
        ious.append((ours & true).sum() / (ours | true).sum())
    cells = " ".join(f"{iou:10.2f}" for iou in ious)
    right = np.mean(predicted == y_valid)
    print(f"{name:<18}{right:6.2f}{np.mean(ious):6.2f} {cells}")


print(
    f"{'':<18}{'pixels':>6}{'mean':>6} " + " ".join(f"{c:>10}" for c in CLASSES)
)
score("all background", np.zeros_like(y_valid))


def colors(images):
    """Each pixel's color and those two pixels away, (n * SIZE**2, 27)."""
    shifts = [(i, j) for i in (-2, 0, 2) for j in (-2, 0, 2)]
    seen = [np.roll(images, shift, axis=(1, 2)) for shift in shifts]
    return np.concatenate(seen, axis=-1).reshape(-1, 27)


some = np.random.default_rng(0).permutation(y.size)[:30_000]
forest = RandomForestClassifier(50, min_samples_leaf=5, n_jobs=1)
forest.fit(colors(x)[some], y.ravel()[some])
score(
    "forest of colors", forest.predict(colors(x_valid)).reshape(y_valid.shape)
)

# %% [markdown]
# ## A U-Net on a pretrained network
#
# `models.unet` takes any image network, finds where it downsamples, and puts a
# decoder on top. The encoder starts frozen.

# %%
base = models.efficientnet_lite0(include_top=False)
model = models.unet(base, len(CLASSES), input_shape=(SIZE, SIZE, 3))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss)
print(keras_fast.training_plan(model))

# %% [markdown]
# Drawings may be flipped and rotated, and the masks have to follow.
# `AugTransforms` does this with a dict of both. The new pixels at the borders
# are reflections, in image and mask alike.

# %% alt="The same scene nine times, flipped, rotated and lit differently each time, with its mask moved along"
augment = AugTransforms(max_rotate=10, max_warp=0.1, seed=0)
nine = {"images": x[:1].repeat(9, 0), "segmentation_masks": y[:1].repeat(9, 0)}
moved = augment(nine, training=True)
axes = show_batch(
    np.asarray(moved["images"]),
    np.asarray(moved["segmentation_masks"]),
    class_names=CLASSES,
)


# %% [markdown]
# In training, each epoch sees the scenes in a new order and newly augmented.


# %%
def move(images, masks):
    both = {"images": images, "segmentation_masks": masks}
    both = augment(both, training=True)
    return both["images"], both["segmentation_masks"]


train = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=0)
train = train.batch(16).map(move).prefetch(2)

# %% alt="The finder's curve for the decoder"
found = keras_fast.lr_find(model, train, num_steps=40)
ax = found.plot()

# %%
EPOCHS = 5
cycle = OneCycle(4e-3)
model.fit(train, epochs=EPOCHS, callbacks=[cycle], shuffle=False, verbose=0)
scores = model.predict(x_valid, verbose=0)
score("U-Net", scores.argmax(axis=-1))

# %% [markdown]
# Test-time augmentation also predicts the mirrored scene, mirrors its scores
# back, and takes the mean. This takes twice the time. Here it changes next to
# nothing, because the network was trained on mirrored scenes.

# %%
views = inference.flips()
scores = keras_fast.predict_tta(model, x_valid, views, verbose=0)
score("with mirror images", scores.argmax(axis=-1))

# %% alt="Six validation scenes, twice each: with the true mask and with the predicted one"
axes = inference.show_results(model, x_valid, y_valid, class_names=CLASSES)

# %% [markdown]
# ## Any size
#
# The network takes images of any size, including odd ones. The mask has the
# size of the image.

# %%
odd = x_valid[:1, :41, :37]
print(odd.shape, "to", model.predict(odd, verbose=0).shape)

# %% [markdown]
# ## With your own images
#
# - Masks are integer arrays, such as PNGs in which each pixel is a class
#   number. Shrink them by nearest neighbour: a mean of class 1 and class 3 is
#   not class 2.
# - Give unlabelled pixels a number of their own, such as 255, and pass
#   `ignore_class=255` to the loss.
# - To make a rare class count for more, pass `sample_weight`, one weight per
#   pixel.
# - If you have time, train the encoder too:
#   `keras_fast.fine_tune(model, train, epochs=8, head_epochs=0)`.
# - Bounding boxes are a different task: see [coming from
#   fastai](../from_fastai.md) for what to use.
