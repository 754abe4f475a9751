"""Is a model that can't be trained so refused, and left as it was?"""

import keras
import pytest
from helpers import data, digest, fit, mlp, sgd

import keras_fast
from keras_fast import callbacks
from keras_fast.optimizers import DiscriminativeOptimizer


class NoStep(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise AssertionError("a training step was made")


def decaying():
    return keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)


SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam
IN_FIT = [
    (SGD, callbacks.OneCycle(0.1), "momentum", "optimizer=SGD"),
    (
        keras.optimizers.Adagrad,
        callbacks.OneCycle(0.1),
        "`momentums=None`",
        "optimizer=Adagrad",
    ),
    (SGD, callbacks.ParamScheduler(beta_2=abs), "`beta_2`", "optimizer=SGD"),
    (
        ADAM,
        callbacks.ParamScheduler(weight_decay=abs),
        "`weight_decay`",
        "optimizer=Adam",
    ),
    (
        lambda: ADAM(decaying()),
        callbacks.SGDR(0.1),
        "learning rate",
        "learning_rate=<",
    ),
    (
        lambda: DiscriminativeOptimizer(ADAM(decaying()), [1.0] * 4),
        callbacks.FlatCosine(0.1),
        "learning rate",
        "learning_rate=<",
    ),
]


@pytest.mark.parametrize(("optimizer", "callback", "name", "received"), IN_FIT)
def test_what_the_optimizer_lacks(optimizer, callback, name, received):
    model = mlp(optimizer())
    before = digest(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(2), callback, NoStep())
    message = str(caught.value)
    assert name in message.partition("Received: ")[0]
    assert received in message.partition("Received: ")[2]
    assert digest(model) == before


@pytest.mark.parametrize("count", [0, 1, 3, 9])
def test_multipliers_of_another_model(count):
    model = mlp(sgd())
    model.compile(DiscriminativeOptimizer(sgd(), [1.0] * count), "mse")
    before = digest(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(2))
    message = str(caught.value)
    assert "`multipliers` must have one number for each variable" in message
    assert f"multipliers={count} numbers for 4 variables" in message
    assert digest(model) == before


def test_model_that_is_not_built():
    model = keras.Sequential(name="unknown")
    for call in (keras_fast.layer_groups, keras_fast.training_plan):
        with pytest.raises(ValueError, match=r"`model`.* model=unknown$"):
            call(model)
