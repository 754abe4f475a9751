# %% [markdown]
# # What Keras does with momentum
#
# 1cycle changes two numbers: the learning rate and momentum. In Keras 3 a
# callback can set both, but only one takes effect.
#
# This page shows the trap, explains its cause, and shows how keras_fast avoids
# it.

# %%
import keras
import numpy as np

from keras_fast.callbacks import ParamScheduler, Recorder

x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x @ np.array([[1.0], [-2.0], [3.0], [-4.0]], "float32")


def build(**compile_kwargs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, loss="mse", **compile_kwargs)
    return model


def train(model, *callbacks):
    model.fit(
        x,
        y,
        batch_size=8,
        epochs=4,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
    )
    return model.get_weights()[0].ravel()


# %% [markdown]
# ## The trap
#
# Here is a common callback. It sets momentum to 0.5 for the second half of
# training.


# %%
class SetMomentum(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= 2:
            self.model.optimizer.momentum = 0.5


never = train(build())
model = build()
compiled = train(model, SetMomentum())
eager = train(build(run_eagerly=True), SetMomentum())

print("0.9 throughout           ", never.round(4))
print("0.5 from a callback      ", compiled.round(4))
print("the same, step by step   ", eager.round(4))
print("what the optimizer claims", model.optimizer.momentum)

# %% [markdown]
# The weights of the second row should be those of the third, which ran without
# compiling. Which ones do they match?

# %%
print("as if it were never set:", np.allclose(compiled, never))
print("as it was meant:        ", np.allclose(compiled, eager))

# %% [markdown]
# There was no error and no warning. And the optimizer claims 0.5, so a plot of
# it looks right.
#
# ## Why
#
# `fit()` traces the training step: it runs your Python code once, records which
# tensors are computed from which, and from then on runs the recording.
#
# The learning rate is a variable. The step reads it at each update, so a
# callback can change it.
#
# Momentum is a Python float. When the step is traced, its value is recorded as
# a constant. A value that you set later is never read.
#
# The same is true of `momentum` of SGD and RMSprop, `beta_1` and `beta_2` of
# the Adam family, `rho`, and `weight_decay`, on TensorFlow and on JAX. With
# `run_eagerly=True` and on PyTorch nothing is traced, and the value does take
# effect. That makes it worse: code that works while you debug stops working
# when you train.
#
# ## The solution
#
# keras_fast puts one table into the step, as a variable. It has a row for each
# update and a column for each scheduled number. The step looks up its row. A
# new schedule only changes the numbers in the table, and nothing is traced
# again.


# %%
def second_half(progress):
    return 0.9 if progress < 0.5 else 0.5


recorder = Recorder()
model = build()
scheduled = train(model, ParamScheduler(momentum=second_half), recorder)

print("0.5 from a schedule", scheduled.round(4))
print("as it was meant:   ", np.allclose(scheduled, eager))

# %% [markdown]
# After `fit()` the optimizer has its own momentum back, as a plain float. So
# configurations and saved files don't change.

# %%
used = recorder.momentums
print("first and last update used", used[0], "and", used[-1])
print("afterwards the optimizer says", model.optimizer.momentum)

# %% [markdown]
# ## Other traps of the same kind
#
# | what you would write | what happens | instead |
# |---|---|---|
# | read `logs["loss"]` in `on_train_batch_end` | it is the mean since the epoch began, not the batch's loss | `Recorder().losses` |
# | set the rate before each batch, with `steps_per_execution=5` | one value for five updates | any keras_fast schedule |
# | a `LearningRateSchedule`, with `gradient_accumulation_steps=4` | it counts batches, and runs four times too fast | any keras_fast schedule |
# | count `optimizer.iterations` under `mixed_float16` | skipped updates don't count, and the schedule ends late | any keras_fast schedule: it counts attempts |
# | `layer.trainable = False` after the first `fit()` | nothing, silently | `keras_fast.freeze_to` |
# | scale the gradients of early layers, under Adam | nothing: Adam divides it out | `DiscriminativeOptimizer` |
# | restore only the weights after a sweep | the optimizer's slots keep the values of the explosion | `lr_find` |
#
# These were measured on Keras 3.15. `tests/test_momentum.py` compares the
# momentum of each update with NumPy, for seven optimizers, with and without
# XLA. For the cost of the table, see [Benchmarks](benchmarks.md)
# (`benchmarks/callback_overhead.py`).
