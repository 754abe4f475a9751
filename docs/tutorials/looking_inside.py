# %% [markdown]
# # Looking inside
#
# A model's accuracy doesn't tell you why it is right or wrong. This page shows
# what a model gets wrong, how confident it was, and where in the image it
# looked. Nothing here changes the model.

# %%
import tempfile
import warnings

import keras

import keras_fast
from keras_fast import inference, models
from keras_fast.callbacks import OneCycle

keras.utils.set_random_seed(0)

# Keras warns about this for every tf.data dataset.
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
# First, you need a model to look at. Its head is trained on [cached
# features](cached_features.md), which takes moments.

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
# The head is part of the model, so now the model is trained.
#
# ## Which classes are confused?
#
# Each row is a true class, each column a predicted one. The diagonal is right,
# and everything else is wrong.

# %% alt="Confusion matrix: true classes by predicted classes"
matrix = inference.confusion_matrix(model, valid, class_names=classes)
ax = matrix.plot()

# %% [markdown]
# Classes aren't equally frequent, so a row with many images looks worse than it
# is. Here is the matrix as shares of each true class:

# %% alt="The same matrix as shares of each true class"
ax = matrix.plot(normalize=True)

# %%
shares = matrix.matrix.diagonal() / matrix.matrix.sum(axis=1)
for name, share in zip(classes, shares, strict=True):
    print(f"{name:<10} {share:.2f}")
print(f"all        {matrix.accuracy:.2f}")

# %% [markdown]
# The most confused pairs by name:

# %%
pairs = inference.most_confused(matrix, min_count=3)
for truth, guess, count in pairs:
    print(f"{count:>3} x {truth} taken for {guess}")

# %% [markdown]
# ## Which images have the highest loss?
#
# The loss is high where the model was confident and wrong. These images are
# worth more than any number. Look for wrong labels, for images that belong to
# two classes, and for kinds of images missing from the training data.

# %% alt="The nine validation images with the highest losses"
worst = inference.top_losses(model, valid, k=9, class_names=classes)
axes = worst.plot()

# %% [markdown]
# The other end is useful as well. `largest=False` returns the images that the
# model finds easiest. They show what it considers typical.

# %% alt="The six validation images with the lowest losses"
best = inference.top_losses(
    model, valid, k=6, largest=False, class_names=classes
)
axes = best.plot()

# %% [markdown]
# The result is data, not only a plot: the indices of the samples, their losses
# and the model's predictions.

# %%
files = [valid.file_paths[i].rsplit("/", 1)[-1] for i in worst.indices[:3]]
for file, loss in zip(files, worst.losses, strict=False):
    print(f"loss {loss:.2f}", file.split("_", 2)[-1])

# %% [markdown]
# ## Where does it look?
#
# Grad-CAM shows which places would change the score of the class if they
# changed. A good model looks at the object. A bad one may look at the
# background, and be right for the wrong reason.

# %% alt="Heat maps over the images with the lowest losses"
maps = inference.grad_cam(model, best.inputs)
axes = maps.plot(class_names=classes)

# %% [markdown]
# For a mistake, ask twice: where does the model see the predicted class, and
# where the true one?

# %% alt="The worst mistakes: where the model sees the predicted class"
predicted = inference.grad_cam(model, worst.inputs[:4])
axes = predicted.plot(class_names=classes)

# %% alt="The same mistakes: where the model sees the true class"
true = inference.grad_cam(
    model, worst.inputs[:4], class_index=worst.labels[:4].astype(int)
)
axes = true.plot(class_names=classes)

# %% [markdown]
# If the two maps highlight different objects, the image contains both. If they
# highlight the same object, the model sees it but doesn't recognize it. An
# image without any heat has no evidence for that class: check the label again.
#
# Here the network is a model within the model. `grad_cam` looks inside it and
# takes the last layer with feature maps; `layer=` selects another one. It
# enlarges small images: maps of 3 x 3 cells, which this network makes of 96
# pixels, show the object no more often than chance
# ([benchmarks](../benchmarks.md)).
#
# ## Is it worth looking at single images?
#
# Measure how much of the total loss comes from the worst few.

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
# So an hour with a few images can bring more than a night of training: fix
# those labels, or find more images of those classes.
