# %% [markdown]
# # From training to an app
#
# This page turns a trained model into a program that other people use: what to
# save, in which format, how to predict with it, and a web page that classifies
# the images dropped on it.

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
SIZE = 64


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
history = keras_fast.fine_tune(model, train, epochs=1, num_views=1, verbose=0)
loss, accuracy = model.evaluate(valid, verbose=0)
print(f"accuracy {accuracy:.3f}")

# %% [markdown]
# ## What to save
#
# A `.keras` file holds the model, its weights, and the optimizer, so that
# training can continue. Adam keeps two numbers per weight, which prediction
# doesn't need. Load the model without compiling it, and save it again:

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
# The model predicts class 0, not "animal": the file doesn't hold the names of
# the classes. Nor does it hold the image size, if the model takes any size. Save
# both next to it.

# %%
with open("classifier.json", "w") as file:
    json.dump({"class_names": CLASSES, "size": SIZE}, file)

# %% [markdown]
# ## Predict
#
# A program needs no more than these two files. `load_images` loads an image
# exactly as in training, pixel for pixel. Keras's loader ignores the EXIF
# orientation of photos, so the model may see phone pictures lying on their side.
# With `load_images(..., upright=True)` they stand upright: use it for training
# and prediction, or for neither.
#
# `image_classifier` includes its preprocessing and loads without keras_fast.
# Models with layers of this package, such as those for text, tables, masks and
# points, or with `AugTransforms` inside, need `import keras_fast` before
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
# Keras exports to all of them. On JAX and PyTorch it exports to fewer, so export
# with TensorFlow: it loads a `.keras` file from any backend. ONNX needs
# `pip install onnx tf2onnx`.

# %%
# Keras's exporter looks for a name of older NumPy versions.
warnings.filterwarnings("ignore", message="In the future `np.object`")

served.export("saved_model", verbose=False)
served.export("classifier.tflite", format="litert", verbose=False)
served.export("classifier.onnx", format="onnx", verbose=False)

# %% [markdown]
# Each file must predict what the model predicts. Check that: load each file as
# your program will, and compare on real images.

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
# `predict()` is made for many images at once. For a single image it spends most
# of its time on setting up its loop, which the exported files don't have.
#
# Times depend on the machine, the image size and the network.
#
# ## Trained with mixed precision
#
# A model trained under `mixed_float16` computes in float16 wherever its file is
# loaded, and CPUs are slow at that. Its weights are float32. So build it again
# under `float32` and load the weights:

# %%
keras.config.set_dtype_policy("mixed_float16")
half = build(len(CLASSES))
half.load_weights("classifier.keras")  # instead of training
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
# `examples/app.py` puts such a `Classifier` behind a web page: drop an image on
# it, and it shows the classes with their probabilities. It is one file to copy
# and change, and needs only keras_fast and the standard library.
#
# ```bash
# python examples/app.py classifier.keras
# ```
#
# The same from Python, with a request from another program:

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
# People don't only drop images. Empty, damaged and huge files, other types of
# files, and images with too many pixels each get a clear message, and the
# server keeps running:

# %%
import urllib.error

try:
    urllib.request.urlopen(address, data=b"Dear all,")
except urllib.error.HTTPError as error:
    print(error.code, json.load(error)["error"])

server.shutdown()
server.server_close()

# %% [markdown]
# The server accepts requests from this machine only. Before strangers use it,
# put `Classifier` into a framework made for that, such as FastAPI, behind a
# server with encryption and rate limits.
#
# ## Before you ship
#
# - Evaluate on data that was used neither for training nor for choosing the
#   model.
# - A classifier knows only its classes: it may call a chair an animal with high
#   confidence. If that matters, add a class for everything else, or train for
#   [several labels](labels_and_points.md), none of which need apply.
# - If users agree, keep some of the images they drop, and look at them as you
#   [looked at the training data](../choose/own_images.md).
# - Test the files, not the notebook: the comparison above is a good test.
