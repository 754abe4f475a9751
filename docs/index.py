# %% [markdown]
# # Start here
#
# keras_fast gives Keras 3 what fast.ai taught: how to train a network well in
# little time. You keep your `keras.Model` and your `model.fit()`. Each
# technique is a callback, a function or an optimizer that you add.
#
# This page walks through the whole workflow, from a folder of images to a
# trained model in a file. It takes ten minutes to read. Every result on it was
# printed by the code above it.
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
# `demo` adds two packages that the tutorials use: scikit-learn, and the
# weights of a small network that has seen ImageNet. Nothing else is
# downloaded, now or later.
#
# Open a notebook in the same folder, so that it finds the images. In a plain
# Python session the plots appear after `matplotlib.pyplot.show()`.

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

# Keras says so of every data set that shuffles itself.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")

# %% [markdown]
# ## The images
#
# A folder for training and one for validation, and in each a folder for every
# class. The folder's name is the label:
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
# One broken file would stop the training after an hour. So look first: which
# files cannot be read?

# %%
verify_images(FOLDER)

# %% [markdown]
# None. Now look at what the model will be given. It is the cheapest way to
# find wrong labels.

# %% alt="Nine drawings from the training data, each with the name of its class"
axes = show_batch(train, class_names=CLASSES)

# %% [markdown]
# ## A model that has seen images before
#
# A few hundred images are too few to learn what an edge is, or an eye. A
# network that was trained on a million photos knows. So take one, keep what it
# knows, and put a new head on it for your classes.
#
# `image_classifier` takes raw pixels from 0 to 255 and does the rest inside.
# All but the head starts frozen.

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
# The plan says what will train: group 2, the head. Any network of
# `keras.applications` serves as well, by its name:
# `image_classifier("EfficientNetV2B0", 2)`.
#
# ## Train
#
# A drawing of a cat is still one when it is mirrored, turned a little, or
# darker. `AugTransforms` shows the model another version in each epoch, so
# that it can't memorize the images.

# %%
augment = AugTransforms(seed=0)
augmented = train.map(lambda x, y: (augment(x, training=True), y)).prefetch(2)

# %% [markdown]
# `fine_tune` first computes the features of each image once, with the base
# frozen, and trains the head on them. Then it trains everything: the learning rate
# follows a schedule, 1cycle, and the model ends with an average of its
# weights.

# %%
history = keras_fast.fine_tune(
    model, augmented, epochs=8, validation_data=valid, verbose=2
)

# %% [markdown]
# Is that good? The simplest competitor is a linear model, a logistic
# regression, on what the same frozen network computes. `fine_tune` starts from
# there, and the history shows both. The model ends with the weights that did
# best on the validation data.

# %%
history

# %% [markdown]
# ## What did it learn?
#
# With so few validation images a single one is more than a percent. So read
# the accuracies above as "about": a little up or down from one epoch to the
# next means nothing.
#
# And a number does not say what goes wrong. Images do. First: which class is
# taken for which?

# %% alt="Confusion matrix of animals and food"
matrix = inference.confusion_matrix(model, valid, class_names=CLASSES)
ax = matrix.plot()

# %% [markdown]
# Then the mistakes that the model was most sure of. Some are the model's
# fault. Some are the label's.

# %% alt="The six validation images with the highest loss: what was predicted, and what is true"
worst = inference.top_losses(model, valid, k=6, class_names=CLASSES)
axes = worst.plot()

# %% [markdown]
# And where did it look? Warm colours mark what speaks for the class that was
# predicted.

# %% alt="The same images with heat maps of where the model looked"
axes = inference.grad_cam(model, worst.inputs).plot(class_names=CLASSES)

# %% [markdown]
# ## Use it
#
# A saved model is an ordinary Keras file. It loads without keras_fast, takes
# raw pixels, and needs no preprocessing, because that is inside. `load_images`
# resizes exactly as training did; `keras.utils.load_img` does not, and that
# costs accuracy.

# %%
model.save("classifier.keras")
loaded = keras.models.load_model("classifier.keras")

images = load_images(valid.file_paths[:1], SIZE)
probabilities = loaded.predict(images, verbose=0)[0]
for name, probability in zip(CLASSES, probabilities, strict=True):
    print(f"{name:<8} {probability:.3f}")

# %% [markdown]
# ## What was gained
#
# How good is good? Always compare with something simple. The simplest
# classifier names the most frequent class every time.
#
# The last row asks the trained model about each image and its mirror image,
# and averages: test-time augmentation.

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
# | take the same steps slowly, with explanations | [Lesson 1: pictures](tutorials/pictures.md) |
# | understand the curve of the finder and 1cycle | [Learning rates and cycles](tutorials/learning_rates.md) |
# | get the last percent | [Transfer learning in eight steps](tutorials/transfer.md) |
# | find a word that you know from fastai | [Coming from fastai](from_fastai.md) |
# | know which schedule, which rate, what to freeze | [How to choose](choose/schedule.md) |
# | mark what is where in an image, repair images, or make them | [A label for each pixel](tutorials/segmentation.md), [Repairing images](tutorials/restoration.md), [Two networks against each other](tutorials/gans.md) |
# | find several things in an image, or points | [Several labels, and points](tutorials/labels_and_points.md) |
# | learn from a table, or from ratings | [Tables with embeddings](tutorials/tables.md), [Ratings](tutorials/ratings.md) |
# | learn from texts | [Text](tutorials/text.md), [A model for texts](choose/text.md) |
# | train on a GPU, or on more data | [Mixed precision](tutorials/mixed_precision.md), [Bigger than one machine](tutorials/bigger.md) |
