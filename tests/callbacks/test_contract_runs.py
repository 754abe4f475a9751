"""Where does a run begin and end, and which one is refused?"""

import keras
import numpy as np
import pytest
from contract import (
    MAKE,
    SCHEDULERS,
    UPDATES,
    curve,
    every_scheduler,
    expected,
    trained,
)
from helpers import (
    adam,
    by_hand,
    data,
    distance,
    fit,
    mlp,
    put,
    sgd,
    state,
    weights,
)

from keras_fast import callbacks


class Stop(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.stops_after = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.stops_after:
            self.model.stop_training = True


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"LRFinder"}))
@pytest.mark.matrix(3)
def test_initial_epoch_goes_on_where_the_epoch_starts(name):
    model, start = trained(adam, False, 1, (), "float32")
    put(model, start)
    fit(model, *data(5), MAKE[name](UPDATES), epochs=4)
    whole = weights(model)
    put(model, start)
    fit(model, *data(5), MAKE[name](UPDATES), Stop(1), epochs=4)
    assert distance(weights(model), whole) > 1e-4
    fit(model, *data(5), MAKE[name](UPDATES), epochs=4, initial_epoch=2)
    np.testing.assert_array_equal(weights(model), whole)


class KillAtEpoch(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.kills_at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.kills_at:
            raise RuntimeError("killed")


@pytest.mark.parametrize("name", ["OneCycle", "SGDR"])
def test_backup_and_restore(name, tmp_path):
    whole = mlp(adam())
    fit(whole, *data(5), MAKE[name](UPDATES), epochs=4)

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path))

    killed = mlp(adam())
    with pytest.raises(RuntimeError, match="killed"):
        fit(
            killed,
            *data(5),
            MAKE[name](UPDATES),
            backup(),
            KillAtEpoch(2),
            epochs=4,
        )
    resumed = mlp(adam())
    history = fit(resumed, *data(5), MAKE[name](UPDATES), backup(), epochs=4)
    assert history.epoch == [2, 3]
    np.testing.assert_array_equal(weights(resumed), weights(whole))


KNOWN = (
    "Give a `tf.data.Dataset` its length, "
    "`dataset.apply(tf.data.experimental.assert_cardinality(num_batches))`, "
    "or pass `steps_per_epoch` to `fit()` with data that has no end, such as "
    "`dataset.repeat()`. Received: steps_per_epoch=None"
)


@pytest.mark.parametrize("name", sorted(set(SCHEDULERS) - {"LRFinder"}))
def test_unknown_length(name):
    x, y = data()

    def batches():
        while True:
            yield x[:4], y[:4]

    model, start = trained(sgd, False, 1, (), "float32")
    put(model, start)
    with pytest.raises(ValueError) as caught:
        model.fit(
            batches(),
            shuffle=False,
            verbose=0,
            callbacks=[MAKE[name](UPDATES)],
        )
    assert str(caught.value) == (
        f"The length of an epoch must be known for {name}. {KNOWN}"
    )
    for before, after in zip(start, state(model), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("way", ["known", "repeated"])
def test_both_ways_to_a_known_length_lose_no_batch(way):
    import tensorflow as tf

    x, y = data(5)
    whole = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
    unknown = whole.filter(lambda x, y: True)
    assert int(unknown.cardinality()) < 0
    arguments = {}
    if way == "known":
        given = unknown.apply(tf.data.experimental.assert_cardinality(5))
    else:
        given, arguments = unknown.repeat(), {"steps_per_epoch": 5}
    models = mlp(sgd()), mlp(sgd())
    for model, batches in zip(models, (given, whole), strict=True):
        model.fit(
            batches,
            epochs=3,
            shuffle=False,
            verbose=0,
            callbacks=[callbacks.OneCycle(0.1)],
            **arguments,
        )
        arguments = {}
    assert distance(*map(weights, models)) <= 1e-6


@pytest.mark.parametrize("name", ["Recorder", "LRFinder"])
def test_unknown_length_is_no_matter_to(name):
    x, y = data(12)

    def batches():
        for start in range(0, len(x), 4):
            yield x[start : start + 4], y[start : start + 4]

    model = mlp(sgd())
    callback = MAKE[name](15)
    # Keras says so of every generator that ends.
    with pytest.warns(UserWarning, match="ran out of data"):
        model.fit(batches(), shuffle=False, verbose=0, callbacks=[callback])
    losses = callback.result.losses if name == "LRFinder" else callback.losses
    wanted = by_hand(mlp(sgd(), run_eagerly=True), x, y, curve(callback, 15), 1)
    assert losses.shape == (12,)
    np.testing.assert_allclose(losses, wanted, atol=1e-6)


def test_two_schedules_on_the_same_hyperparameter():
    model = mlp(sgd())
    start = state(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), callbacks.OneCycle(0.1), callbacks.FlatCosine(0.1))
    assert str(caught.value) == (
        "`learning_rate` must be scheduled by one callback. Remove one. "
        "Received: callbacks with two schedules for learning_rate"
    )
    for before, after in zip(start, state(model), strict=True):
        np.testing.assert_array_equal(before, after)
    # The refusal leaves nothing behind.
    fit(model, *data(), MAKE["FlatCosine"](UPDATES))
    wanted = expected("FlatCosine", sgd, (), "float32")
    assert distance(weights(model), wanted) <= 2e-6


@every_scheduler
def test_a_compiled_schedule_is_refused(name):
    model = mlp(
        keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9))
    )
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), MAKE[name](UPDATES))
    message = str(caught.value)
    assert message.startswith(
        "The optimizer's learning rate must be a number to be scheduled. "
        "Compile with a float, such as `SGD(learning_rate=1e-3)`: the "
        "callback is the schedule. Received: learning_rate=<"
    )


def test_momentum_that_is_none():
    model = mlp(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), callbacks.OneCycle(0.1))
    assert str(caught.value) == (
        "The optimizer must have a momentum to be scheduled. Give it one, "
        "such as `SGD(learning_rate, momentum=0.9)`, or pass "
        "`momentums=None` to leave it alone. Received: optimizer=SGD with "
        "momentum=0.0"
    )
    fit(model, *data(), callbacks.OneCycle(0.1, momentums=None))


@every_scheduler
def test_curve_and_plot_without_a_model(name):
    callback = MAKE[name](12)
    values = callback.curve(12)
    assert "learning_rate" in values
    for array in values.values():
        assert array.shape == (12,)
        assert array.dtype == "float64"
    axes = callback.plot(12)
    assert axes.lines
