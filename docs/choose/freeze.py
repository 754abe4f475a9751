# %% [markdown]
# # What to freeze
#
# **If in doubt, call `fine_tune`.** It trains the head alone first, on features
# that the frozen base computes once, then everything, at a low rate.
#
# ## Two questions decide
#
# How similar is your data to the pretraining data, and how much do you have?
#
# | | little data | plenty of data |
# |---|---|---|
# | **similar** (photos of objects) | train the head only | head, then everything at low rates |
# | **different** (drawings, X-rays, spectra) | head, then the last group too | head, then everything; even the first layers may change |
#
# With little data, an unfrozen base overfits. With plenty of data, a frozen
# base wastes what the data could teach.
#
# ## The functions
#
# | call | what trains |
# |---|---|
# | `freeze(model)` | the last group, the head |
# | `freeze_to(model, -2)` | the last two groups |
# | `freeze_to(model, 1)` | all but the first group |
# | `unfreeze(model)` | everything |
# | `unfreeze(model, train_batchnorm=False)` | everything but the statistics of batch normalization |
#
# All of them work on a compiled model, even after training. You don't need to
# compile again, and the optimizer keeps its state. In plain Keras, a change of
# `layer.trainable` after the first `fit()` is silently ignored.
#
# Check the result:

# %%
import keras_fast
from keras_fast import models

base = models.efficientnet_lite0(weights=None, include_top=False)
model = models.image_classifier(base, num_classes=2)
model.compile("adam", loss="sparse_categorical_crossentropy")
print(keras_fast.training_plan(model))

# %%
keras_fast.freeze_to(model, -2)
print(keras_fast.training_plan(model))

# %%
keras_fast.unfreeze(model, train_batchnorm=False)
print(keras_fast.training_plan(model))

# %% [markdown]
# ## Batch normalization is a separate choice
#
# A batch normalization layer has weights, which the optimizer updates, and
# moving averages of its inputs. In a frozen layer, what should happen to the
# moving averages? Both answers are in use:
#
# - **They are frozen too:** the layer uses its pretrained averages. This is the
#   rule of Keras and fastai 0.7, and the default of `freeze_to` and
#   `fine_tune`. It is right for little data and small batches.
# - **Batch normalization keeps training** even if all else is frozen. This is
#   the rule of fastai 1 and 2: `train_batchnorm=True`. It is right for plenty
#   of data that looks different from ImageNet.
#
# `unfreeze` takes the same argument. `train_batchnorm=False` trains all weights
# and keeps the base's averages. With a few hundred images it is the safer
# choice: the averages need hundreds of updates to settle.
#
# ## Unfreeze step by step
#
# For long texts and deep networks, unfreeze one group at a time from the head
# down, and train a little after each, as in ULMFiT.
#
# ```python
# for group in (-1, -2, 0):
#     keras_fast.freeze_to(model, group)
#     found = keras_fast.lr_find(model, train)
#     model.fit(train, callbacks=[OneCycle(found.suggestion)])
# ```
#
# For images two steps are enough: the head, then everything. A rate for each
# group is smoother; see
# [discriminative rates](../tutorials/discriminative_rates.md).
