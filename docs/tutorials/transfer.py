# %% [markdown]
# # Transfer learning in eight steps
#
# This is fast.ai's recipe for a good image classifier, taught as a list of
# eight steps, each a line or two of code:
#
# 1. compute the frozen base's features of each image, once
# 2. find a learning rate for the head
# 3. train the head on the computed features
# 4. train the head on augmented images
# 5. unfreeze
# 6. give earlier layers lower rates
# 7. find a rate for the whole model
# 8. train the whole model, in cycles
#
# `make demo` takes the same steps in more detail. This page explains each one.

# %%
import logging
import tempfile
import time
import warnings

import keras
import numpy as np

import keras_fast
from keras_fast import inference, models
from keras_fast.callbacks import SGDR, OneCycle, Recorder, SnapshotEnsemble
from keras_fast.data import AugTransforms
from keras_fast.optimizers import DiscriminativeOptimizer

keras.utils.set_random_seed(0)

# Keras warns about this for every tf.data dataset, and TensorFlow about models
# that are compiled again and again, as this one is.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
logging.getLogger("tensorflow").setLevel("ERROR")

SIZE = 80  # small, so that this page is quick
CLASSES = ["animal", "food"]


def load(part, shuffle):
    return keras.utils.image_dataset_from_directory(
        f"examples/data/clipart/{part}",
        class_names=CLASSES,
        image_size=(SIZE, SIZE),
        batch_size=32,
        shuffle=shuffle,
        seed=0,
        verbose=False,
    )


train, valid = load("train", shuffle=False), load("valid", shuffle=False)
augment = AugTransforms(seed=0)
augmented = load("train", shuffle=True).map(
    lambda x, y: (augment(x, training=True), y)
)
augmented = augmented.prefetch(2)
folder = tempfile.mkdtemp()

# %% [markdown]
# Keep the validation images as arrays, to measure the model after each step.
# The table at the end of the page shows the results.

# %%
x_valid = np.concatenate([x for x, _ in valid])
y_valid = np.concatenate([y for _, y in valid])
table, start = [], time.perf_counter()


def accuracy(probabilities):
    return np.mean(probabilities.argmax(axis=-1) == y_valid)


def note(step):
    global start
    seconds = time.perf_counter() - start
    right = accuracy(model.predict(x_valid, verbose=0))
    table.append((step, seconds, right))
    start = time.perf_counter()


def compile_model(model, multipliers=None):
    optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    if multipliers is not None:
        optimizer = DiscriminativeOptimizer(optimizer, multipliers)
    model.compile(optimizer, "sparse_categorical_crossentropy")


base = models.efficientnet_lite0(include_top=False)
model = models.image_classifier(
    base, num_classes=len(CLASSES), input_shape=(SIZE, SIZE, 3)
)
note("0 a new head")

# %% [markdown]
# ## 1. Compute features once
#
# The base is frozen, so its output for an image never changes, and nearly all
# of the time goes into computing it. Compute it once and store it.
#
# `split_head` cuts the model in two without copying it: training `head` trains
# `model`.

# %%
body, head = keras_fast.split_head(model)
cache = keras_fast.cache_features(body, train, directory=folder)
features = cache.dataset(batch_size=32, seed=0)
note("1 cache features")

# %% [markdown]
# ## 2. Find a rate for the head
#
# On cached features a sweep takes a moment.

# %% alt="The finder's curve for the head on cached features"
compile_model(head)
found = keras_fast.lr_find(head, features)
rate = found.suggestion
ax = found.plot()

# %%
print(f"rate for the head: {rate:.1e}")
note("2 find a rate")

# %% [markdown]
# ## 3. Train the head on features
#
# The head knows nothing yet. Train it before it can damage the base. An epoch
# on features takes almost no time, so train for many: this linear head ends up
# where a logistic regression would.
#
# `shuffle=False` leaves the order to the cache, which shuffles itself.

# %%
history = head.fit(
    features, epochs=20, shuffle=False, callbacks=[OneCycle(rate)], verbose=0
)
note("3 train the head")
print(
    f"loss {history.history['loss'][0]:.3f}, {history.history['loss'][-1]:.3f}"
)

# %% [markdown]
# ## 4. Train the head on augmented images
#
# Augmented images have different features in each epoch, so the base has to
# run. That still costs little, because no gradients flow back through it.
#
# Each epoch is a cycle of its own, from a high rate to zero. The head is
# already trained, so a third of its rate is enough.

# %%
compile_model(model)
history = model.fit(
    augmented,
    epochs=2,
    callbacks=[SGDR(rate / 3, cycle_len=1)],
    verbose=2,
)
note("4 augmented images")

# %% [markdown]
# ## 5. Unfreeze
#
# ImageNet consists of photos, and these are drawings. So the base should learn
# too.
#
# Its batch normalization stays frozen. The moving averages come from a million
# photos, and a few hundred images can't give better estimates.

# %%
keras_fast.unfreeze(model, train_batchnorm=False)

# %% [markdown]
# ## 6. Lower rates for earlier layers
#
# An edge is an edge, in photos and in drawings, so the first layers are nearly
# right already. Each group trains at three times the rate of the one before it.
# fast.ai's rule of thumb is ten times for images like ImageNet's, and three for
# others.

# %%
multipliers = keras_fast.layer_multipliers(model, [1 / 9, 1 / 3, 1.0])
compile_model(model, multipliers)
print(keras_fast.training_plan(model))

# %% [markdown]
# The `rate` column shows this. AdamW's own rate applies to the last group, and
# every schedule scales all groups together.
#
# ## 7. Find a rate for the whole model
#
# More layers train now, so run the finder again.
#
# The head is already trained, and the curve has no clear fall: the loss is as
# low as one step can make it. The curve only shows where the loss starts to
# rise. A rule for this case, `trained`, stays a safe distance below that.

# %% alt="The finder's curve for all layers: flat, then rising"
found = keras_fast.lr_find(
    model, augmented, start_lr=1e-6, end_lr=1.0, num_steps=60
)
ax = found.plot(skip_start=3, skip_end=1)

# %%
rate = found.suggestions["trained"]
print(f"trained: {rate:.1e}")
note("7 find a rate for all")

# %% [markdown]
# ## 8. Train the whole model, in cycles
#
# The second cycle is twice as long as the first. At the end of each, the rate
# is near zero and the model has settled: a good moment for `SnapshotEnsemble`
# to keep a copy. Keras's `ModelCheckpoint` keeps the best epoch.
#
# fast.ai's last step is to train "until over-fitting". For that, give `fit()`
# more cycles than it needs and add `CycleStopping()`: it stops after a cycle
# that doesn't improve the validation loss, and keeps the best cycle. Two short
# cycles, as here, don't need it.

# %%
recorder, snapshots = Recorder(), SnapshotEnsemble(folder + "/snapshots")
best = keras.callbacks.ModelCheckpoint(
    folder + "/best.weights.h5", save_best_only=True, save_weights_only=True
)
history = model.fit(
    augmented,
    validation_data=(x_valid, y_valid),
    epochs=SGDR.num_epochs(2, cycle_len=1, cycle_mult=2),
    callbacks=[
        SGDR(rate, cycle_len=1, cycle_mult=2),
        best,
        snapshots,
        recorder,
    ],
    verbose=2,
)
model.load_weights(best.filepath)
note("8 train all")

# %% alt="Learning rate of the last group at every update, in two cycles"
ax = recorder.plot_schedule()

# %% [markdown]
# ## Results
#
# Two rows are added: the trained model averaged over each image and its mirror
# image, and the mean of the copies from both cycles.

# %%
mirrored = keras_fast.predict_tta(model, x_valid, inference.flips())
ensemble = snapshots.predict(x_valid, verbose=0)

print("step                   seconds  accuracy")
for step, seconds, right in table:
    print(f"{step:<22} {seconds:>7.1f}  {right:>8.3f}")
print(f"{'  with mirror images':<30}  {accuracy(mirrored):>8.3f}")
print(f"{'  mean of snapshots':<30}  {accuracy(ensemble):>8.3f}")

# %% [markdown]
# Steps 1 to 3 take a few seconds and bring most of the accuracy. That is the
# first thing to remember: train the head on features before anything else.
#
# What the later steps add depends on how many images you have and how far they
# are from ImageNet. Steps 5 to 7 prepare step 8 and change no predictions. On
# two classes of drawings, as here, step 8 adds nothing beyond chance; with more
# to learn, it does: see the six classes in [Benchmarks](../benchmarks.md)
# (`benchmarks/transfer.py`).
#
# `fine_tune` is the short form: it trains the head on features, then
# everything, and ends with a moving average of the weights.
