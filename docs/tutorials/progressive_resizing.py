# %% [markdown]
# # Progressive resizing
#
# Train on small images first, then on larger ones. A network can learn most of
# a task from small images, where a step costs a fraction. fast.ai won a
# competition for the cheapest training on ImageNet with this. It needs a
# network that takes images of any size: convolutions, then a mean over all
# positions.

# %%
import pathlib
import time

import keras
import numpy as np
from matplotlib import pyplot as plt

import keras_fast
from keras_fast import data

layers = keras.layers
FOLDER = pathlib.Path("examples/data/clipart")
CLASSES = sorted(path.name for path in (FOLDER / "train").iterdir())


def load(part, size):
    paths = sorted((FOLDER / part).glob("*/*"))
    labels = np.array([CLASSES.index(path.parent.name) for path in paths])
    return data.load_images(paths, size, background=(255, 255, 255)), labels


SMALL, LARGE = 32, 64
train = {size: load("train", size) for size in (SMALL, LARGE)}
valid = load("valid", LARGE)


# %%
def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, None, 3))
    t = layers.Rescaling(1 / 127.5, -1)(inputs)
    t = layers.RandomFlip("horizontal")(t)
    for filters in (16, 32, 64, 128):
        t = layers.Conv2D(filters, 3, padding="same", use_bias=False)(t)
        t = layers.BatchNormalization(momentum=0.9)(t)
        t = layers.MaxPooling2D()(layers.ReLU()(t))
    t = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(t))
    model = keras.Model(inputs, layers.Dense(len(CLASSES), "softmax")(t))
    loss = "sparse_categorical_crossentropy"
    model.compile("adam", loss, metrics=["accuracy"])
    return model


# %% [markdown]
# `progressive_resizing` takes a function that returns the data of a given size,
# and the sizes in order. Without `max_lr` it finds a rate for each size; here
# the rates are given. Both networks are validated on large images throughout.


# %%
def trained(sizes, epochs, rates):
    model = network()
    begin = time.process_time()
    history = keras_fast.progressive_resizing(
        model,
        train.get,
        sizes=sizes,
        epochs=epochs,
        max_lr=rates,
        validation_data=valid,
        verbose=0,
    )
    seconds = time.process_time() - begin
    accuracies = history.history["val_accuracy"]
    print(f"{sizes}: accuracy {accuracies[-1]:.2f} after {seconds:.0f} CPU s")
    return accuracies


plain = trained([LARGE], [12], [4e-3])
resized = trained([SMALL, LARGE], [12, 4], [4e-3, 2e-3])

# %% alt="Validation accuracy over epochs: with large images throughout it rises steadily; with small ones it stays low until the large ones come, then catches up"
figure, ax = plt.subplots(figsize=(7, 3.2))
ax.plot(range(1, 13), plain, "o-", ms=3, label=f"{LARGE} pixels")
ax.plot(range(1, 17), resized, "s--", ms=3, label=f"{SMALL}, then {LARGE}")
ax.axvline(12.5, color="0.6", lw=0.8)
ax.set(xlabel="epoch", ylabel="accuracy on large images")
legend = ax.legend(frameon=False)

# %% [markdown]
# A network that has only seen small images does badly on large ones, where
# objects are twice the size it knows. A few epochs at a lower rate fix that,
# and both stages together cost less than large images throughout.
#
# ## What to expect
#
# The accuracies of the two differ by a few points from seed to seed, in either
# direction. Expect to save time, not to gain accuracy.
#
# You save more with larger images, with longer training, and with more of it on
# small images. With a pretrained network and a few hundred images there is
# little to save: [`fine_tune`](transfer.md) takes a minute, and pretrained
# features expect objects of a certain size. In a trial on these drawings, 3
# epochs at 48 pixels and then 1 at 96 were less accurate than 3 at 96, and took
# as long.
