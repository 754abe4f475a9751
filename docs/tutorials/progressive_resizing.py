# %% [markdown]
# # Progressive resizing
#
# Train on small images first, then on larger ones. Most of what a network has
# to learn of a task shows on small images too, and a step there costs a
# fraction. fast.ai won a competition for training on ImageNet at the lowest
# cost with this. It needs a network that takes images of any size: convolutions,
# then a mean over all places.

# %%
import pathlib
import time

import keras
import numpy as np

from keras_fast import data
from keras_fast.callbacks import OneCycle

layers = keras.layers
FOLDER = pathlib.Path("examples/data/clipart")
CLASSES = sorted(path.name for path in (FOLDER / "train").iterdir())


def load(part, size):
    paths = sorted((FOLDER / part).glob("*/*"))
    labels = np.array([CLASSES.index(path.parent.name) for path in paths])
    return data.load_images(paths, size, background=(255, 255, 255)), labels


SMALL, LARGE = 32, 64
small, labels = load("train", SMALL)
large, _ = load("train", LARGE)
x_valid, y_valid = load("valid", LARGE)


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


def train(model, x, epochs, rate):
    """CPU seconds."""
    begin = time.process_time()
    cycle = OneCycle(rate)
    model.fit(x, labels, epochs=epochs, callbacks=[cycle], verbose=0)
    return time.process_time() - begin


def tell(name, model, seconds):
    _, accuracy = model.evaluate(x_valid, y_valid, verbose=0)
    print(f"{name:<36} accuracy {accuracy:.2f} {seconds:5.0f} CPU s")


plain = network()
tell(f"{LARGE} pixels, 16 epochs", plain, train(plain, large, 16, 4e-3))

# %% [markdown]
# The same network, first on images with a quarter of the pixels. It is
# validated on large ones throughout.

# %%
model = network()
seconds = train(model, small, 16, 4e-3)
tell(f"{SMALL} pixels, 16 epochs", model, seconds)
seconds += train(model, large, 6, 2e-3)
tell(f"and then {LARGE} pixels, 6 epochs", model, seconds)

# %% [markdown]
# A network that has only seen small images does badly on large ones: things are
# twice as large there, in its own terms. A few epochs mend that, at a lower
# rate, and the two together cost less than large images throughout.
#
# ## What to expect
#
# The two differ by a few points from seed to seed, in either direction. Expect
# to save time, not to be more accurate.
#
# It saves the more, the larger the images are, the longer the training, and the
# more of it happens on small ones. With a pretrained network and a few hundred
# images there is little to save: [`fine_tune`](transfer.md) takes a minute, and
# what a pretrained network knows belongs to things of a certain size. In a trial
# on these drawings 3 epochs at 48 pixels and then 1 at 96 were less accurate than
# 3 at 96, and took as long.
