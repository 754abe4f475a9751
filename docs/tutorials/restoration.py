# %% [markdown]
# # Repairing images
#
# Take good images, damage them, and train a network to undo the damage. It can
# learn from any images, because they need no labels. This page does it for
# small JPEGs: from 16 by 16 pixels back to 64 by 64. Then it compares losses:
# which one makes an image look repaired?

# %%
import logging
import pathlib

import keras
import numpy as np
from matplotlib import pyplot as plt

from keras_fast import callbacks, data, models
from keras_fast.layers import ICNR, PixelShuffle
from keras_fast.losses import FeatureLoss

keras.utils.set_random_seed(0)
# TensorFlow warns about programs with many models.
logging.getLogger("tensorflow").setLevel("ERROR")
layers = keras.layers

# %% [markdown]
# ## Damage
#
# `crappify` shrinks images, writes text on them, adds noise and compresses them
# as JPEG, whichever you ask for. With a seed, the damage is the same in each
# run.


# %%
def load(part, number):
    paths = sorted(pathlib.Path("examples/data/clipart", part).glob("*/*"))
    rows = np.random.default_rng(0).permutation(len(paths))[:number]
    paths = [paths[i] for i in rows]
    return data.load_images(paths, 64, background=(255, 255, 255))


def damage(images, seed):
    small = data.crappify(images, scale=4, quality=(20, 60), seed=seed)
    return small.astype("float32") / 255, images.astype("float32") / 255


x, y = damage(load("train", 280), seed=0)
x_test, y_test = damage(load("valid", 60), seed=1)
print(x.shape, "to", y.shape)

# %% alt="Five small, blocky images, each next to its original"
axes = data.show_batch(x_test[5:10], y_test[5:10])

# %% [markdown]
# ## A network that adds the missing detail
#
# The network works on the small image, where that is cheap, and enlarges the
# features at the end: `PixelShuffle` turns four channels into four pixels,
# twice. With `ICNR` the four start equal. Otherwise they would start as a
# checkerboard, and much of it would remain. The last layer starts at zero, so
# the network starts as bicubic enlargement and learns the difference.


# %%
def build(filters=32, num_blocks=3):
    conv = layers.Conv2D
    inputs = keras.Input((None, None, 3))
    t = conv(filters, 3, padding="same")(inputs)
    for _ in range(num_blocks):
        new = conv(filters, 3, padding="same", activation="relu")(t)
        t = layers.Add()([t, conv(filters, 3, padding="same")(new)])
    for _ in range(2):
        t = conv(4 * filters, 1, activation="relu", kernel_initializer=ICNR())(
            t
        )
        t = PixelShuffle(2)(t)
    details = conv(3, 3, padding="same", kernel_initializer="zeros")(t)
    enlarged = layers.UpSampling2D(4, interpolation="bicubic")(inputs)
    return keras.Model(inputs, layers.Add()([enlarged, details]))


# %% [markdown]
# Two numbers measure the result. The *signal-to-noise ratio*, in decibels,
# measures how far pixels are from the original's: 1 dB more is a fifth less
# squared error. *Sharpness* measures how much neighbouring pixels differ, as a
# share of the original's: 1 is equally sharp. Neither knows what looks good.


# %%
def judge(name, made):
    made = np.clip(made, 0, 1)
    errors = np.square(made - y_test).mean(axis=(1, 2, 3))
    decibels = np.mean(-10 * np.log10(errors))
    sharp = edges(made) / edges(y_test)
    print(f"{name:<24} {decibels:.2f} dB, sharpness {sharp:.2f}")


def edges(images):
    grey = images.mean(axis=-1)
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1]
    around = around + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.abs(around - 4 * grey[:, 1:-1, 1:-1]).mean()


untrained = build()
judge("bicubic enlargement", untrained.predict(x_test, verbose=0))


# %% [markdown]
# ## The squared error of the pixels


# %%
def train(model, loss, epochs, rate):
    model.compile(keras.optimizers.Adam(), loss)
    cycle = callbacks.OneCycle(rate)
    model.fit(x, y, 16, epochs, callbacks=[cycle], verbose=0)
    return model.predict(x_test, verbose=0)


model = build()
by_pixels = train(model, "mse", epochs=16, rate=4e-3)
judge("squared error", by_pixels)

# %% [markdown]
# The result is more than a decibel better than bicubic, and still soft. That is
# what squared error rewards. Where the original could have been one of two
# things, the best answer is the mean of both, which is neither.
#
# ## The error of a network's features
#
# A network trained to classify has features for edges and textures: they are
# present or not. `FeatureLoss` compares the features of both images at each
# resolution, and adds the absolute error of the pixels. With `style` it also
# compares which features occur together, the Gram matrices. The loss network
# takes pixels from 0 to 255, so a layer in front of it rescales them.

# %%
network = keras.Sequential(
    [
        keras.Input((None, None, 3)),
        layers.Rescaling(255, name="to_255"),
        models.efficientnet_lite0(include_top=False),
    ]
)
sees = FeatureLoss(network, style=1.0)
by_features = train(model, sees, epochs=3, rate=2e-3)
judge("then features and style", by_features)

# %% alt="Rows of four images: the small input, the squared error's output, the feature loss's output, and the original"
columns = {
    "small": x_test,
    "squared error": by_pixels,
    "features": by_features,
    "original": y_test,
}
figure, axes = plt.subplots(4, 4, figsize=(8, 8))
for line, i in zip(axes, range(5, 9), strict=True):
    for ax, (name, images) in zip(line, columns.items(), strict=True):
        ax.imshow(np.clip(images[i], 0, 1))
        ax.set(xticks=[], yticks=[], title=name if i == 5 else "")

# %% [markdown]
# This loses some decibels and gains sharpness. Whether that is better depends
# on what the images are for. The network draws edges where there may have been
# edges, which is what people want to see; a doctor or a court needs the pixels.
# In a trial, a classifier did not recognize more of the sharper images.
#
# ## Larger images and other damage
#
# - The network has no fixed size: train it on small crops, and repair whole
#   images with it.
# - Noise, scratches, text, missing colour: such a network can try to undo any
#   damage that you can make. Compare it with free methods: a blur removes more
#   plain noise than a large network learns to remove from a hundred images.
# - For something in between, average the weights after the first and the second
#   training run. This gives a network half-way between them, sharper than the
#   first and closer to the pixels than the second
#   ([benchmarks](../benchmarks.md#how-far-does-a-small-network-repair-images-and-with-which-loss)).
# - `callbacks.SampleImages(x_test[:4], "samples")` draws the network's output
#   after each epoch. Losses can't show what kind of image they reward.
# - For a critic instead of a fixed network, see [two networks against each
#   other](gans.md).
