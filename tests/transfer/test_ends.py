"""Which end is found, and whether taking it off leaves the scores."""

import keras
import numpy as np
import pytest
from helpers import BACKEND

from keras_fast.transfer.ends import end

layers, ops = keras.layers, keras.ops
INPUTS = keras.Input((4,))
X = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")


def dense(activation=None, units=3, **kwargs):
    return layers.Dense(units, activation, **kwargs)(INPUTS)


def nested(*parts):
    return keras.Sequential([keras.Input((4,)), *parts])(INPUTS)


def half(activation=None):
    return dense(activation, dtype="mixed_float16")


def logistic(x):
    return 1 / (1 + ops.exp(-x))


LOGS = {
    "log_softmax": ("softmax", lambda: dense("log_softmax")),
    "log_softmax, an operation": ("softmax", lambda: ops.log_softmax(dense())),
    "log_sigmoid": ("sigmoid", lambda: dense("log_sigmoid", 1)),
}
FOUND = {
    **LOGS,
    "a name": ("softmax", lambda: dense("softmax")),
    "a function of keras.ops": ("softmax", lambda: dense(ops.softmax)),
    "a function of one's own": ("sigmoid", lambda: dense(logistic)),
    "an operation": ("softmax", lambda: ops.softmax(dense())),
    "one with arguments": ("softmax", lambda: ops.softmax(dense(), axis=1)),
    "a layer": ("softmax", lambda: layers.Softmax()(dense())),
    "a temperature": ("softmax", lambda: ops.softmax(dense() / 2)),
    "a Lambda": ("sigmoid", lambda: layers.Lambda(logistic)(dense())),
    "float32 of float16": (
        "softmax",
        lambda: layers.Activation("softmax", dtype="float32")(half()),
    ),
    "then float32": (
        "softmax",
        lambda: layers.Activation("linear", dtype="float32")(half("softmax")),
    ),
    "then squeezed": (
        "sigmoid",
        lambda: ops.squeeze(dense("sigmoid", 1), axis=-1),
    ),
    "then dropout": (
        "softmax",
        lambda: layers.Dropout(0.5)(dense("softmax")),
    ),
    "in a nested model": (
        "softmax",
        lambda: nested(layers.Dense(4), layers.Dense(3, "softmax")),
    ),
    "of each pixel": (
        "softmax",
        lambda: layers.Conv2D(3, 1, activation="softmax")(
            layers.Reshape((2, 2, 1))(INPUTS)
        ),
    ),
}
if BACKEND == "tensorflow":
    import tensorflow as tf

    FOUND["a function of TensorFlow"] = (
        "softmax",
        lambda: dense(tf.nn.softmax),
    )


@pytest.mark.parametrize("case", FOUND)
def test_it_is_found_and_comes_off(case):
    link, outputs = FOUND[case]
    model = keras.Model(INPUTS, outputs())
    found = end(model)
    assert found is not None
    assert (found.link, found.logs) == (link, case in LOGS)
    outputs = ops.convert_to_numpy(model(X)).astype(float)
    shares = np.exp(outputs) if found.logs else outputs
    with found.off():
        scores = ops.convert_to_numpy(model(X)).astype(float)
    if link == "softmax":
        powers = np.exp(scores)
        expected = powers / powers.sum(axis=-1, keepdims=True)
    else:
        expected = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(shares, expected, atol=2e-3)
    assert np.abs(scores - shares).max() > 0.1
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(X)).astype(float), outputs
    )


class Scaled(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return x * self.scale


OTHERS = {
    "nothing": dense,
    "tanh": lambda: dense("tanh"),
    "hard_sigmoid": lambda: dense("hard_sigmoid"),
    "a range": lambda: dense("sigmoid") * 5,
    "within a recurrent layer": lambda: layers.LSTM(3, activation="sigmoid")(
        layers.Reshape((2, 2))(INPUTS)
    ),
    "a mean": lambda: layers.Average()([dense("softmax"), dense("softmax")]),
    "trained further": lambda: Scaled()(dense("softmax")),
    "over another axis": lambda: layers.Softmax(axis=1)(
        layers.Reshape((2, 2))(INPUTS)
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_no_such_end(case):
    assert end(keras.Model(INPUTS, OTHERS[case]())) is None


def test_no_graph_and_several_outputs():
    class Subclassed(keras.Model):
        def call(self, x):
            return ops.softmax(x)

    model = Subclassed()
    model(X)
    assert end(model) is None
    assert end(keras.Model(INPUTS, [dense("softmax"), dense()])) is None


def test_an_end_that_is_sure_is_still_told():
    model = keras.Model(INPUTS, dense(ops.softmax))
    model.layers[-1].kernel.assign(1e3 * model.layers[-1].kernel)
    assert end(model).link == "softmax"
