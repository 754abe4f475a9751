# %% [markdown]
# # A schedule
#
# **If in doubt, take `OneCycle` with the rate that `lr_find` suggests.** It is
# what fast.ai takes, and it needs no other number.
#
# The rest of this page is for when you have a reason.
#
# ## The short answer
#
# | your case | schedule | why |
# |---|---|---|
# | a new model, or a new head | `OneCycle(rate)` | fast, and forgiving of a rate that is too high |
# | fine-tuning a pretrained model | `fine_tune`, which uses `OneCycle` | the start must be gentle, so that nothing is forgotten |
# | you do not know how long you will train | `SGDR(rate, cycle_mult=2)` with `CycleStopping` | each cycle ends in a model that you can use; it ends when a cycle is no better |
# | you want an ensemble for the price of one | `SGDR(rate)` with `SnapshotEnsemble` | each cycle ends in another model |
# | training from scratch for many epochs | `FlatCosine(rate)` | most of the time at full speed; from fastai's Imagenette records |
# | fine-tuning a language model | `SlantedTriangular(rate)` | the schedule of ULMFiT: a short rise, a long fall |
# | you follow a paper with CLR | `CyclicalLR(low, high, step_size=...)` | the first of them all |
# | your own idea | `ParamScheduler(learning_rate=f)` | any function of progress |
# | loss no longer falls, and you watch it | Keras's `ReduceLROnPlateau` | Keras has it |
#
# ## How they look
#
# Each callback says what it would do, without a model. Here for seven epochs
# of a hundred updates.

# %% alt="Six schedules of the learning rate over 700 updates"
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
# not stop early: the end of the cycle, with its low rates, is where the model
# becomes good. If it overfits, train again with fewer epochs.
#
# For SGDR take a number of epochs at which a cycle ends.

# %%
for cycles in (1, 2, 3, 4):
    epochs = SGDR.num_epochs(cycles, cycle_len=1, cycle_mult=2)
    print(cycles, "cycles:", epochs, "epochs")

# %% [markdown]
# ## What about momentum?
#
# `OneCycle` moves it against the rate. It is `momentum` of SGD and RMSprop,
# and `beta_1` of Adam and its family. An optimizer without any, such as SGD
# with momentum 0, is refused with a message that names both ways out.
#
# For everything else `ParamScheduler` moves `momentum`, `beta_2` and
# `weight_decay` too. Why Keras alone cannot is in
# [What Keras does with momentum](../momentum.md).
#
# ## Which optimizers?
#
# Any of Keras's. Two of them make another rate of the one that they are given:
# `Adafactor` caps it at 1 / sqrt(update), and `ScheduleFreeAdamW` warms up if
# it is told to. A schedule or a sweep that they would change is refused when
# `fit()` starts, and the message says which rates are used as they are.
# Without a schedule, `Recorder` has the rate that was used. What a class of
# your own makes of the rate within `update_step()` can't be seen.
#
# ## How much is it worth?
#
# `benchmarks/one_cycle_fashion.py` tries four schedules with the same highest
# rates. 1cycle was best, and good over a wider range of rates than the others.
# A plain cosine came close to it at its own best rate. The figures are in
# [Benchmarks](../benchmarks.md).

# %% [markdown]
# ## A train step of your own, and two optimizers
#
# A schedule counts batches. A `train_step()` that updates twice, or every
# fourth batch, is scheduled right, also where it is a `@tf.function`. Where a
# model has two optimizers, as a GAN does, say which one is scheduled:
#
# ```python
# callbacks = [
#     OneCycle(2e-4, optimizer=model.generator_optimizer),
#     OneCycle(1e-4, optimizer=model.critic_optimizer),
#     Recorder(loss="generator_loss"),
# ]
# ```
#
# `Recorder` takes a loss from what `train_step()` returns, if that does not
# call `compute_loss()`. A mean since the epoch began, as metrics give it, is
# taken apart into the losses of the batches.
#
# What trains within a callback, and a loop of your own, uses the optimizer's
# own hyperparameters. One thing can't be seen: a `tf.function` that is no
# method of the model keeps what it has traced. If the schedule does not reach
# the optimizer for that reason, the callback says so when the first batch ends.
