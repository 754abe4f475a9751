"""A model becomes ONNX after all that is done to it; `make test-extras`."""

import keras
import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")

from onnx.reference import ReferenceEvaluator

import keras_fast
from keras_fast import callbacks

# Long, and only where the library is installed.
pytestmark = [
    pytest.mark.stress,
    pytest.mark.filterwarnings("ignore:In the future `np.object`"),
]

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = np.arange(16) % 2


def cycle(model):
    model.fit(X, Y, verbose=0, callbacks=[callbacks.OneCycle(0.01)])


def found(model):
    keras_fast.lr_find(model, X, Y, num_steps=6)


def frozen(model):
    cycle(model)
    keras_fast.freeze(model)
    cycle(model)
    keras_fast.unfreeze(model)


def fine_tuned(model):
    keras_fast.fine_tune(model, X, Y, epochs=1, head_epochs=1, verbose=0)


@pytest.mark.parametrize("done", [cycle, found, frozen, fine_tuned])
def test_onnx(done, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    done(model)
    path = tmp_path / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    session = ReferenceEvaluator(str(path))
    (outputs,) = session.run(None, {session.input_names[0]: X})
    np.testing.assert_allclose(outputs, model.predict(X, verbose=0), atol=1e-5)
