# %% [markdown]
# # Looking inside
#
# A model has an accuracy, and an accuracy says nothing of why. This page looks
# at what a model gets wrong, how sure it was, and where in the image it
# looked. Nothing here changes the model.

# %%
import tempfile
import warnings

import keras

import keras_fast
from keras_fast import inference, models
from keras_fast.callbacks import OneCycle

keras.utils.set_random_seed(0)

# Keras says so of every data set that shuffles itself.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")

SIZE = 96


def load(part):
    return keras.utils.image_dataset_from_directory(
        f"examples/data/clipart/{part}",
        image_size=(SIZE, SIZE),
        batch_size=32,
        shuffle=False,
        verbose=False,
    )


train, valid = load("train"), load("valid")
classes = train.class_names

# %% [markdown]
# First a model to look at. Its head is trained on
# [cached features](cached_features.md), which takes moments.

# %%
base = models.efficientnet_lite0(include_top=False)
model = models.image_classifier(
    base, num_classes=len(classes), input_shape=(SIZE, SIZE, 3), head_units=512
)
body, head = keras_fast.split_head(model)
cache = keras_fast.cache_features(body, train, directory=tempfile.mkdtemp())
head.compile("adam", loss="sparse_categorical_crossentropy")
head.fit(
    cache.dataset(batch_size=32, seed=0),
    epochs=8,
    shuffle=False,
    callbacks=[OneCycle(3e-3)],
    verbose=0,
)
model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])

# %% [markdown]
# The head is a part of the model, so now the model is trained.
#
# ## Which classes are mixed up?
#
# Each row is a true class, each column a predicted one. The diagonal is right,
# and all else is wrong.

# %% alt="Confusion matrix: true classes by predicted classes"
matrix = inference.confusion_matrix(model, valid, class_names=classes)
ax = matrix.plot()

# %% [markdown]
# Classes are not equally frequent. So a row with many images looks worse
# than it is. As shares of each true class:

# %% alt="The same matrix as shares of each true class"
ax = matrix.plot(normalize=True)

# %%
shares = matrix.matrix.diagonal() / matrix.matrix.sum(axis=1)
for name, share in zip(classes, shares, strict=True):
    print(f"{name:<10} {share:.2f}")
print(f"all        {matrix.accuracy:.2f}")

# %% [markdown]
# The worst pairs by name:

# %%
pairs = inference.most_confused(matrix, min_count=3)
for truth, guess, count in pairs:
    print(f"{count:>3} x {truth} taken for {guess}")

# %% [markdown]
# ## Which images cost most?
#
# The loss is high where the model was sure, and wrong. These images are worth
# more than any number. Look for labels that are wrong, for images that
# belong to two classes, and for kinds of images that training never showed.

# %% alt="The nine validation images with the highest losses"
worst = inference.top_losses(model, valid, k=9, class_names=classes)
axes = worst.plot()

# %% [markdown]
# The other end is of use as well. With `largest=False` come the images that
# it finds easiest. They show what the model takes for typical.

# %% alt="The six validation images with the lowest losses"
best = inference.top_losses(
    model, valid, k=6, largest=False, class_names=classes
)
axes = best.plot()

# %% [markdown]
# The result is data, not only a plot: which samples, their losses, and what
# the model said.

# %%
files = [valid.file_paths[i].rsplit("/", 1)[-1] for i in worst.indices[:3]]
for file, loss in zip(files, worst.losses, strict=False):
    print(f"loss {loss:.2f}", file.split("_", 2)[-1])

# %% [markdown]
# ## Where does it look?
#
# Grad-CAM asks: which places, if they changed, would change the score of the
# class? A good model looks at the thing. A bad one may look at the
# background, and be right for a wrong reason.

# %% alt="Heat maps over the images with the lowest losses"
maps = inference.grad_cam(model, best.inputs)
axes = maps.plot(class_names=classes)

# %% [markdown]
# For a mistake ask twice: where is the class that it predicted, and where is
# the one that is true?

# %% alt="The worst mistakes: where the predicted class is seen"
predicted = inference.grad_cam(model, worst.inputs[:4])
axes = predicted.plot(class_names=classes)

# %% alt="The same mistakes: where the true class is seen"
true = inference.grad_cam(
    model, worst.inputs[:4], class_index=worst.labels[:4].astype(int)
)
axes = true.plot(class_names=classes)

# %% [markdown]
# Where the two maps are on different things, the image holds both. Where
# they are on the same thing, the model sees it and does not know it. An image
# without any heat has nothing that speaks for that class: then look at the
# label again.
#
# The network is a model within the model here. `grad_cam` opens it by itself,
# and takes the last layer with feature maps. `layer=` names another one. Small
# images are enlarged for it: maps of 3 x 3 fields, as this network makes of
# 96 pixels, show the object no more often than chance
# ([benchmarks](../benchmarks.md)).
#
# ## What was gained
#
# Is it worth looking at single images? Count how much of the whole loss
# comes from the worst few.

# %%
everything = inference.top_losses(model, valid, k=len(valid.file_paths))
tenth = len(everything.losses) // 10
share = everything.losses[:tenth].sum() / everything.losses.sum()
wrong = matrix.matrix.sum() - matrix.matrix.trace()
print(f"the worst tenth of the images has {share:.0%} of the loss")
count = sum(count for *_, count in pairs[:3])
print(
    f"the three worst pairs of classes have {count / wrong:.0%} of the errors"
)

# %% [markdown]
# So an hour with a few images can bring more than a night of training: mend
# those labels, or find more images of those classes.
