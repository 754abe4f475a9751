"""Does everything work together under mixed precision?

What each part computes is compared elsewhere; here a classifier goes the whole
way from a sweep to a file.
"""

import keras
import numpy as np
import pytest

from keras_fast import (
    freeze,
    layer_groups,
    layer_multipliers,
    lr_find,
    training_plan,
    unfreeze,
)
from keras_fast.callbacks import SGDR, OneCycle, Recorder
from keras_fast.models import image_classifier
from keras_fast.optimizers import DiscriminativeOptimizer

RATES = slice(1e-4, 1e-2)


@pytest.fixture(params=["mixed_float16", "mixed_bfloat16"])
def policy(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


def data():
    """Bright and dark images, 32 of 12x12."""
    rng = np.random.default_rng(0)
    y = np.arange(32) % 2
    x = rng.uniform(0, 120, (32, 12, 12, 3)) + 120 * y[:, None, None, None]
    return x.astype("float32"), y


def classifier():
    backbone = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3, strides=2, use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Conv2D(4, 3, activation="relu"),
        ]
    )
    return image_classifier(
        backbone, 2, input_shape=(12, 12, 3), head_units=8, dropout=0.2
    )


def kind(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def fit(model, callback, epochs=2):
    recorder = Recorder()
    history = model.fit(
        *data(),
        batch_size=8,
        epochs=epochs,
        callbacks=[callback, recorder],
        verbose=0,
    )
    assert len(recorder.losses) == 4 * epochs
    assert np.isfinite(recorder.losses).all()
    assert np.isfinite(history.history["loss"]).all()
    return recorder


@pytest.mark.matrix(1)
def test_the_whole_way(policy, tmp_path):
    x, y = data()
    model = classifier()
    model.compile(
        DiscriminativeOptimizer(
            keras.optimizers.Adam(1e-2), layer_multipliers(model, RATES)
        ),
        "sparse_categorical_crossentropy",
    )
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    body = [layer for group in layer_groups(model)[:-1] for layer in group]

    before = [np.array(v.numpy()) for v in model.variables]
    found = lr_find(model, x, y, batch_size=8, num_steps=12)
    assert np.isfinite(found.losses).all()
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)

    recorder = fit(model, OneCycle(1e-2))
    np.testing.assert_allclose(
        recorder.learning_rates, OneCycle(1e-2).curve(8)["learning_rate"]
    )
    frozen = [np.array(w) for layer in body for w in layer.get_weights()]
    for value, start in zip(frozen, model.layers[1].weights, strict=True):
        np.testing.assert_array_equal(value, start.numpy())

    unfreeze(model)
    assert "frozen" not in str(training_plan(model))
    fit(model, SGDR(1e-2, cycle_len=1))
    moved = [w for layer in body for w in layer.get_weights()]
    assert any(map(lambda a, b: np.any(a != b), moved, frozen))
    freeze(model)
    fit(model, SGDR(1e-2), epochs=1)
    kept = [w for layer in body for w in layer.get_weights()]
    for value, start in zip(kept, moved, strict=True):
        np.testing.assert_array_equal(value, start)

    scores = model(x)
    assert kind(scores) == "float32"
    assert {kind(v) for v in model.weights} == {"float32"}
    assert kind(model.layers[1].outputs[0]) == policy.removeprefix("mixed_")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(again(x)), keras.ops.convert_to_numpy(scores)
    )
    assert np.isfinite(again.train_on_batch(x, y))
