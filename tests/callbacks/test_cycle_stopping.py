"""Does a training end with a cycle, and with the best one?"""

from functools import cache

import keras
import numpy as np
import pytest
from helpers import adam, data, digest, fit, mlp, put, state
from resuming import CHECKPOINT, Kill, Killed, layers

from keras_fast.callbacks import (
    SGDR,
    CycleStopping,
    ResumableCheckpoint,
    SnapshotEnsemble,
)


class Scores(keras.callbacks.Callback):
    """Says what an epoch has come to."""

    def __init__(self, scores, name="val_loss"):
        super().__init__()
        self.scores, self.name = scores, name

    def on_epoch_end(self, epoch, logs=None):
        logs[self.name] = self.scores[epoch]


class Weights(keras.callbacks.Callback):
    """Takes down the weights at the end of each cycle."""

    def __init__(self):
        super().__init__()
        self.cycles = []

    def on_cycle_end(self, cycle, logs=None):
        self.cycles.append(self.model.get_weights())


@cache
def traced():
    model = mlp(adam(), *layers())
    return model, state(model)


def train(scores, *more, mult=1, **arguments):
    keras.utils.set_random_seed(0)
    (model, start), taken = traced(), Weights()
    put(model, start)
    x, y = data(3)
    history = fit(
        model,
        x,
        y,
        Scores(scores),
        SGDR(0.05, cycle_mult=mult),
        taken,
        *more,
        **{"epochs": len(scores), "validation_data": (x[:4], y[:4])}
        | arguments,
    )
    return model, history, taken.cycles


def assert_equal(model, weights):
    for got, wanted in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(got, wanted)


# Within a cycle it may be better: that is not judged. Cycles of one epoch,
# of two and of four.
DOUBLING = [0.5, 0.1, 0.3, 0.1, 0.1, 0.1, 0.4, *8 * [0.0]]


@pytest.mark.parametrize(
    ("arguments", "scores", "mult", "best", "last"),
    [
        ({}, DOUBLING, 2, 1, 2),
        ({"patience": 2}, DOUBLING, 2, 3, 3),
        ({}, [3, 2, 1, 1, 0], 1, 2, 3),
        ({"patience": 2}, [3, 1, 2, 2, 0], 1, 1, 3),
        # It counts from the best one.
        ({"patience": 2}, [3, 4, 2, 3, 1, 0], 1, 5, 5),
        ({"min_delta": 0.5}, [3, 2, 1.6, 0], 1, 1, 2),
        ({"mode": "max"}, [1, 2, 1, 3], 1, 1, 2),
        ({}, [3, 2, 1], 1, 2, 2),  # it never stops
    ],
)
@pytest.mark.matrix(2)
def test_it_ends_with_a_cycle_and_keeps_the_best(
    arguments, scores, mult, best, last
):
    stopping = CycleStopping(**arguments)
    model, history, cycles = train(scores, stopping, mult=mult)
    assert len(cycles) == last + 1
    assert len(history.epoch) == SGDR.num_epochs(last + 1, 1, mult)
    assert stopping.best_cycle == best
    assert_equal(model, cycles[best])  # and the statistics


def test_it_may_keep_the_last():
    stopping = CycleStopping(restore_best_weights=False)
    model, _, cycles = train([3, 1, 2, 0], stopping)
    assert len(cycles) == 3
    assert_equal(model, cycles[-1])


def test_used_again_it_starts_anew():
    stopping = CycleStopping()
    train([1, 2], stopping)
    _, history, _ = train([5, 4, 3], stopping)
    assert history.epoch == [0, 1, 2]


def test_a_loss_that_was_measured():
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, y = data(2)
    y = y + rng.normal(size=y.shape)  # noise to learn by heart
    unseen = data(5)
    model, taken = mlp(adam(), keras.layers.Dense(50, "relu")), Weights()
    stopping = CycleStopping()
    arguments = {"epochs": 20, "validation_data": unseen}
    callbacks = [SGDR(0.05, cycle_len=2), stopping, taken]
    history = fit(model, x, y, *callbacks, **arguments)
    losses = history.history["val_loss"][1::2]
    assert len(losses) < 10
    assert losses[-1] >= losses[-2] == min(losses)
    assert all(np.diff(losses[:-1]) < 0)
    assert_equal(model, taken.cycles[len(losses) - 2])


def test_beside_snapshots(tmp_path):
    ensemble = SnapshotEnsemble(tmp_path)
    model, _, cycles = train([3, 1, 2, 0], CycleStopping(), ensemble)
    assert len(ensemble.members) == len(cycles) == 3
    x, _ = data(3)
    outputs = []
    for weights in cycles[::-1]:
        model.set_weights(weights)
        outputs.append(model.predict(x, verbose=0))
    mean = ensemble.predict(x, verbose=0)
    np.testing.assert_allclose(mean, np.mean(outputs, axis=0), atol=1e-6)


class KillAtTheEnd(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        raise Killed


# Within an epoch, at the end of one, and after it has stopped.
@pytest.mark.parametrize(("batches", "end"), [(5, True), (7, False)])
@pytest.mark.matrix(1)
def test_it_goes_on_bit_for_bit(batches, end, tmp_path):
    scores = [3, 1, 2, 2, 0]
    wanted = state(train(scores, CycleStopping(patience=2))[0])

    def go(*more):
        stopping = CycleStopping(patience=2)
        checkpoint = ResumableCheckpoint(tmp_path / CHECKPOINT, save_freq=2)
        return train(scores, *more[:1], stopping, checkpoint, *more[1:])

    with pytest.raises(Killed):
        go(keras.callbacks.Callback(), Kill(batches))
    if end:
        with pytest.raises(Killed):
            go(KillAtTheEnd())
    model, history, _ = go()
    assert history.epoch == ([] if end else [*range(history.epoch[0], 4)])
    for got, value in zip(state(model), wanted, strict=True):
        np.testing.assert_array_equal(got, value)
    assert not (tmp_path / CHECKPOINT).exists()


def test_cycles_behind_a_checkpoint_are_refused(tmp_path):
    x, y = data(3)
    callbacks = [
        CycleStopping(),
        ResumableCheckpoint(tmp_path / CHECKPOINT),
        SGDR(0.1),
    ]
    with pytest.raises(ValueError) as caught:
        fit(mlp(adam()), x, y, *callbacks, validation_data=(x, y))
    assert str(caught.value) == (
        "`ResumableCheckpoint` must come after the callbacks that it saves, "
        "and after `SGDR` if others follow its cycles. Put it last. "
        "Received: SGDR after it"
    )


X, Y = data(3)
VALID = {"validation_data": (X, Y)}
REFUSED = {
    "no cycles": (
        lambda path: [CycleStopping()],
        VALID,
        "`CycleStopping` must be used with `SGDR`, whose cycles it follows. "
        "Pass `callbacks=[SGDR(...), CycleStopping(...)]`. Received: callbacks "
        "without SGDR",
    ),
    "a fraction": (
        lambda path: [CycleStopping(), SGDR(0.1, cycle_len=1, cycle_mult=1.5)],
        {**VALID, "epochs": 4},
        "Cycles must end with epochs for `CycleStopping`, which watches the "
        "logs of an epoch. Pass whole numbers as `cycle_len` and "
        "`cycle_mult`. Received: a cycle that ends after 2.5 epochs",
    ),
    "no validation": (
        lambda path: [CycleStopping(), SGDR(0.1)],
        {},
        "`fit()` must have `validation_data` for 'val_loss' to be monitored. "
        "Pass them, or another `monitor`. Received: validation_data=None",
    ),
    "a backup": (
        lambda path: [
            CycleStopping(),
            SGDR(0.1),
            keras.callbacks.BackupAndRestore(path),
        ],
        VALID,
        "`callbacks` must not have a BackupAndRestore beside `CycleStopping`: "
        "it would forget the best cycle. Use "
        "`keras_fast.callbacks.ResumableCheckpoint`. Received: callbacks with "
        "BackupAndRestore",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_it_can_not_follow_changes_nothing(case, tmp_path):
    make, arguments, message = REFUSED[case]
    model = mlp(adam())
    before = digest(model)
    with pytest.raises(ValueError) as caught:
        fit(model, X, Y, *make(tmp_path), **arguments)
    assert str(caught.value) == message
    assert digest(model) == before


def test_validation_may_be_a_share_of_the_data():
    model = mlp(adam())
    callbacks = [SGDR(0.1), CycleStopping()]
    assert fit(model, X, Y, *callbacks, validation_split=0.5).epoch


@pytest.mark.parametrize(
    ("monitor", "arguments"),
    [("val_accuracy", {}), ("val_loss", {"validation_freq": 2})],
)
@pytest.mark.matrix(2)
def test_what_is_not_in_the_logs(monitor, arguments):
    callbacks = [SGDR(0.1), CycleStopping(monitor, mode="min")]
    names = "loss, val_loss" if monitor == "val_accuracy" else "loss"
    with pytest.raises(ValueError) as caught:
        fit(mlp(adam()), X, Y, *callbacks, **VALID, **arguments)
    assert str(caught.value) == (
        "`monitor` must be in the logs at the end of a cycle. Pass one of "
        f"{names}, or `validation_freq=1` to `fit()`. "
        f"Received: monitor={monitor!r}"
    )
