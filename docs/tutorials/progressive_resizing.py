# %% [markdown]
# # Progressive resizing
#
# Train on small images first, then on larger ones. Most of what a network has
# to learn about a task shows on small images, and a step there costs a fraction.
# fast.ai won a competition for training on ImageNet at the lowest cost with
# this. It needs a network that takes any size, as those of `image_classifier`
# do.

# %%
import logging
import time

import keras
import numpy as np

import keras_fast
from keras_fast import data, models

# TensorFlow warns of each new size of images.
logging.getLogger("tensorflow").setLevel("ERROR")
from pathlib import Path

FOLDER = Path("examples/data/clipart")
CLASSES = sorted(path.name for path in (FOLDER / "train").iterdir())


def load(part, size):
    paths = sorted((FOLDER / part).glob("*/*"))
    labels = np.array([CLASSES.index(path.parent.name) for path in paths])
    return data.load_images(paths, size, background=(255, 255, 255)), labels


SMALL, LARGE = 48, 96
small, labels = load("train", SMALL)
large, _ = load("train", LARGE)
x_valid, y_valid = load("valid", LARGE)


def build():
    keras.utils.set_random_seed(0)
    base = models.efficientnet_lite0(include_top=False)
    shape = (None, None, 3)
    model = models.image_classifier(base, len(CLASSES), input_shape=shape)
    optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def tell(name, model, begin):
    seconds = time.process_time() - begin
    _, accuracy = model.evaluate(x_valid, y_valid, verbose=0)
    print(f"{name:<32} accuracy {accuracy:.3f} {seconds:4.0f} CPU s")


# %%
begin = time.process_time()
plain = build()
keras_fast.fine_tune(plain, large, labels, epochs=3, num_views=1, verbose=0)
tell(f"{LARGE} pixels throughout", plain, begin)

# %%
begin = time.process_time()
model = build()
keras_fast.fine_tune(model, small, labels, epochs=3, num_views=1, verbose=0)
tell(f"{SMALL} pixels", model, begin)
keras_fast.fine_tune(
    model, large, labels, epochs=1, head_epochs=0, base_lr=4e-4, verbose=0
)
tell(f"{SMALL} pixels, then {LARGE}", model, begin)
