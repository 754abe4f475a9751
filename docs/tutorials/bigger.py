# %% [markdown]
# # Bigger than one machine
#
# Try these steps when a model or its data outgrow one quick run. They are in
# order of effort: the first take a line each, and are often enough.
#
# 1. Cache what doesn't change.
# 2. Compute in 16 bits, on a GPU.
# 3. Waste no time between steps.
# 4. Use all GPUs of the machine.
# 5. Use several machines.
#
# keras_fast has no engine of its own. It uses what Keras and its backends
# offer. This page uses two CPU devices in place of two GPUs.

# %%
import tempfile

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_fast
from keras_fast.callbacks import OneCycle, Recorder

# Split one CPU into two devices. On a machine with GPUs, omit these lines.
cpu = tf.config.list_physical_devices("CPU")[0]
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, two)

digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.target))
x = (digits.images[order] / 16).astype("float32")[..., None]
y = digits.target[order]
x_train, y_train, x_valid, y_valid = x[:1408], y[:1408], x[1408:], y[1408:]


def build(**compile_kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.Conv2D(64, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        keras.optimizers.Adam(),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **compile_kwargs,
    )
    return model


def train(model):
    recorder = Recorder()
    model.fit(
        x_train,
        y_train,
        batch_size=64,
        epochs=3,
        shuffle=False,
        callbacks=[OneCycle(2e-2), recorder],
        verbose=0,
    )
    accuracy = model.evaluate(x_valid, y_valid, batch_size=64, verbose=0)[1]
    return recorder, accuracy


# %% [markdown]
# ## Cache what doesn't change
#
# The cheapest computation is the one you leave out. While a base is frozen, run
# it once, and train on its outputs: [cached features](cached_features.md).
#
# The cache is on disk, in files of many rows, and is mapped into memory, so it
# may be larger than memory. An epoch reads it file by file, and mixes the rows
# of a few files at a time.

# %%
body, head = keras_fast.split_head(build())
cache = keras_fast.cache_features(
    body, x_train, y_train, directory=tempfile.mkdtemp(), batch_size=256
)
megabytes = len(cache) * np.prod(cache.feature_shape) * 4 / 1e6
print(f"{len(cache)} rows, {megabytes:.1f} MB, {cache.rows_per_shard} a file")

# %% [markdown]
# How large will yours be? Rows times features times four bytes. For a million
# images, EfficientNet-Lite0 and 224 pixels:

# %%
print(f"pooled features {1_000_000 * 2 * 1280 * 4 / 1e9:5.0f} GB")
print(f"feature maps    {1_000_000 * 7 * 7 * 1280 * 4 / 1e9:5.0f} GB")

# %% [markdown]
# The first is more memory than many machines can spare, the second more than
# nearly all of them have. Both fit on a disk.
#
# ## Compute in 16 bits
#
# See [Mixed precision on a GPU](mixed_precision.md).
#
# ## Waste no time between steps
#
# A GPU is fast, and Python is not. If steps are short, Keras spends more time
# between them than in them. `steps_per_execution` runs several steps without
# returning to Python.
#
# For a schedule this is a trap. A callback that sets the rate before each batch
# is called once for all of those steps, and the schedule becomes a staircase.
# keras_fast's schedules are read within the step, so each update has its own
# value.

# %%
one, accuracy_one = train(build())
many, accuracy_many = train(build(steps_per_execution=11))
difference = np.abs(one.learning_rates - many.learning_rates).max()
print(len(one.learning_rates), "and", len(many.learning_rates), "updates")
print("largest difference of the rates:", difference)

# %% [markdown]
# `jit_compile=True` may help too. It changes no value either. Short steps get
# faster; a small network on a CPU can get slower.
#
# ## Use all GPUs of the machine
#
# TensorFlow's `MirroredStrategy` copies the model to each device. Each device
# gets its part of a batch, and all of them make the same update.
#
# Build and compile in the strategy's scope. Nothing else changes. Without
# arguments it uses all GPUs; here it uses the two devices created above.

# %%
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    model = build()
print(strategy.num_replicas_in_sync, "replicas")

# %% alt="The finder's curve on two replicas"
found = keras_fast.lr_find(model, x_train, y_train, batch_size=64)
ax = found.plot()

# %%
mirrored, accuracy_mirrored = train(model)
difference = np.abs(one.losses - mirrored.losses).max()
print(f"largest difference of the losses: {difference:.0e}")

# %% [markdown]
# The batch size is that of all replicas together. With twice the devices,
# double it, and run `lr_find` again: a larger batch needs a higher rate.
#
# `tests/test_replicas.py` checks that 1cycle, discriminative rates and
# `lr_find` match one replica's results within 1e-6.
#
# [Backends](../backends.md) lists two bugs of Keras 3.15: `steps_per_execution`
# above 1 fails under the strategy, and so does skipping a step in
# `mixed_float16` if only a later replica overflows.
#
# ## Use several machines
#
# TensorFlow's `MultiWorkerMirroredStrategy` fails in Keras 3.15's `fit()`, with
# and without keras_fast
# ([keras#20585](https://github.com/keras-team/keras/issues/20585)).
#
# JAX supports it. Run one program on each machine, each with its own `rank`,
# and with `KERAS_BACKEND=jax`:
#
# ```python
# keras.distribution.initialize("10.0.0.1:1234", num_processes, rank)
# keras.distribution.set_distribution(
#     keras.distribution.DataParallel(auto_shard_dataset=False)
# )
# model = build()
# model.fit(my_part_of_x, my_part_of_y, callbacks=[OneCycle(1e-2)])
# ```
#
# You must shard the data yourself. Each process feeds its own part of each
# batch, of `batch_size` divided by the number of processes, and all of them
# feed the same number of batches. All of them call `lr_find` too.
#
# `tests/test_distribution.py` does this on two CPU devices of one process, and
# on two processes of one machine. Both have to match one device within 1e-6.
# Separate machines, GPUs and TPUs were not tried.
#
# ## Feed the model
#
# The faster the model, the sooner it waits for data.
#
# - `tf.data` prepares batches during training with
#   `.prefetch(tf.data.AUTOTUNE)`, and a `PyDataset` with `workers=4`.
# - `.map(..., num_parallel_calls=tf.data.AUTOTUNE)` with random layers gives
#   different images in each run. A sequential `map` doesn't.
#
# ## Results
#
# The same training three times. However the steps are run, the result should be
# the same, so you can change machines without tuning again.

# %%
print("way                            updates  accuracy  last loss")
for name, recorder, accuracy in (
    ("one device", one, accuracy_one),
    ("11 steps an execution", many, accuracy_many),
    ("two replicas", mirrored, accuracy_mirrored),
):
    losses = recorder.losses
    print(f"{name:<30} {len(losses):>7}  {accuracy:>8.4f}  {losses[-1]:>9.6f}")

# %% [markdown]
# Two devices that share one CPU are no faster than one, so no time is shown
# here. For what one machine can save, see [Benchmarks](../benchmarks.md).
