"""Is a training saved before a signal ends it?"""

import contextlib
import signal
import threading

import keras
import numpy as np
import pytest
from helpers import data, mlp, sgd, state

from keras_fast.callbacks import SGDR, ResumableCheckpoint

NUMBERS = [signal.SIGINT, signal.SIGTERM]


class Left(Exception):
    pass


@contextlib.contextmanager
def handled(number, handler):
    before = signal.signal(number, handler)
    try:
        yield
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)


class Raise(keras.callbacks.Callback):
    """Sends itself a signal at a batch, several times."""

    def __init__(self, number, batch, times=1):
        super().__init__()
        self.number, self.batches, self.times = number, batch, times

    def on_train_batch_begin(self, batch, logs=None):
        self.batches -= 1
        if not self.batches:
            for _ in range(self.times):
                signal.raise_signal(self.number)


def train(path, *callbacks, model=None):
    if model is None:
        keras.utils.set_random_seed(0)
        model = mlp(sgd(), keras.layers.Dropout(0.3))
    x, y = data(5)
    history = model.fit(
        x,
        y,
        batch_size=4,
        epochs=3,
        verbose=0,
        callbacks=[*callbacks, SGDR(0.05), ResumableCheckpoint(path)],
    )
    return model, history


def leave(number, frame):
    raise Left(number)


@pytest.mark.parametrize("batch", [7, 10])  # within an epoch, and its last
@pytest.mark.parametrize("number", NUMBERS)
def test_the_batch_is_saved_and_the_training_goes_on(number, batch, tmp_path):
    wanted, _ = train(tmp_path / "other")
    begun = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            begun.append(batch)

    with handled(number, leave), pytest.raises(Left):
        train(tmp_path / "save", Count(), Raise(number, batch))
    assert len(begun) == batch
    model, _ = train(tmp_path / "save", Count())
    assert len(begun) == 15
    for got, value in zip(state(model), state(wanted), strict=True):
        np.testing.assert_array_equal(got, value)


def test_the_second_signal_does_not_wait(tmp_path):
    begun = Raise(signal.SIGINT, 7, times=2)
    with handled(signal.SIGINT, leave), pytest.raises(Left):
        train(tmp_path / "save", begun)
    # The save is that of the first epoch.
    _, history = train(tmp_path / "save")
    assert history.epoch == [1, 2]


def test_ctrl_c_is_ctrl_c(tmp_path):
    with (
        handled(signal.SIGINT, signal.default_int_handler),
        pytest.raises(KeyboardInterrupt),
    ):
        train(tmp_path / "save", Raise(signal.SIGINT, 2))
    assert (tmp_path / "save").exists()


class Fails(keras.callbacks.Callback):
    def on_train_batch_begin(self, batch, logs=None):
        raise RuntimeError


def test_after_an_exception_no_signal_waits(tmp_path):
    before = signal.signal(signal.SIGINT, leave)
    try:
        with pytest.raises(RuntimeError):
            train(tmp_path / "save", Fails())
        with pytest.raises(Left):
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is leave
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_is_ignored_stays_ignored(tmp_path):
    with handled(signal.SIGTERM, signal.SIG_IGN):
        _, history = train(tmp_path / "save", Raise(signal.SIGTERM, 2))
    assert history.epoch == [0, 1, 2]


def test_in_a_thread_signals_are_left_alone(tmp_path):
    with handled(signal.SIGINT, leave):
        thread = threading.Thread(target=train, args=(tmp_path / "save",))
        thread.start()
        thread.join()
    assert not (tmp_path / "save").exists()
