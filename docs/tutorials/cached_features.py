# %% [markdown]
# # Cached features
#
# A frozen base computes the same features from the same image in every epoch,
# and nearly all of an epoch's time is spent there. This page computes them
# once, and trains the head on the stored features.
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

# Keras warns about this for every tf.data dataset, and TensorFlow about many
# models in one program.
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
# `split_head` cuts a model into a frozen body and a trainable head. Both share
# the model's layers, so nothing is copied: training the head trains the model.

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
# A stale cache is worse than none: the head trains on yesterday's features, and
# nobody notices. So a cache is identified by its content: the layers, their
# weights and the data. With the same body and data, a second call reads the
# files. Otherwise it computes new ones next to them.

# %%
start = time.perf_counter()
cache = keras_fast.cache_features(body, train, directory=folder)
reading = time.perf_counter() - start
print(f"made in {making:.1f} s, read in {reading:.1f} s")

# %% [markdown]
# An interrupted call resumes where it stopped. Damaged files are detected by
# their checksums and rebuilt.
#
# ## Are the predictions the same?
#
# The head on the features should predict what the model predicts on the images.

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
# `cache.dataset` feeds `fit()`. It shuffles in a new order each epoch and reads
# in large pieces, so it may be larger than memory. `shuffle=False` tells Keras
# that the data are already shuffled.

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
# Now `model` is trained too, because the head is part of it. It takes images.

# %%
model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
accuracy = model.evaluate(valid, verbose=0)[1]
print(f"accuracy on the validation images: {accuracy:.3f}")

# %% [markdown]
# ## What about augmentation?
#
# A mirrored image has different features, so a cache covers only the original
# images.
#
# `num_views` is the solution: put the augmentation into the body, and the cache
# keeps several views of each image. Each epoch trains on the next one. This
# runs the body once per view.

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
# ## Results
#
# The same training of the same head, once on images and once on features. Both
# are warmed up, so that only the training is timed.


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
# Making the cache costs about as much as one epoch on images, so it pays off
# from the second epoch on. And because another sweep or seed now costs next to
# nothing, you can afford to try things.
#
# [Benchmarks](../benchmarks.md) measures the same ratio with care
# (`benchmarks/cached_features.py`).
