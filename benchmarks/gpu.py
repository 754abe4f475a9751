"""How fast is it on a GPU, beside plain PyTorch in the same process?

    KERAS_BACKEND=jax python benchmarks/gpu.py [PART ...] [--write] [--small]

For a machine with one NVIDIA GPU and PyTorch, and JAX or PyTorch as Keras's
backend; TensorFlow and a network are not needed. The parts are `training`,
`features`, `tta` and `text`; without one, all of them. Weights and data are
random, since speed does not depend on them. `--small` tries the script out,
with tiny sizes and on any machine; its figures mean nothing.

Seconds are those of a clock, measured in turn, and their median is reported:
images or tokens per second, and times those of plain PyTorch. Data starts in
the memory of the host, for PyTorch in pinned memory.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
# Two libraries share the GPU's memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import sys
import tempfile
import time
from functools import partial

import keras
import numpy as np
import torch
from _compare import interleaved, published, table
from _torch_networks import FrozenBody, LanguageModel, Training, resnet50

from keras_fast import (
    cache_features,
    layer_multipliers,
    predict_tta,
    split_head,
    unfreeze,
)
from keras_fast.callbacks import OneCycle
from keras_fast.inference import flips
from keras_fast.models import image_classifier, language_model
from keras_fast.optimizers import DiscriminativeOptimizer

SMALL = "--small" in sys.argv[1:]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = {
    "float32": None,
    "mixed_float16": torch.float16,
    "mixed_bfloat16": torch.bfloat16,
}
IMAGES, BATCH, SIZE = (4, 2, 32) if SMALL else (1280, 64, 224)
REPEATS = 1 if SMALL else 5
CLASSES = 10
HALF = "mixed_bfloat16"
MIRRORED = [(), (-1,), (-2,), (-1, -2)]
TEXTS, LENGTH, WORDS = (2, 8, 50) if SMALL else (64 * 20, 72, 8000)
WIDTHS = {"embedding_size": 400, "units": 1152, "num_layers": 3}
if SMALL:
    WIDTHS = {"embedding_size": 8, "units": 16, "num_layers": 2}

# As JAX does by default in what is called float32.
torch.backends.cuda.matmul.allow_tf32 = True
torch.backends.cudnn.allow_tf32 = True
torch.backends.cudnn.benchmark = True
# Its kernels on CPUs have no LSTM in float16.
torch.backends.mkldnn.enabled = DEVICE == "cuda"


def pinned(array):
    tensor = torch.from_numpy(array)
    return tensor.pin_memory() if DEVICE == "cuda" else tensor


def images():
    """For Keras, and for PyTorch: channels first, stored channels last."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (IMAGES, SIZE, SIZE, 3)).astype("float32")
    y = np.arange(IMAGES) % CLASSES
    return (x, y), (pinned(x).permute(0, 3, 1, 2), pinned(y))


def classifier(trainable=True):
    model = image_classifier(
        "ResNet50", CLASSES, input_shape=(SIZE, SIZE, 3), weights=None
    )
    if trainable:
        unfreeze(model)
    return model


def compiled(model, groups=False):
    optimizer = keras.optimizers.Adam(1e-3)
    if groups:
        multipliers = layer_multipliers(model, [1e-5, 1e-4, 1e-3])
        optimizer = DiscriminativeOptimizer(optimizer, multipliers)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def measured(names, functions, number, of="images"):
    """A row for each: how many a second, and times the last one's."""
    seconds = interleaved(functions, REPEATS, 2, time.perf_counter)
    a_second = number / np.median(seconds, axis=0)
    times = np.median(seconds[:, [-1]] / seconds, axis=0)
    return [
        (name, f"{pace:,.0f} {of} / s", f"{share:.2f}")
        for name, pace, share in zip(names, a_second, times, strict=True)
    ]


def training():
    """Epochs of a whole ResNet50."""
    (x, y), pair = images()
    names = ["`fit()`", "with 1cycle", "with 1cycle and rates for groups"]
    rows = []
    for policy, dtype in DTYPES.items():
        keras.config.set_dtype_policy(policy)
        fit = {"batch_size": BATCH, "verbose": 0}
        epochs = [
            partial(compiled(classifier()).fit, x, y, **fit),
            *(
                partial(
                    compiled(classifier(), groups).fit,
                    x,
                    y,
                    callbacks=[OneCycle(1e-3)],
                    **fit,
                )
                for groups in (False, True)
            ),
        ]
        theirs = Training(
            torch.nn.Sequential(*resnet50(CLASSES)), dtype, DEVICE
        )
        epochs.append(partial(theirs.epoch, *pair, BATCH))
        found = measured([*names, "plain PyTorch"], epochs, IMAGES)
        rows += [(policy, *row) for row in found]
    return table(["precision", "training", "speed", "/ PyTorch"], rows)


def features():
    """Epochs of a head: with its frozen body, and on what that computed."""
    (x, y), (their_x, their_y) = images()
    keras.config.set_dtype_policy(HALF)
    body, head = split_head(compiled(classifier(trainable=False)))
    their_body, their_head = resnet50(CLASSES)
    computing = Training(their_body, DTYPES[HALF], DEVICE)
    fit = {"batch_size": BATCH, "verbose": 0}
    with tempfile.TemporaryDirectory() as folder:
        cache = cache_features(
            body, x, y, directory=folder, batch_size=BATCH, key="random"
        )
        kept = pinned(computing.outputs(their_x, BATCH).numpy())
        frozen = FrozenBody(*resnet50(CLASSES))
        pairs = {
            "frozen body and head": (
                partial(compiled(classifier(trainable=False)).fit, x, y, **fit),
                partial(
                    Training(frozen, DTYPES[HALF], DEVICE).epoch,
                    their_x,
                    their_y,
                    BATCH,
                ),
            ),
            "the features alone": (
                partial(body.predict, x, **fit),
                partial(computing.outputs, their_x, BATCH),
            ),
            "the head on cached features": (
                partial(compiled(head).fit, cache.dataset(BATCH), verbose=0),
                partial(
                    Training(their_head, DTYPES[HALF], DEVICE).epoch,
                    kept,
                    their_y,
                    BATCH,
                ),
            ),
        }
        rows = [
            (name, *row)
            for name, functions in pairs.items()
            for row in measured(["Keras", "plain PyTorch"], functions, IMAGES)
        ]
    return table(["an epoch of", HALF, "speed", "/ PyTorch"], rows)


def tta():
    """Predictions, plain and the mean over mirrored images."""
    (x, _), (their_x, _) = images()
    keras.config.set_dtype_policy(HALF)
    model = classifier()
    theirs = Training(
        torch.nn.Sequential(*resnet50(CLASSES)), DTYPES[HALF], DEVICE
    )
    sides = [lambda x, axes=axes: x.flip(axes) for axes in MIRRORED]
    fit = {"batch_size": BATCH, "verbose": 0}
    plain = measured(
        ["`predict()`", "plain PyTorch"],
        [
            partial(model.predict, x, **fit),
            partial(theirs.outputs, their_x, BATCH),
        ],
        IMAGES,
    )
    views = measured(
        ["`predict_tta`, 4 views", "plain PyTorch, 4 views"],
        [
            partial(predict_tta, model, x, flips(vertical=True), **fit),
            partial(theirs.outputs, their_x, BATCH, sides),
        ],
        IMAGES,
    )
    return table([HALF, "speed", "/ PyTorch"], [*plain, *views])


def text():
    """Epochs of a language model."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, WORDS, (TEXTS, LENGTH + 1))
    x, y = ids[:, :-1].astype("int32"), ids[:, 1:].astype("int32")
    pair = pinned(x), pinned(y.astype("int64"))
    rows = []
    for policy, dtype in DTYPES.items():
        keras.config.set_dtype_policy(policy)
        model = language_model(WORDS, **WIDTHS)
        model.compile(
            keras.optimizers.Adam(epsilon=1e-8),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        theirs = Training(LanguageModel(WORDS, *WIDTHS.values()), dtype, DEVICE)
        epochs = [
            partial(model.fit, x, y, batch_size=BATCH, verbose=0),
            partial(theirs.epoch, *pair, BATCH),
        ]
        names = ["`language_model`", "plain PyTorch, without weight drop"]
        found = measured(names, epochs, TEXTS * LENGTH, of="tokens")
        rows += [(policy, *row) for row in found]
    return table(["precision", "training", "speed", "/ PyTorch"], rows)


def versions():
    backend = keras.backend.backend()
    module = sys.modules[backend]
    gpu = torch.cuda.get_device_name() if DEVICE == "cuda" else "no GPU"
    return (
        f"Keras {keras.__version__} on {backend} {module.__version__}, PyTorch "
        f"{torch.__version__}; {gpu}."
    )


PARTS = {f.__name__: f for f in (training, features, tta, text)}


def main():
    named = [word for word in sys.argv[1:] if not word.startswith("--")]
    if DEVICE == "cpu" and not SMALL:
        raise SystemExit("There is no GPU. Try the script out with --small.")
    if SMALL and "--write" in sys.argv[1:]:
        raise SystemExit("The figures of --small mean nothing.")
    for name in named or PARTS:
        published(f"gpu_{name}", f"{PARTS[name]()}\n\n{versions()}")


if __name__ == "__main__":
    main()
