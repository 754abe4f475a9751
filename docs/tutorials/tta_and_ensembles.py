# %% [markdown]
# # TTA and snapshot ensembles
#
# Several predictions are better than one, as long as they don't all make the
# same mistakes. This page shows three cheap ways to get several:
#
# - keep several models of one training run,
# - average the weights of several epochs,
# - show one model several versions of each image.

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

# Keras warns about this for every tf.data dataset, and TensorFlow about models
# that are compiled again and again, as this one is.
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
# The base is frozen, and its features are computed once, for training and
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
# First a plain training run, at a constant rate, for comparison.

# %%
tell("plain", train_head())

# %% [markdown]
# ## One training run, several models
#
# At the end of each SGDR cycle the rate is near zero and the model has settled
# in a minimum. Then a restart moves it to a different minimum that is about as
# good. A copy from each minimum makes an ensemble, for the price of one
# training run. `SnapshotEnsemble` keeps the copies.

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
# Early snapshots come from an under-trained model. If they are much worse than
# the last one, leave them out: `snapshots.predict(x, last=2)`.
#
# For use elsewhere, `to_model` combines them into one Keras model, which loads
# without keras_fast. Here it is an ensemble of heads on top of the body, which
# runs once for all of them.

# %%
ensemble = keras.Sequential([body, snapshots.to_model()])
images, _ = next(iter(valid))
print(ensemble.predict(images, verbose=0).shape)

# %% [markdown]
# ## One model, averaged weights
#
# An ensemble of n whole models costs n times as much. Averaging the *weights*
# costs nothing: the result is one model.
#
# It works as long as the weights are close to each other, as in the last epochs
# of one training run. Batch normalization layers need new statistics for the
# averaged weights, computed from the training data. That is what `x` is for.

# %%
averaging = WeightAveraging(start=3, x=x_train, batch_size=32)
tell("averaged weights", train_head(averaging))
print(averaging.num_averaged, "epochs averaged")

# %% [markdown]
# ## One model, several versions
#
# An image that is hard to recognize may be easier when mirrored. So show the
# model each image as it is and mirrored, and average the predictions. This is
# test-time augmentation, TTA.
#
# Only versions that keep the meaning help. A mirrored cat is still a cat; a
# mirrored letter is not the same letter.
#
# `head` is trained, so `model` is too. It now has the averaged weights.

# %%
x = np.concatenate([images for images, _ in valid])
flips = inference.flips()
tell("averaged weights, TTA", keras_fast.predict_tta(model, x, flips))
tell("mean of snapshots, TTA", keras_fast.predict_tta(ensemble, x, flips))

# %% [markdown]
# `augment` may also be the layer that augmented the training data, for random
# versions as in fastai: `predict_tta(model, x, AugTransforms())`. Use it if the
# model was trained with it. Rotated images don't help a model that has never
# seen one.
#
# The original image counts for a quarter, as in fastai. `beta` changes that,
# and `beta=None` returns both parts.
#
# ## Results
#
# All of them trained for the same number of epochs. Accuracy counts correct
# predictions. The loss also counts the model's confidence, and is finer:
# confident mistakes cost most.
#
# On so few images one training run is an anecdote. So repeat the snapshots with
# three seeds, and average.

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
# Compare the losses. Members of an ensemble are wrong about different images,
# so their mean is seldom confidently wrong.
#
# Averaged weights are one model, and can be as confidently wrong as one. They
# are free, so try them, and let the validation images decide. They help most
# where a constant rate keeps the weights moving around a good minimum.
#
# Mirror images change little for a network that was trained on both
# orientations. Random views do more for a model that was trained with them: in
# `benchmarks/transfer.py` they took six classes from 0.757 to 0.771.
# [Benchmarks](../benchmarks.md) has the table, and the cost of TTA
# (`benchmarks/tta.py`).
