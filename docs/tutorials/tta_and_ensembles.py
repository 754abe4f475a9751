# %% [markdown]
# # TTA and snapshot ensembles
#
# Several opinions are better than one, as long as they do not all make the
# same mistakes. This page shows three ways to several opinions that cost
# little:
#
# - keep several models of one training,
# - average the weights of several epochs,
# - ask one model about several versions of each image.

# %%
import logging
import tempfile
import warnings

import keras
import numpy as np

import keras_fast
from keras_fast import inference, models
from keras_fast.callbacks import (
    SGDR,
    Recorder,
    SnapshotEnsemble,
    WeightAveraging,
)

keras.utils.set_random_seed(0)

# Keras says so of every data set that shuffles itself, and TensorFlow warns of
# models that are compiled again and again, as this one is.
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

# %% [markdown]
# The base is frozen, and what it says is computed once, for training and
# validation. So every experiment on this page takes seconds.

# %%
base = models.efficientnet_lite0(include_top=False)
model = models.image_classifier(
    base,
    num_classes=len(train.class_names),
    input_shape=(SIZE, SIZE, 3),
    head_units=512,
)
body, head = keras_fast.split_head(model)
folder = tempfile.mkdtemp()
cache = keras_fast.cache_features(body, train, directory=folder)
x_train, y_train = cache.arrays()
x_valid, y_valid = keras_fast.cache_features(
    body, valid, directory=folder
).arrays()
untrained = head.get_weights()


def measure(probabilities):
    right = probabilities.argmax(axis=-1) == y_valid
    said = probabilities[np.arange(len(y_valid)), y_valid.astype(int)]
    loss = -np.log(np.maximum(said, 1e-7)).mean()
    return np.array([right.mean(), loss])


def tell(name, probabilities):
    accuracy, loss = measure(probabilities)
    print(f"{name:<22} accuracy {accuracy:.3f}, loss {loss:.3f}")


def train_head(*callbacks, rate=5e-3, epochs=6, seed=0):
    keras.utils.set_random_seed(seed)
    head.set_weights(untrained)
    head.compile(
        keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy"
    )
    head.fit(
        x_train,
        y_train,
        batch_size=32,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
    )
    return head.predict(x_valid, verbose=0)


# %% [markdown]
# First a plain training, at a constant rate, to compare with.

# %%
tell("plain", train_head())

# %% [markdown]
# ## One training, several models
#
# At the end of each of SGDR's cycles the rate is near zero, and the model at
# rest. Then a restart throws it out again, to another place that is about as
# good. A copy from each place makes an ensemble, for the price of one
# training. `SnapshotEnsemble` keeps the copies.

# %%
recorder, snapshots = Recorder(), SnapshotEnsemble(tempfile.mkdtemp())
last = train_head(SGDR(5e-3, cycle_len=2), snapshots, recorder)
print([path.name for path in snapshots.members])

# %% alt="The learning rate in three cycles of equal length"
ax = recorder.plot_schedule()

# %%
tell("last snapshot", last)
tell("mean of snapshots", snapshots.predict(x_valid, verbose=0))

# %% [markdown]
# Early snapshots are of a young model. If they are much worse than the last
# one, leave them out: `snapshots.predict(x, last=2)`.
#
# For use elsewhere `to_model` makes one Keras model of them all. It loads
# without keras_fast. Here it is an ensemble of heads, and goes behind the
# body, which runs once for all of them.

# %%
ensemble = keras.Sequential([body, snapshots.to_model()])
images, _ = next(iter(valid))
print(ensemble.predict(images, verbose=0).shape)

# %% [markdown]
# ## One model, averaged weights
#
# An ensemble of whole models costs as many times more as it has members.
# Averaging the *weights* costs nothing: the result is one model.
#
# It works as long as the weights are close to each other, as in the last
# epochs of one training. Layers with batch normalization need new statistics
# for the mean, and that takes a look at the training data. That is what `x` is
# for.

# %%
averaging = WeightAveraging(start=3, x=x_train, batch_size=32)
tell("averaged weights", train_head(averaging))
print(averaging.num_averaged, "epochs averaged")

# %% [markdown]
# ## One model, several versions
#
# What is hard to see from one side may be easy from another. So show the model
# each image as it is and mirrored, and average what it says. This is
# test-time augmentation, TTA.
#
# Only versions that keep the meaning help. A mirrored cat is a cat; a mirrored
# letter is not that letter.
#
# `head` is trained, so `model` is. It has now the averaged weights.

# %%
x = np.concatenate([images for images, _ in valid])
flips = inference.flips()
tell("averaged weights, TTA", keras_fast.predict_tta(model, x, flips))
tell("mean of snapshots, TTA", keras_fast.predict_tta(ensemble, x, flips))

# %% [markdown]
# `augment` may also be the layer that augmented the training, for random
# versions as in fastai: `predict_tta(model, x, AugTransforms())`. Use it if the
# model was trained with it. A model that has never seen a turned image is
# not helped by one.
#
# The image itself counts for a quarter, as in fastai. `beta` changes that,
# and `beta=None` returns both parts.
#
# ## What was gained
#
# All of them trained for as many epochs. The accuracy counts what is right. The
# loss also counts how sure the model was, and is finer: being sure and wrong
# costs most.
#
# On so few images one training is an anecdote. So the snapshots once more,
# with three seeds, and the means.

# %%
results = []
for seed in range(3):
    snapshots = SnapshotEnsemble(tempfile.mkdtemp())
    last = train_head(SGDR(5e-3, cycle_len=2), snapshots, seed=seed)
    mean = snapshots.predict(x_valid, verbose=0)
    results.append([measure(last), measure(mean)])
names = ("last snapshot", "mean of snapshots")

print("three seeds        accuracy  loss")
for name, (accuracy, loss) in zip(names, np.mean(results, 0), strict=True):
    print(f"{name:<17}  {accuracy:>8.3f}  {loss:.3f}")

# %% [markdown]
# Compare the losses. Members of an ensemble are
# wrong about different images, so their mean is seldom sure and wrong.
#
# Averaged weights are one model, and can be as sure and wrong as one. They are
# free, so try them, and let the validation images decide. They help most
# where a constant rate leaves the weights moving about a good place.
#
# Mirror images change little for a network that has seen both sides of
# everything. Random views do more for a model that was trained with them: in
# `benchmarks/transfer.py` they took six classes from 0.757 to 0.771. The table
# is in [Benchmarks](../benchmarks.md), and so is what TTA costs, by
# `benchmarks/tta.py`.
