# %% [markdown]
# # Fine-tuning with discriminative rates
#
# The layers of a pretrained network are not equally useful. The first layers
# know edges and textures, and are right as they are. The last layers know the
# classes of ImageNet, which aren't yours.
#
# With one learning rate for all, either the first layers forget or the last
# ones don't learn. So give each group of layers its own.

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

# Keras warns about this for every tf.data dataset.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")

SIZE = 64
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


train, valid = load("train", shuffle=True), load("valid", shuffle=False)

# %% [markdown]
# ## Groups of layers
#
# `layer_groups` splits a model from input to output. The layers on top of the
# base are the last group, the head. The rest is split evenly.

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
# A random head sends random gradients back. So train the head alone first,
# while the rest is frozen. On [cached features](cached_features.md) this takes
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
# `layer_multipliers` sets the ratios between the rates. There are three ways to
# write them:
#
# | you write | first group | … | last group |
# |---|---|---|---|
# | `[1e-5, 1e-4, 1e-3]` | 1e-5 | each its own | 1e-3 |
# | `slice(1e-5, 1e-3)` | 1e-5 | spread by equal factors | 1e-3 |
# | `slice(1e-3)` | 1e-4 | a tenth of the last | 1e-3 |
#
# The result has one number per variable, relative to the highest rate.

# %%
keras_fast.unfreeze(model, train_batchnorm=False)
multipliers = keras_fast.layer_multipliers(model, slice(1e-5, 1e-3))
print(
    len(multipliers), "multipliers:", sorted({round(m, 4) for m in multipliers})
)

# %% [markdown]
# `DiscriminativeOptimizer` wraps any Keras optimizer. Its learning rate,
# `weight_decay`, `clipnorm` and all other settings are those of the wrapped
# optimizer, so a schedule moves all groups together, and their ratios stay.
# With weight decay, as in `AdamW`, `keras_fast.decay_weights_only(model)`
# excludes biases and normalization, like fast.ai's `wd_bn_bias=False`, and the
# saved model remembers it.

# %%
optimizer = DiscriminativeOptimizer(keras.optimizers.Adam(1e-3), multipliers)
model.compile(optimizer, loss="sparse_categorical_crossentropy")
print(keras_fast.training_plan(model))

# %% [markdown]
# Why not scale the gradients instead? Because Adam divides by their size: a
# gradient that is ten times smaller gives the same step. The step itself has to
# be scaled.
#
# ## Two training runs from the same start
#
# The first run uses one rate for everything. The second uses groups: a factor
# of a hundred from first to last, as in fastai's `fine_tune`. The head is
# already trained, so both use a lower rate than it had.

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
    model.fit(train, epochs=2, callbacks=[OneCycle(3e-4)], verbose=0)
    rows.append((name, *measure()))

# %% [markdown]
# ## ULMFiT's 2.6
#
# The ULMFiT paper divides the rate by 2.6 from each group to the one before it.
# With n groups this is a `slice`: for five groups,
# `slice(rate / 2.6**4, rate)`. Any number of groups works.

# %%
groups = keras_fast.layer_groups(model, num_groups=5)
multipliers = keras_fast.layer_multipliers(
    model, slice(1e-3 / 2.6**4, 1e-3), groups
)
by_size = sorted(set(multipliers))
print([f"{b / a:.2f}" for a, b in itertools.pairwise(by_size)])

# %% [markdown]
# ## Results

# %%
print("rates              loss   accuracy")
for name, loss, accuracy in rows:
    print(f"{name:<17}  {loss:.3f}  {accuracy:.3f}")

# %% [markdown]
# Compare the losses, which are finer than accuracies on so few images. Look
# above all at the row with one rate for all. At the head's rate, a pretrained
# network forgets faster than it learns, and two epochs don't fix that. With
# lower rates for the early layers, much less is lost.
#
# Does any row beat the head alone? On so few images that isn't guaranteed. The
# base has more weights than the data can train, and its features are already
# good. With more images, or images further from ImageNet, all of it should
# train; [Benchmarks](../benchmarks.md) shows an example
# (`benchmarks/transfer.py`, six classes).
#
# For what to freeze, and for how long, see [What to
# freeze](../choose/freeze.md). For the cost of the wrapper, see
# [Benchmarks](../benchmarks.md) (`benchmarks/discriminative_overhead.py`).
