import keras
import numpy as np
import pytest
from helpers import BACKEND, data, digest, distance, fit, mlp, sgd, weights

from keras_fast.callbacks import SGDR


def test_values():
    half = (1 + np.sqrt(0.5)) / 2  # a quarter of the way down
    np.testing.assert_allclose(
        SGDR(1.0).curve(8, epochs=2)["learning_rate"],
        [1, half, 0.5, 1 - half] * 2,
        atol=1e-12,
    )
    rates = SGDR(3.0, cycle_mult=2, min_lr=1.0).curve(6, epochs=3)
    np.testing.assert_allclose(
        rates["learning_rate"],
        [3, 2, 3, 1 + 2 * half, 2, 3 - 2 * half],
    )


@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        ((1,), 1),
        ((3,), 3),
        ((3, 1, 2), 7),
        ((2, 3, 3), 12),
        ((4, 0.5), 2),
        ((10, 0.1), 1),
    ],
)
def test_num_epochs(arguments, epochs):
    got = SGDR.num_epochs(*arguments)
    assert got == epochs
    assert isinstance(got, int)


def test_cycles_that_end_within_an_epoch():
    with pytest.raises(ValueError) as caught:
        SGDR.num_epochs(2, 0.75)
    assert str(caught.value) == (
        "`num_cycles` must end with an epoch, as `fit()` does. Take another "
        "number of cycles, or another `cycle_len`. Received: num_cycles=2 "
        "with cycle_len=0.75 and cycle_mult=1.0, which are 1.5 epochs"
    )
    assert SGDR.num_epochs(4, 0.75) == 3


class Listener(keras.callbacks.Callback):
    """Takes down after how many batches each cycle ended."""

    def __init__(self):
        super().__init__()
        self.batches = 0
        self.heard = []

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1

    def on_cycle_end(self, cycle, logs):
        self.heard.append((cycle, self.batches, "val_loss" in logs))


# Ten batches an epoch. The scheduler stands last: it hears of a batch after
# the listener has counted it.
@pytest.mark.parametrize(
    ("arguments", "epochs", "heard"),
    [
        (
            {"cycle_len": 1, "cycle_mult": 2},
            3,
            [(0, 10, True), (1, 30, True)],
        ),
        (
            {"cycle_len": 0.5},
            2,
            [(0, 5, False), (1, 10, True), (2, 15, False), (3, 20, True)],
        ),
        # The third cycle would end with epoch 4.5.
        (
            {"cycle_len": 1.5},
            4,
            [(0, 15, False), (1, 30, True)],
        ),
        # Cycles of two batches, and one more than an epoch holds.
        (
            {"cycle_len": 0.2},
            1,
            [(k, 2 * k + 2, k == 4) for k in range(5)],
        ),
    ],
)
def test_cycle_ends(arguments, epochs, heard):
    listener = Listener()
    x, y = data()
    fit(
        mlp(sgd()),
        x,
        y,
        listener,
        SGDR(0.01, **arguments),
        epochs=epochs,
        validation_data=(x[:4], y[:4]),
    )
    assert listener.heard == heard


def test_cycle_ends_of_a_resumed_fit():
    listener = Listener()
    x, y = data()
    fit(
        mlp(sgd()),
        x,
        y,
        listener,
        SGDR(0.01, cycle_len=1, cycle_mult=2),
        epochs=7,
        initial_epoch=2,
        validation_data=(x[:4], y[:4]),
    )
    # Cycle 0 ended with epoch 1, before this fit. 1 ends with 3, 2 with 7.
    assert listener.heard == [(1, 10, True), (2, 50, True)]


# Ten batches an epoch, the listener before the scheduler.
@pytest.mark.skipif(BACKEND == "torch", reason="one step an execution")
@pytest.mark.parametrize(
    ("cycle_len", "executions", "refused"),
    [
        (0.5, 5, None),
        (1, 4, None),  # the last execution of an epoch is shorter
        (0.4, 4, (2, 2)),
        (0.25, 2, (0, 3)),
    ],
)
def test_cycles_that_end_within_an_execution(cycle_len, executions, refused):
    def go(*more):
        model = mlp(sgd(), steps_per_execution=executions)
        start = digest(model)
        scheduler = SGDR(0.01, cycle_len=cycle_len)
        try:
            fit(model, *data(), *more, scheduler)
        except ValueError:
            assert digest(model) == start
            raise
        return model

    if refused is None:
        taken = Taken()
        go(taken)
        plain = Taken()
        model = mlp(sgd())
        fit(model, *data(), plain, SGDR(0.01, cycle_len=cycle_len))
        assert len(taken.seen) == len(plain.seen) > 0
        assert distance(taken.seen, plain.seen) <= 1e-6
        return
    cycle, batches = refused
    with pytest.raises(ValueError) as caught:
        go(Taken())
    assert str(caught.value) == (
        "A cycle must end with an execution for Taken, or the next one has "
        "begun. Compile with `steps_per_execution=1`, or one that divides the "
        f"batches of a cycle. Received: steps_per_execution={executions}, and "
        f"cycle {cycle} ends after {batches} of 10 batches of an epoch"
    )


def test_a_cycle_ends_with_an_update():
    taken, large = Taken(), Taken()
    model = mlp(sgd(gradient_accumulation_steps=5))
    fit(model, *data(), taken, SGDR(0.01, cycle_len=0.5))
    fit(mlp(sgd()), *data(), large, SGDR(0.01, cycle_len=0.5), batch_size=20)
    assert len(taken.seen) == len(large.seen) == 4
    assert distance(taken.seen, large.seen) <= 1e-6


# Ten batches an epoch.
@pytest.mark.parametrize(
    ("cycle_len", "size", "after"), [(1, 4, 10), (0.5, 2, 5), (0.3, 2, 3)]
)
def test_cycles_that_end_within_an_update(cycle_len, size, after):
    model = mlp(sgd(gradient_accumulation_steps=size))
    start = digest(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), Taken(), SGDR(0.01, cycle_len=cycle_len))
    assert str(caught.value) == (
        "A cycle must end with an update for callbacks that follow it, or its "
        "last update is still to come. Compile with "
        "`gradient_accumulation_steps` that divide the batches of a cycle, or "
        f"without. Received: gradient_accumulation_steps={size}, and cycle 0 "
        f"ends after {after} batches"
    )
    assert digest(model) == start
    fit(model, *data(), SGDR(0.01, cycle_len=cycle_len))  # nobody follows


class Taken(keras.callbacks.Callback):
    """The weights at the end of each cycle."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_cycle_end(self, cycle, logs):
        self.seen.append(weights(self.model))


@pytest.mark.tensorflow_only
def test_an_optimizer_that_does_not_update():
    class Idle(keras.Sequential):
        def train_step(self, batch):
            return {
                "loss": self.compute_loss(y=batch[1], y_pred=self(batch[0]))
            }

    model = Idle(mlp(sgd()).layers)
    model.compile(sgd(), "mse")
    with pytest.raises(ValueError, match="must update in `train_step\\(\\)`"):
        fit(model, *data(), SGDR(0.1))
