# %% [markdown]
# # A rate from the finder's plot
#
# **If in doubt, take `found.suggestion`.** This page is for when the plot looks
# odd, or when you want to check.
#
# Three rules for reading any plot:
#
# - Take a rate on the falling slope, never the lowest point.
# - Stay well away from the cliff on the right.
# - If the loss never falls, no rate is right: something else is wrong.

# %%
import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_fast
from keras_fast.callbacks import OneCycle

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
x = (digits.images[order] / 16).astype("float32").reshape(-1, 64)
y = digits.target[order]


def build(optimizer="adam"):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer, loss="sparse_categorical_crossentropy")
    return model


def tell(found):
    print("stopped:", found.stop_reason)
    for rule, rate in found.suggestions.items():
        print(f"{rule:<8}", "none" if rate is None else f"{rate:.1e}")


# %% [markdown]
# ## A normal curve
#
# Flat, then a slope, then a cliff.

# %% alt="A clear curve: flat, falling, rising"
found = keras_fast.lr_find(build(), x, y, batch_size=64)
ax = found.plot()

# %%
tell(found)

# %% [markdown]
# The largest marker, `highest`, is `found.suggestion`. It lies halfway, on a
# logarithmic scale, between the rate where half of the fall is done and the
# rate where a quarter of it is lost again.
#
# If the rules agree, all is well. `found.spread` is the ratio of the largest
# suggestion to the smallest. If it is large, look at the plot.

# %%
print(f"spread: a factor of {found.spread:.0f}")

# %% [markdown]
# `valley` is fastai's own rule, and it is cautious: often several times too
# low. That costs epochs, not accuracy. On the sixteen tasks of
# `benchmarks/lr_find_regret.py`, `highest` had the lowest median and the
# lowest worst regret of the five rules.
#
# ## The curve is noisy
#
# Small batches give noisy losses. Use larger batches for the sweep, more steps,
# or both. The batch size may differ from that of the training, but a rate found
# with large batches is too high for small ones.

# %% alt="A noisy curve from batches of two"
noisy = keras_fast.lr_find(build(), x, y, batch_size=2)
ax = noisy.plot()

# %% alt="The same with 400 steps"
smoother = keras_fast.lr_find(build(), x, y, batch_size=2, num_steps=400)
ax = smoother.plot()

# %% [markdown]
# ## The loss never falls
#
# This model is already trained. Every rate makes it worse, or leaves it as it
# is. There is no right answer, and `highest` returns none.

# %% alt="The curve of a trained model: flat, then rising"
trained = build()
trained.fit(x, y, epochs=15, callbacks=[OneCycle(1e-2)], verbose=0)
flat = keras_fast.lr_find(trained, x, y, batch_size=64)
ax = flat.plot()

# %%
tell(flat)

# %% [markdown]
# fastai's rules suggest a rate on almost any curve. They are far apart here
# because they read noise. The curve only shows where the loss begins to rise,
# and one rule, `trained`, needs no more: its rate is just below that.
# `found.rule` names the rule behind `found.suggestion`; if you know that the
# model is trained, take `found.suggestions["trained"]`.
#
# This is the usual curve after you unfreeze a model with a trained head.
#
# On a *new* model a flat curve means a mistake: everything is frozen, the
# labels are shuffled, or the pixels are not what the network expects.
# `training_plan` and `show_batch` help you find it.
#
# ## The sweep ends at once
#
# `stop_reason` tells why. `"diverged"` is normal: the loss exploded, so the
# sweep ended. `"non_finite"` early in the sweep means that there is a NaN in
# the data, or a sum that is too large for float16. The weights are checked too,
# because ReLU on some processors turns NaN into a number: then the loss stays
# finite and the weights don't. `"stopped"` means that one of your callbacks,
# such as `EarlyStopping`, ended training first.

# %%
broken = x.copy()
broken[100] = np.nan
bad = keras_fast.lr_find(build(), broken, y, batch_size=64, shuffle=False)
tell(bad)
print("stopped after", len(bad.losses), "losses that can be trusted")

# %% [markdown]
# ## The sweep never reaches the cliff
#
# If `stop_reason` is `"completed"` and the loss still falls at the right end,
# the sweep was too short. Raise `end_lr`. SGD needs rates a hundred times those
# of Adam.

# %% alt="The curve of SGD with an end rate that is too low"
short = keras_fast.lr_find(
    build(keras.optimizers.SGD()), x, y, batch_size=64, end_lr=0.1
)
ax = short.plot()

# %%
tell(short)

# %% [markdown]
# ## When to run it again
#
# After every change to the training: batch size, optimizer, image size,
# augmentation, freezing or unfreezing. A sweep leaves no trace, so it costs a
# few seconds and nothing else.
