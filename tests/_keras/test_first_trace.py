"""Is a step traced once, and all else as if it had been traced twice?"""

import keras
import numpy as np
import pytest
from helpers import adam, data, fit, state

import keras_fast
from keras_fast.callbacks import OneCycle, Recorder
from keras_fast.optimizers import DiscriminativeOptimizer

pytestmark = pytest.mark.tensorflow_only


class Counted(keras.Model):
    """Counts how often its step is traced."""

    traces = 0

    def train_step(self, data):
        self.traces += 1
        return super().train_step(data)


def network(optimizer, **arguments):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(5)(inputs))
    model = Counted(inputs, keras.layers.Dense(1)(hidden))
    arguments = {"metrics": ["mae"], **arguments}
    model.compile(optimizer, "mse", **arguments)
    return model


def grouped(model):
    multipliers = [0.1] * 2 + [1.0] * 2
    model.compile(DiscriminativeOptimizer(adam(), multipliers), "mse")
    return model


def names(optimizer):
    return sorted(variable.path for variable in optimizer.variables)


@pytest.mark.parametrize(
    "callback", [lambda: OneCycle(0.01), Recorder], ids=["OneCycle", "Recorder"]
)
def test_a_step_is_traced_once(callback):
    model = network(adam())
    fit(model, *data(), callback())
    assert model.traces == 1
    fit(model, *data())
    assert model.traces == 1


def test_keras_alone_traces_it_twice():
    # Once this fails, `first_trace.py` can go.
    model = network(adam())
    fit(model, *data())
    assert model.traces == 2


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    "optimizer",
    [
        adam,
        lambda: adam(gradient_accumulation_steps=2, use_ema=True),
        lambda: keras.optimizers.LossScaleOptimizer(adam()),
    ],
    ids=["adam", "accumulating", "scaled"],
)
def test_it_trains_as_with_keras_alone(optimizer, jit_compile):
    keras.backend.clear_session()  # it counts names
    plain = network(optimizer(), jit_compile=jit_compile)
    fit(plain, *data())
    keras.backend.clear_session()
    model = network(optimizer(), jit_compile=jit_compile)
    fit(model, *data(), Recorder())
    np.testing.assert_equal(state(model)[: len(state(plain))], state(plain))
    assert set(names(plain.optimizer)) <= set(names(model.optimizer))
    assert model.metrics_names == plain.metrics_names


def test_groups_of_rates():
    model = grouped(network(adam()))
    fit(model, *data(), Recorder())
    assert model.traces == 1


def test_a_model_that_its_first_step_builds():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.layers.Dense(5), keras.layers.Dense(1)])
    model.compile(adam(), "mse", metrics=["mae"])
    fit(model, *data(), Recorder())
    slots = [v for v in model.optimizer.variables if "velocity" in v.path]
    assert [s.shape for s in slots] == [v.shape for v in model.weights]


def test_a_step_of_ones_own_chooses_the_variables():
    class Last(keras.Model):
        def train_step(self, data):
            x, y = data
            import tensorflow as tf

            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            last = self.layers[-1].trainable_variables
            gradients = tape.gradient(loss, last)
            self.optimizer.apply(gradients, last)
            return self.compute_metrics(x, y, self(x))

    inputs = keras.Input((4,))
    layers = keras.layers
    model = Last(inputs, layers.Dense(1)(layers.Dense(5)(inputs)))
    model.compile(adam(), "mse", metrics=["mae"])
    history = fit(model, *data(), OneCycle(0.01)).history
    slots = [v for v in model.optimizer.variables if "velocity" in v.path]
    assert [s.shape for s in slots] == [(5, 1), (1,)]
    assert "mae" in history


def test_nothing_is_left_behind_even_by_a_step_that_fails():
    def loss(y, y_pred):
        raise RuntimeError("not today")

    model = network(adam())
    model.compile(adam(), loss, metrics=["mae"])
    with pytest.raises(RuntimeError, match="not today"):
        fit(model, *data(), Recorder())
    parts = model.optimizer, model._compile_metrics
    assert not any("build" in vars(part) for part in parts)
    model.compile(adam(), "mse", metrics=["mae"])
    fit(model, *data(), Recorder())
    assert not any("build" in vars(part) for part in parts)


def test_recipes_trace_each_part_once():
    base = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3)])
    model = keras_fast.models.image_classifier(base, 2, input_shape=(8, 8, 3))
    model.compile(adam(), "sparse_categorical_crossentropy")
    traced = []
    plain = keras.Model.train_step

    def counted(self, data):
        traced.append(self.name)
        return plain(self, data)

    keras.Model.train_step = counted
    try:
        x, y = np.zeros((8, 8, 8, 3), "float32"), np.arange(8) % 2
        keras_fast.fine_tune(model, x, y, epochs=1, verbose=0)
    finally:
        keras.Model.train_step = plain
    assert len(traced) == len(set(traced)) == 2
