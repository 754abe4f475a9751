# %% [markdown]
# # What to freeze
#
# **If in doubt, call `fine_tune`.** It trains the head alone first, on features
# that the frozen base computes once, then everything, at a low rate.
#
# ## The question behind it
#
# How far are your data from those that the network has seen, and how many do
# you have?
#
# | | few data | many data |
# |---|---|---|
# | **alike** (photos of things) | train the head only | head, then everything at low rates |
# | **different** (drawings, X-rays, spectra) | head, then the last group too | head, then everything; even the first layers may move |
#
# Few data and a free base overfit. Many data and a frozen base waste what the
# data could teach.
#
# ## The ways to say it
#
# | you write | what trains |
# |---|---|
# | `freeze(model)` | the last group, the head |
# | `freeze_to(model, -2)` | the last two groups |
# | `freeze_to(model, 1)` | all but the first group |
# | `unfreeze(model)` | everything |
# | `unfreeze(model, train_batchnorm=False)` | everything but the statistics of batch normalization |
#
# All of them work on a model that is compiled and has trained. There is no
# need to compile again, and the optimizer keeps what it has gathered. In plain
# Keras a change of `layer.trainable` after the first `fit()` is ignored
# without a word.
#
# Look at what you have said:

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
# ## Batch normalization is its own question
#
# Such a layer has two kinds of numbers: weights that training moves, and
# averages of what went through it. In a frozen layer, what should happen to the
# moving averages? Both answers are in use:
#
# - **Frozen** means frozen: the layer uses the averages that it came with.
#   This is Keras's rule, fastai 0.7's, and the default of `freeze_to` and
#   `fine_tune`. It is right for few data and small batches.
# - **Training goes on** in batch normalization even where all else is frozen.
#   This is the rule of fastai 1 and 2: `train_batchnorm=True`. It is right
#   where data look different from ImageNet and there are enough of them.
#
# The same argument serves `unfreeze`. `train_batchnorm=False` lets all weights
# train and keeps the averages of the base. On a few hundred images it is the
# safer choice: averages need hundreds of updates to settle.
#
# ## Thaw step by step
#
# For long texts and deep networks one unfreezes group by group, from the head
# down, and trains a little at each. ULMFiT does so.
#
# ```python
# for group in (-1, -2, 0):
#     keras_fast.freeze_to(model, group)
#     found = keras_fast.lr_find(model, train)
#     model.fit(train, callbacks=[OneCycle(found.suggestion)])
# ```
#
# For images two steps are enough, the head and then everything. A rate for each
# group is smoother; see
# [discriminative rates](../tutorials/discriminative_rates.md).
