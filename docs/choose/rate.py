# %% [markdown]
# # A rate from the finder's plot
#
# **If in doubt, take `found.suggestion`.** This page is for when the plot looks
# odd, or when you want to check.
#
# Three lines to read any plot by:
#
# - Take a rate on the falling slope, never the lowest point.
# - Stay a good step away from the cliff on the right.
# - Where nothing falls, no rate is right: something else is wrong.

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
# ## As it should be
#
# Flat, then a slope, then a cliff.

# %% alt="A clear curve: flat, falling, rising"
found = keras_fast.lr_find(build(), x, y, batch_size=64)
ax = found.plot()

# %%
tell(found)

# %% [markdown]
# `highest` stands out, and is `found.suggestion`. It lies half-way from where
# half of the slope is behind to where a quarter of the cliff is, on a
# logarithmic scale.
#
# Where the rules agree, all is well. `found.spread` is the largest
# suggestion over the smallest. If it is large, look at the plot.

# %%
print(f"spread: a factor of {found.spread:.0f}")

# %% [markdown]
# `valley` is fastai's own, and it is careful: often several times too low. That
# costs epochs, not accuracy. Over the sixteen tasks of
# `benchmarks/lr_find_regret.py`, `highest` had the lowest median and the
# lowest worst case of the five rules.
#
# ## The curve is a hedgehog
#
# Small batches make noisy losses. Use larger ones for the sweep or more steps,
# or both. The finder's batches need not be those of the training, but a rate
# found with large batches is too high for small ones.

# %% alt="A noisy curve from batches of two"
noisy = keras_fast.lr_find(build(), x, y, batch_size=2)
ax = noisy.plot()

# %% alt="The same with 400 steps"
smoother = keras_fast.lr_find(build(), x, y, batch_size=2, num_steps=400)
ax = smoother.plot()

# %% [markdown]
# ## Nothing falls
#
# The model is trained already. Every rate makes it worse, or leaves it as it
# is. There is no right answer, and `highest` gives none.

# %% alt="The curve of a trained model: flat, then rising"
trained = build()
trained.fit(x, y, epochs=15, callbacks=[OneCycle(1e-2)], verbose=0)
flat = keras_fast.lr_find(trained, x, y, batch_size=64)
ax = flat.plot()

# %%
tell(flat)

# %% [markdown]
# fastai's rules find something on almost any curve. Look how far apart they
# are here: they read noise. This curve only says where it begins to rise, and
# one rule, `trained`, asks for nothing else: it stays just below that.
# `found.rule` names the rule that `found.suggestion` is from; for a model that
# you know to be trained, take `found.suggestions["trained"]`.
#
# This is the usual curve when you unfreeze a model whose head is trained.
#
# On a *new* model a flat curve means a mistake: everything is frozen, the
# labels are shuffled, or the pixels are not what the network expects.
# `training_plan` and `show_batch` find those.
#
# ## It ends at once
#
# `stop_reason` says why. `"diverged"` is usual: the loss went up the cliff, and
# there was no need to go on. `"non_finite"` early in the sweep means that
# there is a NaN in the data, or a sum that is too large for float16. The
# weights are checked too, because the ReLU of some processors turns NaN into a
# number: then the loss stays finite and the weights don't. `"stopped"` means
# that one of your callbacks, such as `EarlyStopping`, ended training first.

# %%
broken = x.copy()
broken[100] = np.nan
bad = keras_fast.lr_find(build(), broken, y, batch_size=64, shuffle=False)
tell(bad)
print("stopped after", len(bad.losses), "losses that can be trusted")

# %% [markdown]
# ## It never reaches the cliff
#
# `"completed"`, and the curve falls to the right end. Then the sweep was too
# short. Raise `end_lr`. SGD wants rates a hundred times those of Adam.

# %% alt="The curve of SGD with a last rate that is too low"
short = keras_fast.lr_find(
    build(keras.optimizers.SGD()), x, y, batch_size=64, end_lr=0.1
)
ax = short.plot()

# %%
tell(short)

# %% [markdown]
# ## When to ask again
#
# After every change of what trains: another batch size, optimizer, image
# size, augmentation, and after freezing or unfreezing. A sweep leaves no
# trace, so it costs its seconds and nothing else.
