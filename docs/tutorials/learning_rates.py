# %% [markdown]
# # Learning rates and cycles
#
# The learning rate sets how far each update goes. It is the number that matters
# most, and the one that people guess. This page shows how to measure it, and
# why it shouldn't stay the same throughout training.
#
# The data are scikit-learn's handwritten digits, and the network is small, so
# every experiment here takes seconds.

# %%
import keras
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import keras_fast
from keras_fast.callbacks import SGDR, OneCycle, Recorder
from keras_fast.plots import plot_losses

digits = load_digits()
x = (digits.images / 16).astype("float32")[..., None]
y = digits.target
x_train, y_train = x[:1200], y[:1200]
x_valid, y_valid = x[1200:], y[1200:]
print(x_train.shape, x_valid.shape)

# %% [markdown]
# Each experiment starts from the same weights. Otherwise a lucky start would
# look like a good rate.


# %%
def build(learning_rate=1e-3):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


# %% [markdown]
# ## The finder
#
# Which rate is good? Try a tiny one for one update, then a slightly larger one,
# and so on. `lr_find` does this and records the loss.

# %% alt="Loss of each update against the learning rate, with the rate that each rule suggests"
model = build()
found = keras_fast.lr_find(model, x_train, y_train)
ax = found.plot()

# %% [markdown]
# Read the curve from left to right.
#
# - On the left it is flat. The updates are too small to change anything.
# - Then it falls. Here the model learns.
# - Then it rises, and soon shoots up. The updates overshoot and destroy what
#   was learned.
#
# The best rate is as high as possible without doing harm. It lies on the slope,
# well before the lowest point. At the lowest point the harm has begun: the loss
# still falls there because of the better rates before it.
#
# Six rules read the curve. `highest` is the course's own rule, "the highest
# rate where the loss is still clearly improving". `trained` is for models that
# are already trained, and far too high for this one. The others are fastai's.

# %%
for rule, rate in found.suggestions.items():
    print(f"{rule:<8}", "no such point" if rate is None else f"{rate:.1e}")
print("suggestion", f"{found.suggestion:.1e}")

# %% [markdown]
# The sweep itself trains the model, badly. So `lr_find` restores everything
# afterwards, bit for bit: weights, optimizer and random state. You can call it
# whenever you like.

# %%
fresh = build()
pairs = zip(model.get_weights(), fresh.get_weights(), strict=True)
print("as before:", all(np.array_equal(a, b) for a, b in pairs))

# %% [markdown]
# ## Is it right?
#
# Test it. Train three models at constant rates: a tenth of the suggestion, the
# suggestion, and ten times the suggestion.
#
# A `Recorder` stores the loss of every update. Keras's own `logs["loss"]` is a
# mean over the epoch so far, which hides what happens within it.


# %%
def train(rate, schedule=None, epochs=3):
    model, recorder = build(rate), Recorder()
    model.fit(
        x_train,
        y_train,
        epochs=epochs,
        callbacks=[recorder] + ([schedule] if schedule else []),
        verbose=0,
    )
    accuracy = model.evaluate(x_valid, y_valid, verbose=0)[1]
    return accuracy, recorder


rate = found.suggestion
constant = {
    f"{factor:g} x": train(factor * rate) for factor in (0.1, 1.0, 10.0)
}

# %% alt="The training losses of three constant rates"
ax = plot_losses(
    {name: r.losses for name, (_, r) in constant.items()}, smoothing=0.9
)
ax.set_yscale("log")

# %%
for name, (accuracy, _) in constant.items():
    print(f"{name:>5} the suggested rate: accuracy {accuracy:.3f}")

# %% [markdown]
# ## One cycle
#
# A high rate crosses the landscape quickly, but cannot settle. A low rate
# settles, but goes nowhere. So use both: a high one first, a low one at the
# end.
#
# At the very start the weights are random and the gradients large, so start low
# too. This makes a cycle, up and then down: 1cycle.
#
# Momentum goes the other way. While the rate is high, less momentum keeps
# training stable.

# %% alt="The 1cycle schedule: the learning rate rises and falls, momentum falls and rises"
ax = OneCycle(rate).plot()

# %% [markdown]
# That plot needed no model: a schedule is a function of progress. Pass the same
# callback to `fit()`, and the cycle spans all of its epochs.
#
# ## Warm restarts
#
# SGDR also anneals the rate, and then jumps back up. Each cycle ends with a
# good model, and each restart may find a better one. With `cycle_mult=2` each
# cycle is twice as long as the one before.

# %%
epochs = SGDR.num_epochs(3, cycle_len=1, cycle_mult=2)
print(epochs, "epochs are three whole cycles")

# %%
runs = {
    "constant": train(rate, epochs=epochs),
    "SGDR": train(rate, SGDR(rate, cycle_len=1, cycle_mult=2), epochs),
    "1cycle": train(rate, OneCycle(rate), epochs),
}

# %% [markdown]
# The recorder shows the values that each update really used. That is worth a
# look: in Keras, a compiled step [ignores the momentum that a callback
# sets](../momentum.md). Here it takes effect.

# %% alt="Learning rate and momentum of every update under SGDR and 1cycle"
_, axes = plt.subplots(1, 2, figsize=(10, 3.5), layout="constrained")
for ax, name in zip(axes, ("SGDR", "1cycle"), strict=True):
    runs[name][1].plot_schedule(ax=ax)
    ax.set_title(name, pad=24)

# %% alt="The training losses of a constant rate, SGDR and 1cycle"
ax = plot_losses(
    {name: r.losses for name, (_, r) in runs.items()}, smoothing=0.9
)
ax.set_yscale("log")

# %% [markdown]
# ## Results
#
# The last row is what many people try first: Adam at Keras's default rate.

# %%
runs["Keras's default"] = train(1e-3, epochs=epochs)

print("schedule          highest rate  accuracy")
for name, (accuracy, recorder) in runs.items():
    highest = recorder.learning_rates.max()
    print(f"{name:<16}  {highest:>12.1e}  {accuracy:>8.3f}")

# %% [markdown]
# One training run is an anecdote. [Benchmarks](../benchmarks.md) repeats the
# comparison over several seeds (`benchmarks/one_cycle_digits.py`), and tests
# whether the gain comes from 1cycle or only from the falling rate
# (`benchmarks/one_cycle_fashion.py`).
#
# To choose a schedule for your task, see [A schedule](../choose/schedule.md);
# for odd finder curves, see [A rate from the plot](../choose/rate.md).
