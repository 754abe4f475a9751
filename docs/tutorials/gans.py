# %% [markdown]
# # Two networks against each other
#
# A *generator* makes images from random numbers, and never sees a real one. A
# *critic* sees real and generated images, and learns to tell them apart. The
# generator learns from the critic alone: what would have looked more real?
# Together they are a GAN, a generative adversarial network.

# %%
import logging
import warnings

import keras
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import cross_val_score

from keras_fast import callbacks, models

# TensorFlow warns about many traced models, as on this page.
logging.getLogger("tensorflow").setLevel("ERROR")
layers = keras.layers

# %% [markdown]
# ## Points first
#
# Before images, try something that you can check. The real data are points
# around eight centres on a ring. Both networks are small.

# %%
SPREAD = 0.05  # standard deviation around a centre


def ring(number):
    rng = np.random.default_rng(0)
    angles = 2 * np.pi * rng.integers(8, size=number) / 8
    centres = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return (centres + SPREAD * rng.normal(size=(number, 2))).astype("float32")


def dense(inputs, outputs):
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            layers.Dense(64, "relu"),
            layers.Dense(64, "relu"),
            layers.Dense(outputs),
        ]
    )


def numbers(number, size, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(number, size)).astype("float32")


# %% [markdown]
# `models.GAN` combines the two, and is trained with `fit()`: random numbers as
# `x`, real data as `y`. Both learn in each step. The optimizer has no momentum,
# `beta_1=0`. To see why, also train one with Adam's usual 0.9. `compile()`
# warns about it, so the code catches the warning.


# %%
def trained(beta_1):
    keras.utils.set_random_seed(0)
    gan = models.GAN(dense(8, 2), dense(2, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        gan.compile(keras.optimizers.Adam(2e-3, beta_1=beta_1, beta_2=0.99))
    cycle = callbacks.OneCycle(2e-3, momentums=None)
    x, y = numbers(6400, 8), ring(6400)
    gan.fit(x, y, batch_size=128, epochs=30, callbacks=[cycle], verbose=0)
    return gan.predict(numbers(1000, 8, seed=1), verbose=0)


made = {
    "real": ring(1000),
    "beta_1=0": trained(0.0),
    "beta_1=0.9": trained(0.9),
}

# %% alt="Three scatter plots: eight real groups of points on a ring; points generated without momentum, which cover the groups; points generated with momentum"
figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharex=True, sharey=True)
for ax, (name, points) in zip(axes, made.items(), strict=True):
    ax.scatter(*points.T, s=3)
    ax.set(title=name, aspect="equal", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))
    ax.set(xlabel="x", ylabel="y" if name == "real" else "")

# %% [markdown]
# What happened on the right? There is no minimum to roll into. The critic moves
# while the generator does, and momentum keeps heading for where the other one
# was before. So pass `momentums=None` to `OneCycle` too: its own momentum would
# bring back what `beta_1=0` removes. One run of each proves little, but over
# five seeds the result is the same
# ([benchmarks](../benchmarks.md#does-a-gan-find-all-modes-and-what-does-its-step-cost)).
#
# ## Digits
#
# Now 1,797 handwritten digits of 8 by 8 pixels, scaled to -1 to 1 like the
# output of the generator's `tanh`. `models.critic` is fastai's critic:
# convolutions that halve the image until 4 pixels are left, with spectral
# normalization.

# %%
digits = load_digits()
real = (digits.images[..., None] / 8 - 1).astype("float32")

keras.utils.set_random_seed(0)
conv = {"kernel_size": 4, "strides": 2, "padding": "same"}
generator = keras.Sequential(
    [
        keras.Input((16,)),
        layers.Dense(4 * 4 * 64),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.Reshape((4, 4, 64)),
        layers.Conv2DTranspose(32, **conv),
        layers.BatchNormalization(momentum=0.9),
        layers.ReLU(),
        layers.Conv2D(1, 3, padding="same", activation="tanh"),
    ]
)
gan = models.GAN(generator, models.critic((8, 8, 1), filters=32))
gan.compile(keras.optimizers.Adam(1e-3, beta_1=0, beta_2=0.99))

# %% [markdown]
# `SampleImages` draws the generator's images from the same random numbers after
# each epoch. It writes them to a folder, or shows them below the cell if there
# is none, and keeps them either way.

# %%
noise = numbers(len(real), 16)
samples = callbacks.SampleImages(noise[:10], "samples")
history = gan.fit(
    noise,
    real,
    batch_size=64,
    epochs=40,
    callbacks=[callbacks.OneCycle(1e-3, momentums=None), samples],
    verbose=0,
)

# %% alt="Five rows of ten images: the generator's output after 1, 4, 10 and 40 epochs, from noise to digits, and real digits below"
rows = {f"epoch {n}": samples.images[n - 1] for n in (1, 4, 10, 40)}
rows["real"] = real[:10]
figure, axes = plt.subplots(len(rows), 10, figsize=(9, 4.7))
for line, (name, images) in zip(axes, rows.items(), strict=True):
    for ax, image in zip(line, images, strict=True):
        ax.imshow(image[..., 0], cmap="gray", vmin=-1, vmax=1)
        ax.set(xticks=[], yticks=[])
    line[0].set_ylabel(name, rotation=0, ha="right", va="center")

# %% [markdown]
# ## The losses tell you nothing
#
# From the tenth epoch on the losses stay near 0.69 = log 2: the critic can't
# tell the two apart, even while the digits get better. Look at images, not at
# losses.

# %% alt="The losses of the critic and of the generator over 40 epochs, both near 0.69 from the tenth on"
figure, ax = plt.subplots(figsize=(7, 3))
for part, line in {"critic": "-", "generator": "--"}.items():
    epochs = range(1, 41)
    ax.plot(epochs, history.history[f"{part}_loss"], line, label=part)
ax.axhline(np.log(2), color="0.6", lw=0.8)
ax.set(xlabel="epoch", ylabel="loss")
legend = ax.legend(frameon=False)

# %% [markdown]
# ## How good are they?
#
# Ask a model that took no part in the training. A classifier of real digits
# shows whether all ten are generated. And a second critic, a random forest,
# tries to tell new images from real ones, with both rounded to the originals'
# 17 grey levels: an accuracy of one half would be perfect.

# %%
fresh = gan.predict(numbers(len(real), 16, seed=2), verbose=0)


def pixels(images):
    return np.round((images + 1) * 8).reshape(len(images), -1)


reader = RandomForestClassifier(random_state=0)
reader.fit(pixels(real), digits.target)
counts = np.bincount(reader.predict(pixels(fresh)), minlength=10)
print("made of each digit:", *counts)

both = np.concatenate([pixels(real), pixels(fresh)])
forest = RandomForestClassifier(random_state=0)
told = cross_val_score(forest, both, np.repeat([0, 1], len(real)), cv=3)
print(f"the forest is right about {told.mean():.0%}")

# %% [markdown]
# They look like digits, but the forest is not fooled. That is usual for small
# GANs, and a reason to measure more than looks.
#
# ## Next steps
#
# - For images to images, use `gan.fit(damaged, originals)`, with a pixel loss
#   in `compile()`. [Repairing images](restoration.md) shows what that loss does
#   without a critic.
# - For a critic that learns faster, or for taking turns instead of training
#   both at once, use `switch=(5, 1)` or `"adaptive"`: see [the
#   reference](../api/models.md#two-networks-against-each-other).
# - Larger images need a GPU and hours of training.
