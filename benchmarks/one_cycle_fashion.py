"""Does 1cycle gain more in three epochs than other ways to let a rate fall?

A CNN of three convolutions on 20,000 images of Fashion-MNIST, batches of
128, SGD with momentum 0.9. Four schedules, each with every maximum rate of the
same grid. Each schedule is then judged at the rate that has the best mean
accuracy on 10,000 other training images; on the test images only there.

The data comes in a Debian package, `apt-get install dataset-fashion-mnist`.

    python benchmarks/one_cycle_fashion.py [folder] [--write]
"""

import gzip
import sys
from pathlib import Path

import _measure as measure
import keras
import numpy as np

from keras_fast import schedules
from keras_fast.callbacks import OneCycle, ParamScheduler

FOLDER = Path("/usr/share/datasets/fashion-mnist")
RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
SEEDS = range(3)
EPOCHS = 3
BATCH_SIZE = 128
TRAINED = 20_000
JUDGED = 10_000


def read(folder, part):
    """Images (n, 28, 28, 1) from 0 to 1, and classes (n,)."""
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        classes = np.frombuffer(file.read(), np.uint8, offset=8)
    return pixels.reshape(-1, 28, 28, 1).astype("float32") / 255, classes


def load_data(folder):
    x, y = read(folder, "train")
    p = np.random.default_rng(0).permutation(len(x))
    train, judge = np.split(p[: TRAINED + JUDGED], [TRAINED])
    return (x[train], y[train]), (x[judge], y[judge]), read(folder, "t10k")


def build_model():
    model = keras.Sequential([keras.Input((28, 28, 1))])
    for filters in (16, 32, 64):
        model.add(keras.layers.Conv2D(filters, 3, 2, "same", use_bias=False))
        model.add(keras.layers.BatchNormalization(momentum=0.9))
        model.add(keras.layers.ReLU())
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(10))
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.optimizer.build(model.trainable_variables)
    return model


def steps(progress, highest):
    """A tenth of the rate after each third."""
    return highest * 0.1 ** min(int(3 * progress), 2)


def scheduled(schedule):
    return lambda rate: ParamScheduler(
        learning_rate=lambda progress: schedule(progress, rate)
    )


WAYS = {
    "constant": scheduled(lambda progress, rate: rate),
    "step decay": scheduled(steps),
    "cosine decay": scheduled(
        lambda progress, rate: schedules.cosine(progress, rate, 0.0)
    ),
    "1cycle": OneCycle,
}


def start_anew(model, seed):
    """Weights of this seed and a new optimizer state; nothing is traced."""
    keras.utils.set_random_seed(seed)
    model.set_weights(keras.models.clone_model(model).get_weights())
    for variable in model.optimizer.variables:
        if variable is not model.optimizer.learning_rate:
            variable.assign(keras.ops.zeros_like(variable))


def accuracies(model, data, schedule, seed):
    """On the images to choose by, and on those for the test."""
    train, *others = data
    start_anew(model, seed)
    model.fit(
        *train,
        batch_size=BATCH_SIZE,
        epochs=EPOCHS,
        callbacks=[schedule],
        verbose=0,
    )
    return [model.evaluate(*x, batch_size=500, verbose=0)[1] for x in others]


def shown(values):
    return f"{np.mean(values):.4f} ({np.std(values, ddof=1):.4f})"


def main():
    folders = [word for word in sys.argv[1:] if not word.startswith("--")]
    data = load_data(Path(*folders) if folders else FOLDER)
    model = build_model()
    rows = []
    for name, way in WAYS.items():
        reached = np.array(
            [
                [accuracies(model, data, way(rate), seed) for seed in SEEDS]
                for rate in RATES
            ]
        )  # rates, seeds, validation and test
        best = int(reached[:, :, 0].mean(axis=1).argmax())
        validated = [shown(values) for values in reached[:, :, 0]]
        rows.append([name, *validated, RATES[best], shown(reached[best, :, 1])])
        print(rows[-1], flush=True)
    head = ["schedule", *RATES, "best", "test at the best"]
    measure.report("one_cycle_fashion", measure.table(head, rows))


if __name__ == "__main__":
    main()
