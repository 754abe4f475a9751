"""keras_fast on handwritten digits, in about a minute.

1. `lr_find` sweeps the learning rate and suggests one.
2. The same small CNN is trained from the same start in several ways: with a
   constant learning rate, with warm restarts and with 1cycle.
3. A table says how well each did, and three pictures in `demo/` show why.

The digits come with scikit-learn; nothing is downloaded.
"""

import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_digits

import keras_fast
from keras_fast.callbacks import SGDR, OneCycle, Recorder
from keras_fast.plots import plot_losses

mpl.use("Agg")
from matplotlib import pyplot as plt

FOLDER = Path("demo")
SEED = 0
BATCH_SIZE = 32
# The colours of `plot_losses`: each way of training keeps its own.
STYLES = {
    "1cycle": {"color": "#0072b2"},
    "constant": {"color": "#d55e00"},
    "SGDR": {"color": "#009e73", "linestyle": "--"},
}


def load_data():
    """Images (n, 32, 32, 1) from 0 to 1, a fifth of them for the test."""
    digits = load_digits()
    x = (digits.images / 16).astype("float32")[..., None]
    x = x.repeat(4, axis=1).repeat(4, axis=2)
    p = np.random.default_rng(0).permutation(len(x))
    test, train = p[: len(x) // 5], p[len(x) // 5 :]
    return x[train], digits.target[train], x[test], digits.target[test]


def build_model():
    """A small CNN, from the same start each time, compiled the usual way."""
    keras.utils.set_random_seed(SEED)
    model = keras.Sequential([keras.Input((32, 32, 1))])
    for filters in (16, 32, 64):
        model.add(keras.layers.Conv2D(filters, 3, padding="same"))
        model.add(keras.layers.ReLU())
        model.add(keras.layers.MaxPooling2D())
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dropout(0.3))
    model.add(keras.layers.Dense(10, activation="softmax"))
    model.compile(
        keras.optimizers.Adam(learning_rate=1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def train(data, epochs, scheduler=None):
    """Train a new model and return its test accuracy, seconds and record."""
    x_train, y_train, x_test, y_test = data
    model, recorder = build_model(), Recorder()
    start = time.perf_counter()
    model.fit(
        x_train,
        y_train,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[*([scheduler] if scheduler else []), recorder],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    return accuracy, seconds, recorder


def draw_schedules(recorders):
    """What each update used, as it was recorded during the training."""
    _, axes = plt.subplots(2, figsize=(7, 5), sharex=True, layout="constrained")
    for name, recorder in recorders.items():
        style = {"label": name, "lw": 2, **STYLES[name]}
        axes[0].plot(recorder.learning_rates, **style)
        axes[1].plot(recorder.momentums, **style)
    axes[0].set_ylabel("learning rate")
    axes[1].set_ylabel("momentum (beta_1)")
    axes[1].set_xlabel("update")
    axes[0].set_title("What each update used")
    axes[0].legend(loc="upper right", framealpha=0.9)
    for ax in axes:
        ax.grid(alpha=0.25)
    return axes[0]


def save(ax, name):
    path = FOLDER / name
    ax.figure.savefig(path, dpi=90)
    plt.close(ax.figure)
    print(f"  {path.resolve()}")


def main():
    FOLDER.mkdir(exist_ok=True)
    data = load_data()
    print(f"{len(data[0])} digits to train on, {len(data[2])} for the test\n")

    # 1. Which learning rate?
    start = time.perf_counter()
    found = keras_fast.lr_find(
        build_model(), data[0], data[1], batch_size=BATCH_SIZE
    )
    rate = found.suggestion
    seconds = time.perf_counter() - start
    print(f"lr_find suggests {rate:.1e} after {seconds:.1f} s\n")

    # 2. What does each way of training make of it?
    long = SGDR.num_epochs(3, cycle_len=1, cycle_mult=2)
    short = 5
    restarts = SGDR(rate, cycle_len=1, cycle_mult=2)
    runs = (
        ("1cycle", rate, short, OneCycle(rate)),
        ("constant", 1e-3, long, None),
        ("SGDR", rate, long, restarts),
        ("1cycle", rate, long, OneCycle(rate)),
    )
    print("name      learning rate  accuracy  epochs  seconds")
    recorders = {}
    for name, learning_rate, epochs, scheduler in runs:
        accuracy, seconds, recorders[name] = train(data, epochs, scheduler)
        print(
            f"{name:<8}  {learning_rate:>13.1e}  {accuracy:>8.4f}"
            f"  {epochs:>6}  {seconds:>7.1f}"
        )

    # 3. What happened? `recorders` has the long run of each name.
    print("\nPictures:")
    ax = found.plot()
    ax.set_title("lr_find: one sweep, and the rates that it suggests")
    save(ax, "lr_find.png")
    save(draw_schedules(recorders), "schedule.png")
    losses = {name: recorder.losses for name, recorder in recorders.items()}
    ax = plot_losses(losses, smoothing=0.9)
    ax.set_yscale("log")
    ax.set_title("Training loss: each update, and smoothed")
    save(ax, "loss.png")


if __name__ == "__main__":
    main()
