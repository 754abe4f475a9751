# %% [markdown]
# # Mixed precision on a GPU
#
# A float32 number has 32 bits. For most of a network's arithmetic, half of them
# are enough. Mixed precision computes in 16 bits, and keeps the weights in 32.
#
# It saves time on GPUs and TPUs with 16-bit units, and about half of the memory
# for activations, so larger batches fit. On a CPU it saves nothing, and is
# usually slower.
#
# This page was executed on a CPU. It shows that everything works, and what to
# write. It gives no times, because CPU times tell you nothing about your GPU.

# %%
import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_fast
from keras_fast.callbacks import OneCycle, Recorder

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
x = (digits.images[order] / 16).astype("float32")[..., None]
y = digits.target[order]
x_train, y_train, x_valid, y_valid = x[:1400], y[:1400], x[1400:], y[1400:]

# %% [markdown]
# ## One line
#
# Set the policy before you build the model, because each layer takes it when it
# is created.
#
# Which one? `mixed_bfloat16` has the range of float32 and less precision. It
# needs no further care, and newer GPUs and all TPUs support it. `mixed_float16`
# is for older GPUs. It has a small range, in which gradients can underflow, so
# Keras scales the loss.


# %%
def build(policy):
    keras.config.set_dtype_policy(policy)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(10, activation="softmax", dtype="float32"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    keras.config.set_dtype_policy("float32")
    return model


# %% [markdown]
# Mind the last layer. A softmax in 16 bits loses small probabilities, and the
# loss would be wrong. So it is float32. `models.image_classifier` does this for
# you.

# %%
model = build("mixed_bfloat16")
for layer in (model.layers[0], model.layers[-1]):
    print(f"{layer.name}: weights {layer.variable_dtype}, ", end="")
    print(f"arithmetic {layer.compute_dtype}")

# %% [markdown]
# ## What happens to the optimizer
#
# Under `mixed_float16` Keras wraps your optimizer in a `LossScaleOptimizer`. It
# multiplies the loss by a large number, so that small gradients don't
# underflow. If one overflows, it skips the update and lowers the number.
#
# For callbacks this is a trap. The wrapper has no `beta_1`, and a skipped
# update doesn't count. keras_fast reaches through to the inner optimizer and
# counts every attempt, so that a schedule ends when training does.

# %%
half = build("mixed_float16")
print(type(half.optimizer).__name__, "around", end=" ")
print(type(half.optimizer.inner_optimizer).__name__)

# %% [markdown]
# ## The finder and 1cycle
#
# The code stays the same. A sweep to a rate of 10 makes the loss explode, which
# in 16 bits means infinite gradients and a loss scale that keeps falling.
# `lr_find` restores the scale too. After an epoch of training:

# %% alt="The finder's curve under mixed_float16"
half.fit(x_train, y_train, verbose=0)
before = float(half.optimizer.dynamic_scale.numpy())
found = keras_fast.lr_find(half, x_train, y_train)
after = float(half.optimizer.dynamic_scale.numpy())
ax = found.plot()

# %%
print("stopped because:", found.stop_reason)
print("loss scale before and after:", before, after)


# %%
def train(policy):
    model, recorder = build(policy), Recorder()
    model.fit(
        x_train,
        y_train,
        epochs=5,
        callbacks=[OneCycle(1e-2), recorder],
        verbose=0,
    )
    accuracy = model.evaluate(x_valid, y_valid, verbose=0)[1]
    return model, recorder, accuracy


runs = {
    policy: train(policy)
    for policy in ("float32", "mixed_bfloat16", "mixed_float16")
}

# %% alt="Learning rate and momentum of every update under mixed_float16"
ax = runs["mixed_float16"][1].plot_schedule()

# %% [markdown]
# How many updates did each run make, and how many were skipped? The inner
# optimizer counts only those that were made.

# %%
for policy, (model, recorder, _) in runs.items():
    inner = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    made = int(inner.iterations.numpy())
    attempts = len(recorder.losses)
    last = recorder.learning_rates[-1]
    print(
        f"{policy:<14} {attempts} attempts, {attempts - made:>2} skipped, ",
        end="",
    )
    print(f"last rate {last:.0e}")

# %% [markdown]
# ## Results
#
# The accuracy should be about the same. The gain is memory, shown here for the
# activations of one image, and on a GPU also time.

# %%
print("policy          accuracy  bytes of activations")
for policy, (model, _, accuracy) in runs.items():
    sizes = [
        np.prod(layer.output.shape[1:])
        * (4 if layer.compute_dtype == "float32" else 2)
        for layer in model.layers
    ]
    print(f"{policy:<14}  {accuracy:>8.3f}  {sum(sizes):>20,}")

# %% [markdown]
# On a GPU, three more things help, in this order:
#
# - **A larger batch.** Use the saved memory for it. Run `lr_find` again,
#   because a larger batch needs a higher rate.
# - **Multiples of 8** as layer and batch sizes. 16-bit units work in such
#   blocks.
# - **`jit_compile` and `steps_per_execution`**, if steps are short. They change
#   no value of a schedule. See [Bigger than one machine](bigger.md).
#
# `tests/test_precision.py` runs both policies through the whole workflow on a
# CPU: sweep, 1cycle, SGDR, freezing, saving and loading.
#
# Measure on your own machine, and measure the accuracy as well as the time.
