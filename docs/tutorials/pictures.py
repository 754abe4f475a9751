# %% [markdown]
# # Lesson 1: images
#
# What is in this image? In this lesson you train a network to answer that for
# drawings of six kinds of things. Each step starts with the problem it solves.

# %%
import warnings

import keras
import numpy as np
from sklearn.ensemble import RandomForestClassifier

import keras_fast
from keras_fast import inference, models
from keras_fast.callbacks import OneCycle, Recorder
from keras_fast.data import AugTransforms, show_batch

keras.utils.set_random_seed(0)

# Keras warns about this for every tf.data dataset.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")

# %% [markdown]
# ## Look at the data
#
# Keras reads images from a folder with one subfolder per class.
#
# The validation images are different drawings, and near-copies of a drawing are
# all in the same split. Otherwise the model could pass by memorizing, which a
# validation set is there to catch.

# %%
FOLDER = "examples/data/clipart"
SIZE = 64  # small, so that this page is quick


def load(part, shuffle):
    return keras.utils.image_dataset_from_directory(
        f"{FOLDER}/{part}",
        image_size=(SIZE, SIZE),
        batch_size=32,
        shuffle=shuffle,
        seed=0,
        verbose=False,
    )


train, valid = load("train", shuffle=True), load("valid", shuffle=False)
classes = train.class_names
print(classes)

# %% alt="Nine drawings from the training data, with their classes"
axes = show_batch(train)

# %% [markdown]
# Could you tell them all apart? The labels are the folder names of a library of
# drawings, and some are odd. No model will be perfect here.
#
# ## What would be a good result?
#
# Start with a simple model, a random forest on pixels that knows nothing about
# images:


# %%
def arrays(images):
    x, y = zip(*images.as_numpy_iterator(), strict=True)
    return np.concatenate(x), np.concatenate(y)


def pixels(x):
    return x[:, ::4, ::4].reshape(len(x), -1)


x_train, y_train = arrays(train)
x_valid, y_valid = arrays(valid)

forest = RandomForestClassifier(random_state=0)
forest.fit(pixels(x_train), y_train)
simple = forest.score(pixels(x_valid), y_valid)
most_frequent = np.bincount(y_valid).max() / len(y_valid)
print(f"most frequent class {most_frequent:.3f}")
print(f"random forest       {simple:.3f}")

# %% [markdown]
# A network has to beat that.
#
# ## Start from a pretrained network
#
# The first layers of every image network learn the same things: edges, corners,
# textures. Learning them takes many images, and someone has already done it. So
# start from that network.
#
# Its last layer predicts the thousand classes of ImageNet, which you don't
# need. `include_top=False` leaves it out, and `image_classifier` adds a new
# head: here fast.ai's, with a hidden layer of 512 units.

# %%
base = models.efficientnet_lite0(include_top=False)
model = models.image_classifier(
    base, num_classes=len(classes), input_shape=(SIZE, SIZE, 3), head_units=512
)
model.compile(
    "adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)

# %% [markdown]
# Which layers will train? Check before you train.

# %%
print(keras_fast.training_plan(model))

# %% [markdown]
# Groups 0 and 1 are the pretrained network, and they are frozen. The head is
# random. If everything trained at once, the gradients of the random head would
# destroy what the network has learned. So train the head first.
#
# ## Find the learning rate

# %% alt="The finder's curve for the head"
found = keras_fast.lr_find(
    model, train, start_lr=1e-5, end_lr=1.0, num_steps=40
)
ax = found.plot(skip_start=3)

# %% [markdown]
# ## Train the head, and watch it overfit
#
# First without any tricks: a few epochs of 1cycle.

# %%
rate = found.suggestion
plain = model.fit(
    train,
    validation_data=valid,
    epochs=3,
    callbacks=[OneCycle(rate)],
    verbose=2,
)

# %% [markdown]
# Compare `accuracy` with `val_accuracy` in the last line. The first is measured
# on images the model has seen, the second on images it hasn't. If the first is
# far above the second, the model *overfits*: it learns the images, not the
# classes.

# %%
end = {name: values[-1] for name, values in plain.history.items()}
print(f"seen     {end['accuracy']:.3f}")
print(f"not seen {end['val_accuracy']:.3f}")

# %% [markdown]
# ## More images for free
#
# The best cure is more images. The next best is to make them from the ones you
# have. Flip them, rotate them a little, change the lighting: the class stays
# the same.

# %% alt="One drawing, augmented nine times"
augment = AugTransforms(seed=0)
one = np.repeat(x_train[:1], 9, axis=0)
axes = show_batch(
    augment(one, training=True), np.repeat(y_train[:1], 9), class_names=classes
)

# %% [markdown]
# Keep training, on images that are never the same twice. A `Recorder` stores
# the loss of each update.

# %%
augmented = train.map(lambda x, y: (augment(x, training=True), y)).prefetch(2)
recorder = Recorder()
longer = model.fit(
    augmented,
    validation_data=valid,
    epochs=3,
    callbacks=[OneCycle(rate / 3), recorder],
    verbose=2,
)

# %% alt="Loss of every update on augmented images"
ax = recorder.plot()

# %% [markdown]
# Compare again. `accuracy` is now measured on images that the model has never
# seen in quite this form, so it is lower than before. That isn't a step back:
# it is closer to the truth.

# %%
now = {name: values[-1] for name, values in longer.history.items()}
print(f"before  seen {end['accuracy']:.3f}, not seen {end['val_accuracy']:.3f}")
print(f"now     seen {now['accuracy']:.3f}, not seen {now['val_accuracy']:.3f}")

# %% [markdown]
# ## Look at the mistakes
#
# Which classes are confused? Rows are true classes, columns predicted ones.
# Everything off the diagonal is wrong.

# %% alt="Confusion matrix of the six classes"
matrix = inference.confusion_matrix(model, valid, class_names=classes)
ax = matrix.plot()

# %%
for truth, guess, count in inference.most_confused(matrix)[:5]:
    print(f"{count} x {truth} taken for {guess}")

# %% [markdown]
# And which images have the highest loss? The title shows the predicted class,
# the model's confidence, the true class and the loss.

# %% alt="Nine validation images with the highest losses"
axes = inference.top_losses(model, valid, k=9, class_names=classes).plot()

# %% [markdown]
# Look at them one by one. You would get some wrong too. If you own the data,
# this is where you find labels to fix; no amount of training will.
#
# ## Results

# %%
print("way                      accuracy on images not seen")
print(f"most frequent class      {most_frequent:.3f}")
print(f"random forest on pixels  {simple:.3f}")
print(f"pretrained, plain        {end['val_accuracy']:.3f}")
print(f"pretrained, augmented    {matrix.accuracy:.3f}")

# %% [markdown]
# The pretrained network brings the largest gain, although only a head was
# trained. That is why every lesson starts with one.
#
# Two questions remain. What is a learning rate, and why does it go up and down?
# See [the next lesson](learning_rates.md). And what if the base trains too? See
# [transfer learning in eight steps](transfer.md).
