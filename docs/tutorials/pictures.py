# %% [markdown]
# # Lesson 1: images
#
# What is in this image? In this lesson you train a network that answers, on
# drawings of six kinds of things. You will see each step fail first, or the
# question that it answers, and then the step.

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

# Keras says so of every data set that shuffles itself.
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")

# %% [markdown]
# ## Look at the data
#
# Keras reads a folder of images. Each class is a folder in it.
#
# The validation images are other drawings, and near-copies of one drawing
# are all on the same side. Otherwise the model could pass the test by
# remembering. A validation set is there to catch that.

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
# Could you tell them all apart? The labels are the folders of a library of
# drawings, and some are odd. No model will be perfect here.
#
# ## What would be a good result?
#
# Ask something simple first. A random forest that looks at pixels, and knows
# nothing of images:


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
# ## Start from a network that can see
#
# The first layers of every network for images learn the same: edges,
# corners, textures. That takes many images, and somebody has shown them
# already. So start from their network.
#
# Its last layer names the thousand classes of ImageNet. You do not need those.
# `include_top=False` leaves them out, and `image_classifier` puts a new head
# in their place: here fast.ai's, with a hidden layer of 512 units.

# %%
base = models.efficientnet_lite0(include_top=False)
model = models.image_classifier(
    base, num_classes=len(classes), input_shape=(SIZE, SIZE, 3), head_units=512
)
model.compile(
    "adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"]
)

# %% [markdown]
# Which layers will train? Ask before you wait.

# %%
print(keras_fast.training_plan(model))

# %% [markdown]
# Groups 0 and 1 are the pretrained network, and they are frozen. The head is
# random. If all trained at once, the gradients of the random head would wreck
# what the network knows. So the head goes first.
#
# ## Find the rate

# %% alt="The finder's curve for the head"
found = keras_fast.lr_find(
    model, train, start_lr=1e-5, end_lr=1.0, num_steps=40
)
ax = found.plot(skip_start=3)

# %% [markdown]
# ## Train the head, and watch it overfit
#
# First without any tricks: a few epochs, 1cycle.

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
# Compare `accuracy` with `val_accuracy` in the last line. The first is on
# images that the model has seen, the second on images that it has not.
# Where the first is far above the second, the model *overfits*: it learns the
# images and not the classes.

# %%
end = {name: values[-1] for name, values in plain.history.items()}
print(f"seen     {end['accuracy']:.3f}")
print(f"not seen {end['val_accuracy']:.3f}")

# %% [markdown]
# ## More images for nothing
#
# The best cure is more images. The next best is to make them from those
# that you have. Mirror them, turn them a little, change the light: the class
# stays the same.

# %% alt="One drawing, augmented nine times"
augment = AugTransforms(seed=0)
one = np.repeat(x_train[:1], 9, axis=0)
axes = show_batch(
    augment(one, training=True), np.repeat(y_train[:1], 9), class_names=classes
)

# %% [markdown]
# Train on, on images that are never twice the same. A `Recorder` notes the
# loss of each update.

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
# Now compare again. `accuracy` is on images that were never seen quite like
# that, so it is lower than before. That is no loss: it is closer to the truth.

# %%
now = {name: values[-1] for name, values in longer.history.items()}
print(f"before  seen {end['accuracy']:.3f}, not seen {end['val_accuracy']:.3f}")
print(f"now     seen {now['accuracy']:.3f}, not seen {now['val_accuracy']:.3f}")

# %% [markdown]
# ## Look at the mistakes
#
# Which classes are mixed up? The rows are true, the columns predicted. What is
# off the diagonal is wrong.

# %% alt="Confusion matrix of the six classes"
matrix = inference.confusion_matrix(model, valid, class_names=classes)
ax = matrix.plot()

# %%
for truth, guess, count in inference.most_confused(matrix)[:5]:
    print(f"{count} x {truth} taken for {guess}")

# %% [markdown]
# And which single images cost most? The title says what was predicted, how
# sure the model was, what is true, and the loss.

# %% alt="Nine validation images with the highest losses"
axes = inference.top_losses(model, valid, k=9, class_names=classes).plot()

# %% [markdown]
# Look at them one by one. Some you would get wrong too. If you own the data,
# this is where you find labels to mend: no training repairs those.
#
# ## What was gained

# %%
print("way                      accuracy on images not seen")
print(f"most frequent class      {most_frequent:.3f}")
print(f"random forest on pixels  {simple:.3f}")
print(f"pretrained, plain        {end['val_accuracy']:.3f}")
print(f"pretrained, augmented    {matrix.accuracy:.3f}")

# %% [markdown]
# The largest step is the pretrained network: it brought what it knows, and only
# a head was trained. That is why every lesson begins with one.
#
# Two things come next. What is a learning rate, and why does it go up and down?
# That is [the next lesson](learning_rates.md). And what if the base may train
# as well? That is [transfer learning in eight steps](transfer.md).
