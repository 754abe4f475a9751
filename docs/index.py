# %% [markdown]
# # Start here
#
# keras_fast brings fast.ai's way of training networks to Keras 3: good results
# from little data and little time. You keep your `keras.Model` and your
# `model.fit()`. Each technique is a callback, a function or an optimizer that
# you add.
#
# This page walks through the whole workflow, from a folder of images to a
# classifier in a file, in ten minutes of reading. The code printed every result
# that you see.
#
# ## Install
#
# You need Python 3.11, 3.12 or 3.13. From the repository's folder:
#
# ```bash
# python -m venv .venv
# source .venv/bin/activate
# pip install ".[demo]"
# ```
#
# `demo` adds two packages that the tutorials use: scikit-learn, and a small
# network pretrained on ImageNet. Nothing is downloaded later.
#
# Open a notebook in the same folder, so that it finds the images. In a plain
# Python session, plots appear after `matplotlib.pyplot.show()`.

# %%
import warnings

import keras
import numpy as np

import keras_fast
from keras_fast import inference, models
from keras_fast.data import (
    AugTransforms,
    load_images,
    show_batch,
    verify_images,
)

keras.utils.set_random_seed(0)

# Keras warns about every shuffled dataset.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")

# %% [markdown]
# ## The images
#
# There is a folder for training and one for validation. Each has a folder for
# every class, whose name is the label:
#
# ```text
# clipart/
#     train/animal/...png
#     train/food/...png
#     valid/animal/...png
#     valid/food/...png
# ```
#
# These are drawings from the Open Clip Art Library. **For your own images,
# change `FOLDER` and `CLASSES`, and nothing else on this page.**

# %%
FOLDER = "examples/data/clipart"
CLASSES = ["animal", "food"]
SIZE = 96  # pixels; smaller than the drawings, so that this page is quick


def load(part, shuffle):
    return keras.utils.image_dataset_from_directory(
        f"{FOLDER}/{part}",
        class_names=CLASSES,
        image_size=(SIZE, SIZE),
        batch_size=32,
        shuffle=shuffle,
        seed=0,
        verbose=False,
    )


train, valid = load("train", shuffle=True), load("valid", shuffle=False)

# %% [markdown]
# One broken file can stop a training run after an hour. So check first which
# files can't be read:

# %%
verify_images(FOLDER)

# %% [markdown]
# None. Now look at a batch. That is the cheapest way to find wrong labels.

# %% alt="Nine drawings from the training data, each with the name of its class"
axes = show_batch(train, class_names=CLASSES)

# %% [markdown]
# ## A pretrained model
#
# A few hundred images are too few to learn what an edge is, or an eye. A
# network trained on a million photos already knows. So keep what it has
# learned, and put a new head on it for your classes.
#
# `image_classifier` takes raw pixels from 0 to 255 and preprocesses them
# itself. Everything but the head starts frozen.

# %%
base = models.efficientnet_lite0(include_top=False)
model = models.image_classifier(
    base, num_classes=len(CLASSES), input_shape=(SIZE, SIZE, 3)
)
model.compile(
    "adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)
print(keras_fast.training_plan(model))

# %% [markdown]
# The plan shows what will train: group 2, the head. Any network of
# `keras.applications` works too, by its name:
# `image_classifier("EfficientNetV2B0", 2)`.
#
# ## Augment
#
# A drawing of a cat still shows a cat when it is flipped, rotated a little or
# darkened. `AugTransforms` shows the model another version in each epoch, so
# that it can't memorize the images.

# %%
augment = AugTransforms(seed=0)
augmented = train.map(lambda x, y: (augment(x, training=True), y)).prefetch(2)

# %% [markdown]
# ## Find the learning rate
#
# The learning rate matters more than any other setting. Don't guess it: train
# for a hundred updates while the rate grows, and plot the loss.

# %% alt="The loss over the learning rate: flat, then falling, then a cliff where it explodes, with the rate that each rule suggests"
found = keras_fast.lr_find(model, augmented, verbose=0)
ax = found.plot()

# %% [markdown]
# At low rates nothing happens. Then the loss falls, and at the cliff the
# training explodes. A good rate is as high as it can be at a safe distance from
# the cliff; `found.suggestion` is one. `lr_find` put the model back afterwards,
# bit for bit.
#
# For your own model and `fit()`, use it as the peak of 1cycle:
# `model.fit(..., callbacks=[OneCycle(found.suggestion)])`. The recipe below has
# rates that were measured for pretrained networks.
#
# ## Train
#
# `fine_tune` first computes the features of each image once, with the frozen
# base, and trains the head on them. Then everything trains with 1cycle, at low
# rates. The model ends with a moving average of its weights.

# %%
history = keras_fast.fine_tune(
    model, augmented, epochs=3, validation_data=valid, verbose=2
)

# %% [markdown]
# Is that good? The baseline is a linear model, a logistic regression on the
# features of the same frozen network. `fine_tune` starts from there, and the
# history shows both. The model ends with the weights that did best on the
# validation data.

# %%
history

# %% [markdown]
# ## What did it learn?
#
# With so few validation images, one image is almost a percent. So a little up
# or down from one epoch to the next means nothing.
#
# And accuracy doesn't show what goes wrong. First, which class is mistaken for
# which?

# %% alt="Confusion matrix of animals and food"
matrix = inference.confusion_matrix(model, valid, class_names=CLASSES)
ax = matrix.plot()

# %% [markdown]
# Then, the mistakes that the model was most sure of. Some are the model's
# fault, some the label's.

# %% alt="The six validation images with the highest loss: what was predicted, and what is true"
worst = inference.top_losses(model, valid, k=6, class_names=CLASSES)
axes = worst.plot()

# %% [markdown]
# And where did it look? Warm colors mark what supports the predicted class.

# %% alt="The same images with heat maps of where the model looked"
axes = inference.grad_cam(model, worst.inputs).plot(class_names=CLASSES)

# %% [markdown]
# ## Use it
#
# A saved classifier is an ordinary Keras file. It loads without keras_fast and
# takes raw pixels. `load_images` resizes files exactly as in training;
# `keras.utils.load_img` doesn't, which costs accuracy.

# %%
model.save("classifier.keras")
loaded = keras.models.load_model("classifier.keras")

paths = valid.file_paths[::25]  # in place of new files
probabilities = loaded.predict(load_images(paths, SIZE), verbose=0)
for path, row in zip(paths, probabilities, strict=True):
    name, best = CLASSES[row.argmax()], row.max()
    print(f"{name:<7} {best:.3f}  {'/'.join(path.split('/')[-2:])}")

# %% [markdown]
# [From training to an app](tutorials/app.md) continues here: other formats, and a
# web page that classifies the images dropped on it.
#
# ## Results
#
# Always compare with something simple. The simplest classifier predicts the
# most frequent class for every image.
#
# The last row averages the predictions for each image and its mirror image:
# test-time augmentation. On drawings the linear model is hard to beat; on most
# photographs `fine_tune` gains more: see [benchmarks](benchmarks.md).

# %%
x = np.concatenate([images for images, _ in valid])
y = np.concatenate([labels for _, labels in valid])
averaged = keras_fast.predict_tta(model, x, inference.flips())

print("way                             accuracy")
print(f"always the most frequent class  {np.bincount(y).max() / len(y):.3f}")
print(f"linear model on its features    {history.linear['accuracy']:.3f}")
print(f"fine_tune                       {matrix.accuracy:.3f}")
print(
    f"  with test-time augmentation   {np.mean(averaged.argmax(-1) == y):.3f}"
)

# %% [markdown]
# ## Where to go from here
#
# | you want to | read |
# |---|---|
# | take the same steps slowly, with explanations | [Lesson 1: images](tutorials/pictures.md) |
# | understand the curve of the finder and 1cycle | [Learning rates and cycles](tutorials/learning_rates.md) |
# | get the last percent | [Transfer learning in eight steps](tutorials/transfer.md) |
# | find a word that you know from fastai | [Coming from fastai](from_fastai.md) |
# | know which schedule, which rate, what to freeze | [How to choose](choose/schedule.md) |
# | segment, repair or generate images | [A label for each pixel](tutorials/segmentation.md), [Repairing images](tutorials/restoration.md), [Two networks against each other](tutorials/gans.md) |
# | use images of your own, without a tidy folder | [Your own images](choose/own_images.md) |
# | ship the model | [From training to an app](tutorials/app.md) |
# | find several things in an image, or points | [Several labels, and points](tutorials/labels_and_points.md) |
# | learn from a table, or from ratings | [Tables with embeddings](tutorials/tables.md), [Ratings](tutorials/ratings.md) |
# | learn from texts | [Text](tutorials/text.md), [A model for texts](choose/text.md) |
# | train on a GPU, or on more data | [Mixed precision](tutorials/mixed_precision.md), [Bigger than one machine](tutorials/bigger.md) |
