"""Does a deep, plain network learn at all, from which start?

    python benchmarks/lsuv.py [--write]

19 convolutions without normalization or shortcuts and a dense layer, on the
digits of scikit-learn, 5 epochs of Adam at its default rate: accuracy on 360
digits with the weights of Glorot, of He, and scaled with `lsuv_init`. And what
`loss_landscape` takes for 21 x 21 points on 256 samples of this network with
half of the filters.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import time

import keras
import numpy as np
from sklearn.datasets import load_digits

import keras_fast

LAYERS, FILTERS, EPOCHS, SEEDS = 19, 32, 5, 3
GOALS = {"relu": 0.90, "gelu": 0.87}
layers = keras.layers


def digits():
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    x = data.images[order][..., None].astype("float32") / 8 - 1
    y = data.target[order].astype("int32")
    return x[360:], y[360:], x[:360], y[:360]


def network(activation, initializer, filters=FILTERS):
    def convolution():
        return layers.Conv2D(
            filters,
            3,
            padding="same",
            activation=activation,
            kernel_initializer=initializer,
        )

    half = LAYERS // 2
    first = [convolution() for _ in range(half)]
    rest = [convolution() for _ in range(LAYERS - half)]
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            *first,
            layers.MaxPooling2D(),
            *rest,
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def accuracy(activation, start, seed, data):
    x, y, x_test, y_test = data
    keras.utils.set_random_seed(seed)
    model = network(
        activation, "he_normal" if start == "He" else "glorot_uniform"
    )
    if start == "`lsuv_init`":
        keras_fast.lsuv_init(model, x)
    model.fit(x, y, epochs=EPOCHS, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


def main():
    data = digits()
    rows = []
    for activation, goal in GOALS.items():
        for start in ("Glorot", "He", "`lsuv_init`"):
            found = []
            for seed in range(SEEDS):
                keras.backend.clear_session()
                found.append(accuracy(activation, start, seed, data))
            ours = start == "`lsuv_init`"
            met = "met" if min(found) >= goal else "missed"
            each = ", ".join(f"{value:.2f}" for value in found)
            goal_of = f"{met} (each ≥ {goal:.2f})" if ours else ""
            rows.append([activation, start, each, goal_of])
            print(rows[-1], flush=True)
    model = network("relu", "he_normal", FILTERS // 2)
    begin = time.process_time()
    keras_fast.inference.loss_landscape(model, data[0][:256], data[1][:256])
    seconds = time.process_time() - begin
    met = "met" if seconds <= 10 else "missed"
    head = ["activation", "start", "accuracy, three seeds", "goal"]
    text = f"Landscape: {seconds:.1f} CPU s, {met} (≤ 10)."
    measure.report("lsuv", f"{measure.table(head, rows)}\n\n{text}")


if __name__ == "__main__":
    main()
