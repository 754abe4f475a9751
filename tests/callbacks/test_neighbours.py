"""What is refused beside our callbacks, and what is let be?"""

import keras
import pytest
from helpers import adam, data, digest, fit, mlp, sgd

from keras_fast.callbacks import (
    SGDR,
    CycleStopping,
    LRFinder,
    OneCycle,
    ParamScheduler,
    WeightAveraging,
)

X, Y = data(3)
VALID = {"validation_data": (X[:4], Y[:4])}


class Plateau(keras.callbacks.ReduceLROnPlateau):
    """A user's own."""


def rates(epoch, rate):
    return rate / 2


def momentum(progress):
    return 0.9


def best(**arguments):
    return keras.callbacks.EarlyStopping(restore_best_weights=True, **arguments)


def swap(on_epoch):
    return keras.callbacks.SwapEMAWeights(swap_on_epoch=on_epoch)


def assert_refused(message, *callbacks, optimizer=sgd):
    model = mlp(optimizer())
    before = digest(model)
    with pytest.raises(ValueError) as caught:
        fit(model, X, Y, *callbacks, **VALID)
    assert str(caught.value) == message
    assert digest(model) == before


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("schedule", [OneCycle(0.1), LRFinder(num_steps=6)])
@pytest.mark.parametrize(
    "other",
    [keras.callbacks.LearningRateScheduler(rates), Plateau()],
)
def test_two_who_set_the_learning_rate(other, schedule, first):
    name = type(other).__name__
    assert_refused(
        "The learning rate must be set by one callback: beside a schedule no "
        f"update would use that of {name}. Leave one of them out. Received: "
        f"callbacks with {name}",
        *([other, schedule] if first else [schedule, other]),
    )


def test_a_schedule_of_something_else():
    model = mlp(sgd())
    other = keras.callbacks.LearningRateScheduler(rates)
    fit(model, X, Y, ParamScheduler(momentum=momentum), other, epochs=1)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.025)


START = "One callback must decide which weights training ends with. "
LEAVE = START + "Leave the others out, or pass `restore_best_weights=False`. "
FIRST = (
    START + "Leave the others out, put `SwapEMAWeights(swap_on_epoch=True)` "
    "first, or pass `restore_best_weights=False`. "
)


def with_average():
    return adam(use_ema=True)


@pytest.mark.parametrize(
    ("message", "callbacks", "names"),
    [
        (LEAVE, [WeightAveraging(0), best()], "WeightAveraging,EarlyStopping"),
        (LEAVE, [OneCycle(0.1), best(), best()], "EarlyStopping,EarlyStopping"),
        (
            LEAVE,
            [SGDR(0.1), CycleStopping(), WeightAveraging(0)],
            "CycleStopping,WeightAveraging",
        ),
        (FIRST, [swap(False), best(), OneCycle(0.1)], "EarlyStopping,Swap"),
        (FIRST, [best(), swap(True), OneCycle(0.1)], "EarlyStopping,Swap"),
        (FIRST, [SGDR(0.1), swap(True), CycleStopping()], "CycleStopping,Swap"),
        (FIRST, [swap(False), WeightAveraging(0)], "WeightAveraging,Swap"),
    ],
)
def test_two_who_decide_what_it_ends_with(message, callbacks, names):
    names = names.replace("Swap", "SwapEMAWeights").replace(",", " and ")
    received = f"Received: callbacks with {names}"
    assert_refused(message + received, *callbacks, optimizer=with_average)


@pytest.mark.parametrize("stops", [best, CycleStopping])
def test_averages_that_others_see_are_kept(stops):
    model = mlp(adam(use_ema=True, ema_momentum=0.5))
    callbacks = [swap(True), SGDR(0.2), stops(patience=9)]
    history = fit(model, X, Y, *callbacks, epochs=4, **VALID)
    found = model.evaluate(*VALID["validation_data"], verbose=0)
    assert found == pytest.approx(min(history.history["val_loss"]), rel=1e-5)


def test_one_alone_is_let_be():
    plain = keras.callbacks.EarlyStopping(monitor="loss")
    for callbacks in ([WeightAveraging(0), plain], [OneCycle(0.1), best()]):
        fit(mlp(sgd()), X, Y, *callbacks, **VALID)
