# %% [markdown]
# # Fine-tuning with discriminative rates
#
# A pretrained network is not equally good all through. Its first layers know
# edges and textures, and are right as they are. Its last layers know the
# classes of ImageNet, which are not yours.
#
# With one learning rate for all, either the first layers forget, or the last
# ones do not learn. So give each group of layers its own.

# %%
import itertools
import tempfile
import warnings

import keras
import numpy as np

import keras_fast
from keras_fast import models
from keras_fast.callbacks import OneCycle
from keras_fast.optimizers import DiscriminativeOptimizer

keras.utils.set_random_seed(0)

# Keras says so of every data set that shuffles itself.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")

SIZE = 64
CLASSES = ["animal", "food"]


def load(part, shuffle):
    return keras.utils.image_dataset_from_directory(
        f"examples/data/clipart/{part}",
        class_names=CLASSES,
        image_size=(SIZE, SIZE),
        batch_size=16,
        shuffle=shuffle,
        seed=0,
        verbose=False,
    )


train, valid = load("train", shuffle=True), load("valid", shuffle=False)

# %% [markdown]
# ## Groups of layers
#
# `layer_groups` splits a model from input to output. What stands behind the
# base is the last group, the head. The rest is split evenly.

# %%
base = models.efficientnet_lite0(include_top=False)
model = models.image_classifier(
    base, num_classes=len(CLASSES), input_shape=(SIZE, SIZE, 3), head_units=512
)
for number, group in enumerate(keras_fast.layer_groups(model)):
    print(number, len(group), "layers,", group[0].name, "to", group[-1].name)

# %% [markdown]
# ## The head first
#
# A random head sends random gradients back. So train the head alone, while
# the rest is frozen. On [cached features](cached_features.md) that takes
# moments.

# %%
body, head = keras_fast.split_head(model)
cache = keras_fast.cache_features(
    body, load("train", shuffle=False), directory=tempfile.mkdtemp()
)
head.compile("adam", loss="sparse_categorical_crossentropy")
head.fit(
    cache.dataset(batch_size=16, seed=0),
    epochs=5,
    shuffle=False,
    callbacks=[OneCycle(1e-3)],
    verbose=0,
)
trained_head = model.get_weights()


def measure():
    x, y = zip(*valid.as_numpy_iterator(), strict=True)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.evaluate(np.concatenate(x), np.concatenate(y), verbose=0)


loss, accuracy = measure()
rows = [("head only", loss, accuracy)]
print(f"head only: loss {loss:.3f}, accuracy {accuracy:.3f}")

# %% [markdown]
# ## A rate for each group
#
# `layer_multipliers` says how the rates relate. There are three ways to say
# it:
#
# | you write | first group | … | last group |
# |---|---|---|---|
# | `[1e-5, 1e-4, 1e-3]` | 1e-5 | each its own | 1e-3 |
# | `slice(1e-5, 1e-3)` | 1e-5 | spread by equal factors | 1e-3 |
# | `slice(1e-3)` | 1e-4 | a tenth of the last | 1e-3 |
#
# The result has a number for each variable, relative to the highest rate.

# %%
keras_fast.unfreeze(model, train_batchnorm=False)
multipliers = keras_fast.layer_multipliers(model, slice(1e-5, 1e-3))
print(
    len(multipliers), "multipliers:", sorted({round(m, 4) for m in multipliers})
)

# %% [markdown]
# `DiscriminativeOptimizer` goes around any Keras optimizer. Its learning rate
# is the one of the optimizer within, so a schedule moves all groups together,
# and their ratios stay. So are `weight_decay`, `clipnorm` and all the others.
# With weight decay, as in `AdamW`, `keras_fast.decay_weights_only(model)` spares
# biases and normalization, as fast.ai's `wd_bn_bias=False` does, and the saved
# model remembers it.

# %%
optimizer = DiscriminativeOptimizer(keras.optimizers.Adam(1e-3), multipliers)
model.compile(optimizer, loss="sparse_categorical_crossentropy")
print(keras_fast.training_plan(model))

# %% [markdown]
# Why not scale the gradients instead? Because Adam divides by their size: a
# gradient that is ten times smaller gives the same step. What has to be scaled
# is the step.
#
# ## Two trainings from the same start
#
# First everything at one rate. Then groups: a factor of a hundred from first to
# last, as in fastai's `fine_tune`. The head is trained already, so both take a
# lower rate than it had.

# %%
ways = {
    "all at 3e-4": [3e-4, 3e-4, 3e-4],
    "slice(3e-6, 3e-4)": slice(3e-6, 3e-4),
}
for name, rates in ways.items():
    keras.utils.set_random_seed(0)
    model.set_weights(trained_head)
    multipliers = keras_fast.layer_multipliers(model, rates)
    adam = keras.optimizers.Adam(3e-4)
    optimizer = DiscriminativeOptimizer(adam, multipliers)
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    # Keras would trace the step twice: once to build this, once to use it.
    optimizer.build(model.trainable_variables)
    model.fit(train, epochs=2, callbacks=[OneCycle(3e-4)], verbose=0)
    rows.append((name, *measure()))

# %% [markdown]
# ## ULMFiT's 2.6
#
# The paper on ULMFiT divides the rate by 2.6 from each group to the one
# before it. With n groups that is a `slice`: for five groups,
# `slice(rate / 2.6**4, rate)`. Any number of groups will do.

# %%
groups = keras_fast.layer_groups(model, num_groups=5)
multipliers = keras_fast.layer_multipliers(
    model, slice(1e-3 / 2.6**4, 1e-3), groups
)
by_size = sorted(set(multipliers))
print([f"{b / a:.2f}" for a, b in itertools.pairwise(by_size)])

# %% [markdown]
# ## What was gained

# %%
print("rates              loss   accuracy")
for name, loss, accuracy in rows:
    print(f"{name:<17}  {loss:.3f}  {accuracy:.3f}")

# %% [markdown]
# Compare the losses, which are finer than accuracies on so few images.
# Look above all at the row with one rate for all. A pretrained network at the
# rate of a head forgets faster than it learns, and two epochs do not mend that.
# With lower rates for the early layers, much less is lost.
#
# Does any row beat the head alone? On so few images that is not a matter of
# course. The base has more weights than the data can teach, and what it knows
# is good. With more images, or with images further from ImageNet, all of
# it should train; [Benchmarks](../benchmarks.md) shows a case
# (`benchmarks/transfer.py`, six classes).
#
# What to freeze, and for how long, is in
# [What to freeze](../choose/freeze.md). What the wrapper costs is in
# [Benchmarks](../benchmarks.md), by `benchmarks/discriminative_overhead.py`.
