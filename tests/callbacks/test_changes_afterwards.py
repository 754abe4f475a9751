"""Hyperparameters set after a scheduled fit act as in plain Keras."""

import keras
import pytest
from helpers import BACKEND, data, distance, fit, mlp, weights

from keras_fast.callbacks import OneCycle, ParamScheduler


def adamw():
    return keras.optimizers.AdamW(0.01, weight_decay=0.1)


def sgd():
    return keras.optimizers.SGD(0.05, momentum=0.9, weight_decay=0.01)


def rmsprop():
    return keras.optimizers.RMSprop(0.01, momentum=0.9)


def decays(optimizer):
    optimizer.learning_rate = keras.optimizers.schedules.ExponentialDecay(
        0.05, 4, 0.5
    )


def setting(name, value):
    def change(optimizer):
        setattr(optimizer, name, value)

    change.__name__ = f"{name}={value}"
    return change


CHANGES = [
    (adamw, setting("learning_rate", 0.2)),
    (adamw, setting("weight_decay", 0.9)),
    (adamw, setting("weight_decay", None)),
    (adamw, setting("beta_1", 0.2)),
    (adamw, setting("beta_2", 0.5)),
    (adamw, decays),
    (sgd, setting("momentum", 0.2)),
    (sgd, setting("momentum", 0.0)),
    (sgd, setting("weight_decay", None)),
    (sgd, decays),
    (rmsprop, setting("rho", 0.1)),
    (rmsprop, setting("momentum", 0.1)),
]


def constant(optimizer):
    """A schedule that gives what the optimizer has anyway."""
    return ParamScheduler(
        learning_rate=lambda _: float(optimizer.learning_rate.numpy())
    )


def follow_the_same_way(make, steps, *callbacks_of):
    models = [mlp(make(), loss="mae") for _ in range(2)]
    own, plain = models
    callback = constant(own.optimizer)
    fit(own, *data(), callback, epochs=1)
    fit(plain, *data(), epochs=1)
    for model in models:
        steps(model)
    return distance(weights(own), weights(plain))


@pytest.mark.parametrize("recompiled", [False, True])
@pytest.mark.parametrize(("make", "change"), CHANGES)
@pytest.mark.matrix(6)
def test_a_change_acts_as_in_plain_keras(make, change, recompiled):
    def steps(model):
        change(model.optimizer)
        if recompiled:
            model.compile(model.optimizer, "mae", jit_compile=False)
        fit(model, *data(), epochs=1)

    assert follow_the_same_way(make, steps) < 2e-6


@pytest.mark.parametrize(("make", "change"), CHANGES)
@pytest.mark.matrix(3)
def test_a_change_can_be_told_from_none(make, change):
    """What the test above compares does move the weights."""

    def steps(model):
        fit(model, *data(), epochs=1)

    def changed(model):
        change(model.optimizer)
        model.compile(model.optimizer, "mae", run_eagerly=True)
        fit(model, *data(), epochs=1)

    first, second = mlp(make(), loss="mae"), mlp(make(), loss="mae")
    for model, then in (first, steps), (second, changed):
        fit(model, *data(), epochs=1)
        then(model)
    assert distance(weights(first), weights(second)) > 1e-4


def test_a_schedule_is_refused_where_it_was_not_before():
    model = mlp(sgd())
    fit(model, *data(), OneCycle(0.05))
    decays(model.optimizer)
    model.compile(model.optimizer, "mse")
    with pytest.raises(ValueError, match="learning rate must be a number"):
        fit(model, *data(), OneCycle(0.05))


@pytest.mark.parametrize("value", [0.0, 0.9])
def test_momentum_is_scheduled_by_what_it_is_now(value):
    model = mlp(keras.optimizers.SGD(0.05, momentum=0.9 - value))
    if value == 0.9:
        with pytest.raises(ValueError, match="must have a momentum"):
            fit(model, *data(), OneCycle(0.05))
        return
    fit(model, *data(), OneCycle(0.05))
    model.optimizer.momentum = 0.0
    with pytest.raises(ValueError, match="must have a momentum"):
        fit(model, *data(), OneCycle(0.05))


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
def test_a_number_set_before_a_scheduled_fit_counts_in_it():
    model, reference = mlp(adamw()), mlp(adamw())
    fit(model, *data(), constant(model.optimizer), epochs=1)
    fit(reference, *data(), epochs=1)
    for each in model, reference:
        each.optimizer.beta_1 = 0.3
        each.compile(each.optimizer, "mse")
    fit(model, *data(), constant(model.optimizer), epochs=1)
    fit(reference, *data(), epochs=1)
    assert distance(weights(model), weights(reference)) < 2e-6
