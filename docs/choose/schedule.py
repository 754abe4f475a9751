# %% [markdown]
# # A schedule
#
# **If in doubt, use `OneCycle` with the rate that `lr_find` suggests.** fast.ai
# does the same, and you need no other number.
#
# The rest of this page is for when you have a reason to choose another.
#
# ## The short answer
#
# | your case | schedule | why |
# |---|---|---|
# | a new model, or a new head | `OneCycle(rate)` | fast, and forgiving of a rate that is too high |
# | fine-tuning a pretrained model | `fine_tune`, which uses `OneCycle` | the start must be gentle, so that nothing is forgotten |
# | you do not know how long you will train | `SGDR(rate, cycle_mult=2)` with `CycleStopping` | each cycle ends with a usable model; training stops when a cycle brings no improvement |
# | you want an ensemble for the price of one model | `SGDR(rate)` with `SnapshotEnsemble` | each cycle ends with a different model |
# | training from scratch for many epochs | `FlatCosine(rate)` | most of the time at the full rate; from fastai's Imagenette records |
# | fine-tuning a language model | `SlantedTriangular(rate)` | the schedule of ULMFiT: a short rise, a long fall |
# | you follow a paper with CLR | `CyclicalLR(low, high, step_size=...)` | the first of all these schedules |
# | your own idea | `ParamScheduler(learning_rate=f)` | any function of progress |
# | lowering the rate when the loss stops falling | Keras's `ReduceLROnPlateau` | Keras has it |
#
# ## How they look
#
# Each callback computes its curve without a model, here for seven epochs of a
# hundred updates.

# %% alt="Six schedules of the learning rate over 700 updates"
import itertools

from matplotlib import pyplot as plt

from keras_fast.callbacks import (
    SGDR,
    CyclicalLR,
    FlatCosine,
    OneCycle,
    ParamScheduler,
    SlantedTriangular,
)
from keras_fast.schedules import exponential


def by_ten(progress):
    return exponential(progress, start=0.01, end=0.001)


callbacks = {
    "OneCycle": OneCycle(0.01),
    "SGDR, each cycle twice as long": SGDR(0.01, cycle_mult=2),
    "FlatCosine": FlatCosine(0.01),
    "SlantedTriangular": SlantedTriangular(0.01),
    "CyclicalLR": CyclicalLR(0.001, 0.01, step_size=100),
    "ParamScheduler of your own": ParamScheduler(learning_rate=by_ten),
}
_, axes = plt.subplots(
    2, 3, figsize=(11, 5), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, callback) in zip(axes.flat, callbacks.items(), strict=True):
    ax.plot(callback.curve(700, epochs=7)["learning_rate"])
    ax.set_title(name)
    ax.grid(alpha=0.25)
axes[0, 0].set_ylabel("learning rate")
axes[1, 0].set_ylabel("learning rate")
for ax in axes[1]:
    ax.set_xlabel("update")

# %% [markdown]
# ## How long is a cycle?
#
# A cycle spans the whole `fit()`. So choose the number of epochs first, and do
# not stop early: the model becomes good at the low rates at the end of the
# cycle. If it overfits, train again with fewer epochs.
#
# For SGDR choose a number of epochs at which a cycle ends.

# %%
for cycles in (1, 2, 3, 4):
    epochs = SGDR.num_epochs(cycles, cycle_len=1, cycle_mult=2)
    print(cycles, "cycles:", epochs, "epochs")

# %% [markdown]
# ## As in the courses
#
# Three habits of the courses that have no callback of their own:
#
# **1cycle in three phases**, as the courses of 2018 had it
# (`use_clr_beta=(10, 10, 0.95, 0.85)`): from a tenth of the peak up to it, back
# the same way, and for the last tenth of the run down to a hundredth of that.

# %% alt="Learning rate and momentum over 700 updates: up and down between a tenth of the peak and the peak, then close to zero; momentum the other way"
from functools import partial

from keras_fast.schedules import join, linear

PEAK = 0.01
phases = [0.45, 0.45, 0.1]
rates = [PEAK / 10, PEAK, PEAK / 10, PEAK / 1000]
momentums = [0.95, 0.85, 0.95, 0.95]
course = ParamScheduler(
    **{
        name: join(
            phases,
            [
                partial(linear, start=start, end=end)
                for start, end in itertools.pairwise(values)
            ],
        )
        for name, values in {
            "learning_rate": rates,
            "momentum": momentums,
        }.items()
    }
)
_, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
for ax, (name, values) in zip(axes, course.curve(700).items(), strict=True):
    ax.plot(values)
    ax.set_xlabel("update")
    ax.set_ylabel(name.replace("_", " "))
    ax.grid(alpha=0.25)

# %% [markdown]
# **A range test in steps of equal size.** `lr_find` multiplies the rate by the
# same factor at each update, which covers six decades. Smith's range test adds
# the same amount, and shows one decade in detail:
# `ParamScheduler(learning_rate=partial(linear, start=0.001, end=0.1))` beside a
# `Recorder`. It doesn't restore the model as `lr_find` does.
#
# **Rates 2.6 times lower for each earlier group**, from ULMFiT. With
# `layer_multipliers(model, slice(rate / 2.6**4, rate))` the first of five groups
# gets a rate 2.6⁴ = 46 times lower than the last; the groups between are spaced
# evenly on a log scale.
#
# ## What about momentum?
#
# `OneCycle` lowers momentum while the rate rises, and raises it again. This is
# `momentum` of SGD and RMSprop, and `beta_1` of Adam and its family. An
# optimizer without momentum, such as SGD with momentum 0, raises an error that
# names both remedies.
#
# For everything else, `ParamScheduler` schedules `momentum`, `beta_2` and
# `weight_decay` too. [What Keras does with momentum](../momentum.md) explains
# why Keras alone cannot.
#
# ## Which optimizers?
#
# Any Keras optimizer. Two of them change the rate that they are given:
# `Adafactor` caps it at 1 / sqrt(update), and `ScheduleFreeAdamW` warms up if
# configured to. A schedule or sweep that they would change raises an error when
# `fit()` starts, which lists the rates that are used unchanged. Without a
# schedule, `Recorder` records the rate that was used. If your own optimizer
# class changes the rate within `update_step()`, this can't be detected.
#
# ## How much is it worth?
#
# `benchmarks/one_cycle_fashion.py` compares four schedules at the same peak
# rates. 1cycle was best, and good over a wider range of rates than the others.
# A plain cosine came close to it at its own best rate. The figures are in
# [Benchmarks](../benchmarks.md).

# %% [markdown]
# ## Custom train steps, and two optimizers
#
# A schedule counts batches. A `train_step()` that updates twice per batch, or
# every fourth batch, is scheduled correctly, even as a `@tf.function`. If a
# model has two optimizers, as a GAN does, pass the one to schedule:
#
# ```python
# callbacks = [
#     OneCycle(2e-4, optimizer=model.generator_optimizer),
#     OneCycle(1e-4, optimizer=model.critic_optimizer),
#     Recorder(loss="generator_loss"),
# ]
# ```
#
# If `train_step()` does not call `compute_loss()`, `Recorder` takes the loss
# from what it returns. A running mean over the epoch, as metrics return it, is
# converted into the losses of the batches.
#
# Training inside a callback, and your own training loop, use the optimizer's
# own hyperparameters. One thing can't be detected: a `tf.function` that is not
# a method of the model keeps its old trace. If the schedule does not reach the
# optimizer for that reason, the callback reports it after the first batch.
