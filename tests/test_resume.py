"""Does a run that was saved and loaded go on as if it had not stopped?

An epoch has one batch, so that every update is a place to stop at.
"""

from functools import cache, partial

import keras
import numpy as np
import pytest
from helpers import adam, data, fit, mlp, put, sgd, state

from keras_fast.callbacks import SGDR, OneCycle, ParamScheduler, Recorder
from keras_fast.optimizers import DiscriminativeOptimizer
from keras_fast.schedules import cosine

EPOCHS = 60


def in_groups():
    return DiscriminativeOptimizer(adam(), [0.1, 0.1, 1.0, 1.0])


RUNS = {
    "OneCycle": (adam, lambda: OneCycle(0.05)),
    "SGDR": (sgd, lambda: SGDR(0.05, cycle_len=4, cycle_mult=2)),
    "cosine": (
        sgd,
        lambda: ParamScheduler(
            learning_rate=partial(cosine, start=0.05, end=0.0),
            momentum=partial(cosine, start=0.5, end=0.99),
        ),
    ),
    "groups": (in_groups, lambda: OneCycle(0.05)),
}


class Stop(keras.callbacks.Callback):
    def __init__(self, epochs):
        super().__init__()
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.epochs:
            self.model.stop_training = True


# One model trains all first parts of a run: it is traced once.
@cache
def first(name):
    model = mlp(RUNS[name][0]())
    return model, state(model)


def train(model, name, *more, **arguments):
    recorder = Recorder()
    schedule = RUNS[name][1]()
    x, y = data(1)
    fit(model, x, y, schedule, recorder, *more, epochs=EPOCHS, **arguments)
    return np.array(
        [recorder.learning_rates, recorder.momentums, recorder.losses]
    )


@cache
def uninterrupted(name):
    model, start = first(name)
    put(model, start)
    return train(model, name), state(model)


def assert_goes_on(name, epoch, path):
    recorded, end = uninterrupted(name)
    assert len(set(recorded[0])) > EPOCHS / 2
    model, start = first(name)
    put(model, start)
    before = train(model, name, Stop(epoch))
    model.save(path)
    loaded = keras.saving.load_model(path)
    after = train(loaded, name, initial_epoch=epoch)
    np.testing.assert_array_equal(np.hstack([before, after]), recorded)
    for got, wanted in zip(state(loaded), end, strict=True):
        np.testing.assert_array_equal(got, wanted)


# After the first update, at the peak of 1cycle and between two cycles of SGDR.
@pytest.mark.parametrize("epoch", [1, 15, 28])
@pytest.mark.parametrize("name", RUNS)
@pytest.mark.matrix(3)
def test_bit_for_bit(name, epoch, tmp_path):
    assert_goes_on(name, epoch, tmp_path / "model.keras")


@pytest.mark.stress
@pytest.mark.parametrize("epoch", range(1, EPOCHS))
@pytest.mark.parametrize("name", RUNS)
def test_bit_for_bit_from_every_update(name, epoch, tmp_path):
    assert_goes_on(name, epoch, tmp_path / "model.keras")
