"""Does an interrupted training come to what it would have come to?"""

from functools import cache

import keras
import numpy as np
import pytest
from helpers import (
    EXECUTIONS,
    JIT,
    adam,
    data,
    distance,
    mlp,
    sgd,
    state,
    weights,
)
from resuming import (
    CHECKPOINT,
    DATA,
    EPOCHS,
    Kill,
    Killed,
    layers,
    small,
    train,
)

from keras_fast.callbacks import (
    SGDR,
    OneCycle,
    Recorder,
    ResumableCheckpoint,
    WeightAveraging,
)
from keras_fast.optimizers import DiscriminativeOptimizer


class Batches(keras.utils.PyDataset):
    """Batches in an order that `fit()` shuffles."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        x, y = data()
        rows = slice(4 * index, 4 * index + 4)
        return x[rows], y[rows]


def accumulating():
    optimizer = adam(gradient_accumulation_steps=3, use_ema=True)
    return mlp(optimizer, *layers(), metrics=["mae"])


def executed_together():
    return mlp(
        sgd(),
        *layers(),
        jit_compile=JIT[-1],
        steps_per_execution=EXECUTIONS[-1],
    )


def grouped():
    # float16 ends below 2**16: the first updates are skipped.
    groups = DiscriminativeOptimizer(adam(), [0.1, 0.1, 1, 1, 1, 1])
    optimizer = keras.optimizers.LossScaleOptimizer(
        groups, initial_scale=2.0**18
    )
    keras.config.set_dtype_policy("mixed_float16")
    try:
        return mlp(optimizer, *layers())
    finally:
        keras.config.set_dtype_policy("float32")


def cycles():
    return SGDR(0.05, cycle_len=1.5)


@cache
def uninterrupted(make):
    recorder = Recorder()
    model, history = train(make, cycles(), recorder)
    return state(model), history, recorder


def assert_same(model, wanted):
    for got, value in zip(state(model), wanted, strict=True):
        np.testing.assert_array_equal(got, value)


# Two deaths: within an epoch after a save, then within the next but one.
@pytest.mark.parametrize(
    ("make", "save_freq", "deaths", "last"),
    [
        (accumulating, "epoch", (14, 12), True),
        (accumulating, 3, (8, 17), False),
        (executed_together, 3, (3, 4), True),
        (grouped, 4, (6, 8), False),
    ],
)
@pytest.mark.matrix(2)
def test_bit_for_bit(make, save_freq, deaths, last, tmp_path):
    wanted, wanted_history, wanted_recorder = uninterrupted(make)
    for death in (*deaths, None):
        checkpoint = ResumableCheckpoint(
            tmp_path / CHECKPOINT, save_freq=save_freq
        )
        recorder = Recorder()
        callbacks = [cycles(), recorder, checkpoint]
        if not last:
            callbacks = callbacks[::-1]
        if death is None:
            model, history = train(make, *callbacks)
            break
        with pytest.raises(Killed):
            train(make, *callbacks, Kill(death))
    assert_same(model, wanted)
    for name, values in history.items():
        assert values == wanted_history[name][-len(values) :]
    assert 0 < len(recorder.losses) < len(wanted_recorder.losses)
    for name in ("learning_rates", "losses"):
        got, everything = (
            getattr(each, name) for each in (recorder, wanted_recorder)
        )
        # The first update may have begun before: it is a mean of fewer.
        np.testing.assert_array_equal(got[1:], everything[-len(got) :][1:])


# Several workers shuffle in a thread, at a moment of their own.
@pytest.mark.parametrize(("workers", "shuffle"), [(1, True), (2, False)])
@pytest.mark.matrix(1)
def test_a_dataset(workers, shuffle, tmp_path):
    def go(*callbacks):
        batches = Batches(workers=workers)
        return train(small, *callbacks, x=batches, shuffle=shuffle)[0]

    wanted = state(go())
    with pytest.raises(Killed):
        go(ResumableCheckpoint(tmp_path / CHECKPOINT, save_freq=4), Kill(16))
    model = go(ResumableCheckpoint(tmp_path / CHECKPOINT, save_freq=4))
    assert_same(model, wanted)


def test_averages_are_saved_too(tmp_path):
    def averaging():
        return WeightAveraging(1, x=data()[0], batch_size=8)

    def normalized():
        return mlp(sgd(), *layers())

    def go(*callbacks):
        checkpoint = ResumableCheckpoint(tmp_path / CHECKPOINT, save_freq=3)
        return train(normalized, averaging(), checkpoint, *callbacks)[0]

    wanted = train(normalized, averaging())[0]
    with pytest.raises(Killed):
        go(Kill(35))
    assert_same(go(), state(wanted))
    with pytest.raises(ValueError) as caught:
        train(
            normalized, ResumableCheckpoint(tmp_path / CHECKPOINT), averaging()
        )
    assert str(caught.value) == (
        "`ResumableCheckpoint` must come after the callbacks that it saves, "
        "and after `SGDR` if others follow its cycles. Put it last. "
        "Received: WeightAveraging after it"
    )


def test_a_training_that_ended_is_not_resumed(tmp_path):
    checkpoint = ResumableCheckpoint(tmp_path / "new folder" / CHECKPOINT)
    model, _ = train(small, checkpoint)
    assert not checkpoint.path.exists()
    x, y = data()
    again = model.fit(x, y, epochs=2, verbose=0, callbacks=[checkpoint])
    assert again.epoch == [0, 1]


def test_the_place_is_not_that_of_other_trainings(tmp_path):
    checkpoint = ResumableCheckpoint(tmp_path / CHECKPOINT)
    with pytest.raises(Killed):
        train(small, checkpoint, Kill(25))
    model, history = train(small, checkpoint)
    assert len(history["loss"]) == EPOCHS - 2
    x, y = data()
    assert model.fit(x, y, epochs=2, verbose=0).epoch == [0, 1]


def test_an_epochs_first_half_is_not_trained_again(tmp_path):
    path = tmp_path / CHECKPOINT
    with pytest.raises(Killed):
        train(small, ResumableCheckpoint(path, save_freq=4), Kill(16))

    class Count(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.batches = []

        def on_train_batch_begin(self, batch, logs=None):
            self.batches.append(batch)

    count = Count()
    model, _ = train(small, OneCycle(0.05), count, ResumableCheckpoint(path))
    assert count.batches == [*range(4, 10), *range(10), *range(10)]
    assert np.isfinite(weights(model)).all()


# Written with version 0.1.0, on TensorFlow: killed within an epoch.
@pytest.mark.tensorflow_only
def test_the_file_of_an_earlier_version(tmp_path):
    path = tmp_path / CHECKPOINT
    path.write_bytes((DATA / "checkpoint_0.1.0.save").read_bytes())
    model, history = train(small, ResumableCheckpoint(path))
    assert len(history["loss"]) == EPOCHS - 1
    whole, _ = train(small)
    assert distance(weights(model), weights(whole)) <= 1e-5
