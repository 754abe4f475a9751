# %% [markdown]
# # From training to an app
#
# A trained model is a file. This page goes from the file to a program that
# other people use: what to save, in which format, how to predict with it, and
# a web page that classifies the images dropped on it.

# %%
import json
import logging
import os
import statistics
import time
import warnings

import keras
import numpy as np

import keras_fast
from keras_fast import models
from keras_fast.data import load_images

keras.utils.set_random_seed(0)
warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
logging.getLogger("tensorflow").setLevel("ERROR")

# %% [markdown]
# A small classifier of clip art, trained for a few seconds:

# %%
FOLDER = "examples/data/clipart"
CLASSES = ["animal", "food"]
SIZE = 96


def build(num_classes):
    base = models.efficientnet_lite0(include_top=False)
    shape = (SIZE, SIZE, 3)
    return models.image_classifier(base, num_classes, input_shape=shape)


train, valid = (
    keras.utils.image_dataset_from_directory(
        f"{FOLDER}/{part}",
        class_names=CLASSES,
        image_size=(SIZE, SIZE),
        seed=0,
        verbose=False,
    )
    for part in ("train", "valid")
)
model = build(len(CLASSES))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = keras_fast.fine_tune(model, train, epochs=2, num_views=1, verbose=0)
loss, accuracy = model.evaluate(valid, verbose=0)
print(f"accuracy {accuracy:.3f}")

# %% [markdown]
# ## What to save
#
# A `.keras` file holds the model, its weights, and the optimizer, so that the
# training can go on. Adam has two numbers for each weight, and who predicts
# needs neither. Load the model without compiling it, and save it again:

# %%
model.save("training.keras")
served = keras.models.load_model("training.keras", compile=False)
served.save("classifier.keras")


def megabytes(path):
    files = [os.path.join(r, f) for r, _, names in os.walk(path) for f in names]
    return sum(map(os.path.getsize, files or [path])) / 1e6


print(f"to go on with the training  {megabytes('training.keras'):4.1f} MB")
print(f"to predict                  {megabytes('classifier.keras'):4.1f} MB")

# %% [markdown]
# The model says "class 0", not "animal": the names of the classes are in no
# file. Neither is the size of the images, if the model takes any size. Save
# both beside it.

# %%
with open("classifier.json", "w") as file:
    json.dump({"class_names": CLASSES, "size": SIZE}, file)

# %% [markdown]
# ## Predict
#
# That is all that a program needs. `load_images` makes of a file what the
# model was given in training, pixel for pixel.
#
# `image_classifier` has its preprocessing inside, and loads without
# keras_fast. Layers of this package, as those of text, tables, pixels and
# points, and `AugTransforms` inside a model, need `import keras_fast` before
# `load_model`.


# %%
class Classifier:
    def __init__(self, name):
        self.model = keras.models.load_model(f"{name}.keras", compile=False)
        with open(f"{name}.json") as file:
            kept = json.load(file)
        self.class_names, self.size = kept["class_names"], kept["size"]

    def __call__(self, path):
        images = load_images([path], self.size)
        probabilities = self.model.predict(images, verbose=0)[0]
        return dict(zip(self.class_names, probabilities.tolist(), strict=True))


classify = Classifier("classifier")
for name, probability in classify(valid.file_paths[0]).items():
    print(f"{name:<8} {probability:.3f}")

# %% [markdown]
# ## Other formats
#
# | format | for | what runs it |
# |---|---|---|
# | `.keras` | Python; the only one to train on from | Keras |
# | SavedModel | servers: TensorFlow Serving, Vertex AI, Java, Go, C++ | TensorFlow |
# | LiteRT (`.tflite`) | phones, single-board computers | `ai-edge-litert`, 22 MB |
# | ONNX | programs in any language, browsers | `onnxruntime`, 17 MB |
#
# Keras writes them all. From JAX and PyTorch it writes fewer, so export with
# TensorFlow: a `.keras` file can be loaded on any backend. ONNX needs
# `pip install onnx tf2onnx`.

# %%
# Of a NumPy that is older than the one that is installed.
warnings.filterwarnings("ignore", message="In the future `np.object`")

served.export("saved_model", verbose=False)
served.export("classifier.tflite", format="litert", verbose=False)
served.export("classifier.onnx", format="onnx", verbose=False)

# %% [markdown]
# Each of them must say what the model says. Don't take that for granted: load
# each file as the program will, and compare on real images.

# %%
import onnxruntime
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

x = load_images(valid.file_paths[:20], SIZE)
saved_model = tf.saved_model.load("saved_model")
session = onnxruntime.InferenceSession("classifier.onnx")
lite = Interpreter("classifier.tflite")
(image,), (probabilities,) = lite.get_input_details(), lite.get_output_details()
lite.resize_tensor_input(image["index"], (1, SIZE, SIZE, 3))
lite.allocate_tensors()


def litert(x):
    lite.set_tensor(image["index"], x)
    lite.invoke()
    return lite.get_tensor(probabilities["index"])


PROGRAMS = {
    "classifier.keras": lambda x: served.predict(x, verbose=0),
    "saved_model": lambda x: saved_model.serve(x).numpy(),
    "classifier.tflite": litert,
    "classifier.onnx": lambda x: session.run(None, {"image": x})[0],
}
wanted = served.predict(x, verbose=0)


def compare(path, program):
    """One image at a time; the first is not counted."""
    seconds, difference = [], 0.0
    for i in range(len(x)):
        begin = time.perf_counter()
        found = program(x[i : i + 1])
        seconds.append(time.perf_counter() - begin)
        difference = max(difference, np.abs(found - wanted[i]).max())
    milliseconds = 1000 * statistics.median(seconds[1:])
    print(
        f"{path:<18}{megabytes(path):5.1f} MB{milliseconds:7.1f} ms"
        f"   within {difference:.0e}"
    )


for path, program in PROGRAMS.items():
    compare(path, program)

# %% [markdown]
# `predict()` is made for many images at once: for a single one it spends most
# of its time on preparing to loop. `model(x, training=False)` and the exported
# files don't loop.
#
# The times are of this machine, with the size and the network of this page.
#
# ## Trained with mixed precision
#
# A model that was trained under `mixed_float16` computes in float16 wherever
# its file is loaded, and processors without a GPU are slow at that. Its
# weights are float32. So build it again under `float32` and give it the
# weights:

# %%
keras.config.set_dtype_policy("mixed_float16")
half = build(len(CLASSES))
half.load_weights("classifier.keras")  # in place of a training
half.save("half.keras")

keras.config.set_dtype_policy("float32")
whole = build(len(CLASSES))
whole.load_weights("half.keras")

difference = np.abs(whole.predict(x, verbose=0) - wanted).max()
print(f"within {difference:.0e} of the model in float32")
print(
    f"in float16, within {np.abs(half.predict(x, verbose=0) - wanted).max():.0e}"
)

# %% [markdown]
# ## A web page
#
# `examples/app.py` puts a `Classifier` as above behind a page: drop an image
# on it, and it shows the names and how likely each is. It needs the standard
# library and keras_fast, and is one file, to be copied and changed.
#
# ```bash
# python examples/app.py classifier.keras
# ```
#
# The same from Python, asked by another program:

# %%
import sys
import threading
import urllib.request

sys.path.append("examples")
import app

server = app.Server(app.Classifier("classifier.keras"), port=0)
threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{server.server_port}/"

with open(valid.file_paths[0], "rb") as file:
    reply = urllib.request.urlopen(address, data=file.read())
print(json.load(reply)["classes"])

# %% [markdown]
# What people drop is not always an image. An empty, a damaged and a huge file,
# one of another kind and one of too many pixels each get a message, and the
# server goes on:

# %%
import urllib.error

try:
    urllib.request.urlopen(address, data=b"Dear all,")
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["error"])

server.shutdown()
server.server_close()

# %% [markdown]
# The server listens to this machine alone. Before strangers use it, put it
# behind a server that is made for them, with encryption and a limit to what
# one of them may ask: `Classifier` works in any, FastAPI for one.
#
# ## Before you ship
#
# - Count on data that neither training nor the choice of the model has seen.
# - A classifier knows its classes only: it calls a chair an animal, and is
#   sure of it. If that matters, add a class of everything else, or train
#   [several labels](labels_and_points.md), of which none may be there.
# - Keep some of what users drop, if they agree, and look at it as you
#   [looked at the training data](../choose/own_images.md).
# - Test the files, not the notebook: the comparison above is a good test.
