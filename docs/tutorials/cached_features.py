# %% [markdown]
# # Cached features
#
# While the base of a model is frozen it computes the same from the same
# image, in every epoch. Nearly all of the time of an epoch goes there. This
# page computes it once, and trains the head on what is on the disk.
#
# fastai 0.7 called this `precompute=True`.

# %%
import logging
import tempfile
import time
import warnings

import keras
import numpy as np

import keras_fast
from keras_fast import models
from keras_fast.callbacks import OneCycle

keras.utils.set_random_seed(0)

# Keras says so of every data set that shuffles itself, and TensorFlow warns of
# many models in one program.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
logging.getLogger("tensorflow").setLevel("ERROR")

SIZE = 96


def load(part):
    return keras.utils.image_dataset_from_directory(
        f"examples/data/clipart/{part}",
        image_size=(SIZE, SIZE),
        batch_size=32,
        shuffle=False,
        verbose=False,
    )


train, valid = load("train"), load("valid")
base = models.efficientnet_lite0(include_top=False)
model = models.image_classifier(
    base,
    num_classes=len(train.class_names),
    input_shape=(SIZE, SIZE, 3),
    head_units=512,
)

# %% [markdown]
# ## Body and head
#
# `split_head` cuts a model into what is frozen and what trains. Both halves
# share the model's layers, so nothing is copied: to train the head is to train
# the model.

# %%
body, head = keras_fast.split_head(model)
print("body:", body.input_shape, "->", body.output_shape)
print("head:", head.input_shape, "->", head.output_shape)

# %% [markdown]
# ## Make the cache

# %%
folder = tempfile.mkdtemp()
start = time.perf_counter()
cache = keras_fast.cache_features(body, train, directory=folder)
making = time.perf_counter() - start
print(len(cache), "rows of", cache.feature_shape, cache.feature_dtype)

# %% [markdown]
# A cache that is out of date is worse than none: it trains on yesterday's
# features, and nobody notices. So a cache is known by its content, that is by
# the layers, their weights, and the data. With the same body and data a
# second call reads the files. With others it computes new ones beside them.

# %%
start = time.perf_counter()
cache = keras_fast.cache_features(body, train, directory=folder)
reading = time.perf_counter() - start
print(f"made in {making:.1f} s, read in {reading:.1f} s")

# %% [markdown]
# A call that was interrupted goes on where it ended. Damaged files are found
# by their checksums, and made anew.
#
# ## Is it the same?
#
# The head on the features should say what the model says of the image.

# %%
images, _ = next(iter(train))
rows, labels = cache.rows(np.arange(len(images)))
difference = np.abs(
    head.predict(rows, verbose=0) - model.predict(images, verbose=0)
)
print("largest difference:", f"{difference.max():.0e}")

# %% [markdown]
# ## Train the head
#
# `cache.dataset` feeds `fit()`. It shuffles, another order each epoch, and
# reads in large pieces, so it may be larger than memory. `shuffle=False` says
# to Keras that this has been taken care of.

# %%
head.compile(
    "adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)
features = cache.dataset(batch_size=32, seed=0)
found = keras_fast.lr_find(head, features)
history = head.fit(
    features,
    epochs=4,
    shuffle=False,
    callbacks=[OneCycle(found.suggestion)],
    verbose=2,
)

# %% [markdown]
# Now `model` is trained, because the head is a part of it. It takes images.

# %%
model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
accuracy = model.evaluate(valid, verbose=0)[1]
print(f"accuracy on the validation images: {accuracy:.3f}")

# %% [markdown]
# ## And augmentation?
#
# Features of a mirrored image are other features. So a cache knows the
# images as they were.
#
# `num_views` is the way out: put the augmentation into the body, and let the
# cache keep several views of each image. Each epoch trains on the next one.
# That costs as many runs of the body as there are views.

# %%
inputs = keras.Input((SIZE, SIZE, 3))
augment = keras_fast.data.AugTransforms(seed=0)
augmenting = keras.Model(inputs, body(augment(inputs)))
views = keras_fast.cache_features(
    augmenting, images, directory=folder, num_views=2
)
first, second = views.rows([0], view=0)[0], views.rows([0], view=1)[0]
print("views:", views.num_views, "- the same:", np.array_equal(first, second))

# %% [markdown]
# ## What was gained
#
# The same training of the same head, once on images and once on features.
# Both are warmed up, so that it is the training that is timed.


# %%
def seconds(model, data):
    model.fit(data, verbose=0, shuffle=False)
    start = time.perf_counter()
    model.fit(data, verbose=0, shuffle=False)
    return time.perf_counter() - start


model.compile("adam", loss="sparse_categorical_crossentropy")
on_images = seconds(model, train)
on_features = seconds(head, features)
print(f"an epoch on images  {on_images:6.2f} s")
print(f"an epoch on features  {on_features:6.2f} s")
print(f"making the cache      {making:6.2f} s")
print(f"once made, {on_images / on_features:.0f} times faster")

# %% [markdown]
# Making the cache costs about as much as one epoch on images. From the
# second epoch on it is gain. And because a sweep or another seed costs next
# to nothing now, you can afford to try things.
#
# The same ratio, measured with care: [Benchmarks](../benchmarks.md), by
# `benchmarks/cached_features.py`.
