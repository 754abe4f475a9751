"""Training by another door: within a callback, after Ctrl-C, by hand."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, adam, data, distance, fit, mlp, sgd, weights

import keras_fast
from keras_fast.callbacks import OneCycle, ParamScheduler, Recorder

BATCHES = 10


class Calls(keras.callbacks.Callback):
    """Calls a function of the model at some events."""

    def __init__(self, function, events):
        super().__init__()
        self.function, self.events = function, events

    def on_epoch_begin(self, epoch, logs=None):
        self.at(f"epoch {epoch} begins")

    def on_epoch_end(self, epoch, logs=None):
        self.epoch = epoch + 1
        self.at(f"epoch {epoch} ends")

    def on_train_batch_end(self, batch, logs=None):
        self.at(f"batch {batch}")

    def at(self, event):
        if event in self.events:
            self.function(self.model)


def train_on_batch(model):
    x, y = data(1)
    model.train_on_batch(x + 1, y)


def nested_fit(model):
    x, y = data(2)
    fit(model, x + 1, y, epochs=1)


def with_schedule(model):
    x, y = data(2)
    fit(model, x + 1, y, OneCycle(0.03), epochs=1)


def find(model):
    keras_fast.lr_find(model, *data(4), batch_size=4, num_steps=12)


def look(model):
    model.evaluate(*data(2), verbose=0)
    model.predict(data(2)[0], verbose=0)
    model.test_on_batch(*data(1))


def other_model(model):
    fit(mlp(sgd()), *data(2), OneCycle(0.1), epochs=1)


class ByHand(keras.callbacks.Callback):
    """Sets the rates of a schedule between batches, in plain Keras."""

    def __init__(self, rates, own):
        super().__init__()
        self.rates, self.own, self.k = rates, own, 0

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.rates[self.k]
        self.k += 1

    def on_train_batch_end(self, batch, logs=None):
        self.model.optimizer.learning_rate = self.own

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = self.own


EVENTS = ("epoch 0 begins", "batch 3", "batch 4", "epoch 0 ends", "batch 9")


@pytest.mark.parametrize(
    "function",
    [train_on_batch, nested_fit, with_schedule, find, look, other_model],
)
@pytest.mark.matrix(2)
def test_another_training_within_a_callback(function):
    def rate(progress):
        return 0.1 * (1 - progress)

    rates = [rate(k / (2 * BATCHES)) for k in range(2 * BATCHES)]
    model, recorder = mlp(sgd()), Recorder()
    fit(
        model,
        *data(BATCHES),
        ParamScheduler(learning_rate=rate),
        Calls(function, EVENTS),
        recorder,
    )
    reference, wanted = mlp(sgd()), Recorder()
    # Recorded in its own run: the first one is to be judged.
    fit(
        reference,
        *data(BATCHES),
        ByHand(rates, 0.05),
        Calls(function, EVENTS),
        wanted,
    )
    assert distance(weights(model), weights(reference)) < 2e-6
    np.testing.assert_allclose(recorder.losses, wanted.losses, rtol=1e-5)
    np.testing.assert_allclose(recorder.learning_rates, rates)
    assert len(recorder.losses) == 2 * BATCHES


class Interrupted(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 3:
            self.model  # noqa: B018  on JAX this brings the variables up to date
            raise KeyboardInterrupt


def interrupted(model):
    with pytest.raises(KeyboardInterrupt):
        fit(model, *data(), OneCycle(0.3), Recorder(), Interrupted())
    return model


def by_hand(model):
    """One step of plain SGD, as `apply` does it."""
    grads = [keras.ops.ones(v.shape) for v in model.trainable_variables]
    model.optimizer.apply(grads, model.trainable_variables)


def test_a_loop_by_hand_after_an_interruption():
    model = interrupted(mlp(keras.optimizers.SGD(0.5, momentum=1e-9)))
    before = weights(model)
    by_hand(model)
    np.testing.assert_allclose(before - weights(model), 0.5, rtol=1e-5)
    np.testing.assert_allclose(
        float(model.optimizer.learning_rate.numpy()), 0.5
    )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a tf.function")
def test_a_compiled_loop_by_hand_after_an_interruption():
    import tensorflow as tf

    model = interrupted(mlp(keras.optimizers.SGD(0.5, momentum=1e-9)))
    before = weights(model)
    step = tf.function(lambda: by_hand(model))
    for _ in range(2):
        step()
    np.testing.assert_allclose(before - weights(model), 1.0, rtol=1e-5)


@pytest.mark.parametrize("door", [nested_fit, train_on_batch])
@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_a_plain_training_after_an_interruption(optimizer, door):
    model = interrupted(mlp(optimizer()))
    reference = mlp(optimizer())
    for variable, value in zip(
        reference.variables, model.get_weights(), strict=True
    ):
        variable.assign(value)
    state = {}
    model.optimizer.save_own_variables(state)
    reference.optimizer.load_own_variables(state)
    for each in model, reference:
        door(each)
    assert distance(weights(model), weights(reference)) == 0


def test_the_same_callback_after_an_interruption():
    model, cycle = mlp(sgd()), OneCycle(0.3)
    with pytest.raises(KeyboardInterrupt):
        fit(model, *data(), cycle, Interrupted())
    again = mlp(sgd())
    for variable, value in zip(
        [*again.variables, *again.optimizer.variables],
        [
            *model.variables,
            *(v for v in model.optimizer.variables if "schedule" not in v.name),
        ],
        strict=True,
    ):
        variable.assign(value.numpy())
    fit(model, *data(), cycle)
    fit(again, *data(), OneCycle(0.3))
    assert distance(weights(model), weights(again)) < 2e-6


class Nested(keras.callbacks.Callback):
    """Trains another model with a callback of this training."""

    def __init__(self, callback):
        super().__init__()
        self.callback = callback

    def on_epoch_end(self, epoch, logs=None):
        fit(mlp(sgd()), *data(2), self.callback, epochs=1)


@pytest.mark.parametrize("make", [lambda: OneCycle(0.1), Recorder])
def test_a_callback_is_in_one_training_at_a_time(make):
    callback, model = make(), mlp(sgd())
    with pytest.raises(
        ValueError, match="must be in one `fit\\(\\)` at a time"
    ):
        fit(model, *data(), callback, Nested(callback))
    reference = mlp(sgd())
    for variable, value in zip(
        model.variables, reference.get_weights(), strict=True
    ):
        variable.assign(value)
    model.compile(sgd(), "mse")
    for each in model, reference:
        fit(each, *data())
    assert distance(weights(model), weights(reference)) < 2e-6


def test_an_interrupted_callback_on_another_model_leaves_the_first():
    cycle, recorder = OneCycle(0.3), Recorder()
    model = mlp(sgd())
    with pytest.raises(KeyboardInterrupt):
        fit(model, *data(), cycle, recorder, Interrupted())
    fit(mlp(sgd()), *data(), cycle, recorder)
    assert len(recorder.losses) == 20
    reference = mlp(sgd())
    for variable, value in zip(
        model.variables, reference.get_weights(), strict=True
    ):
        variable.assign(value)
    model.compile(sgd(), "mse")
    for each in model, reference:
        fit(each, *data())
        fit(each, *data(), OneCycle(0.1))
    assert distance(weights(model), weights(reference)) < 2e-6
