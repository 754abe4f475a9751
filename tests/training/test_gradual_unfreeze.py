import keras
import numpy as np
import pytest
from helpers import BACKEND, data, distance, mlp, sgd, state

from keras_fast import freeze_to, gradual_unfreeze, layer_groups
from keras_fast.callbacks import (
    OneCycle,
    Recorder,
    ResumableCheckpoint,
    SlantedTriangular,
)
from keras_fast.optimizers import DiscriminativeOptimizer

JIT = BACKEND == "jax"
BATCHES, SIZE = 4, 4


def network(optimizer=None, *middle):
    hidden = keras.layers.Dense(5, activation="tanh")
    return mlp(optimizer or sgd(), hidden, *middle, jit_compile=JIT)


def unfreeze(model, *callbacks, **arguments):
    settings = {"epochs": 1, "learning_rates": 0.04, "shuffle": False}
    return gradual_unfreeze(
        model,
        *data(BATCHES),
        batch_size=SIZE,
        verbose=0,
        callbacks=list(callbacks),
        **settings | arguments,
    )


def by_hand(model, stages, decay, schedule=OneCycle):
    """The same with the parts that a user would write it with."""
    groups = layer_groups(model)
    multipliers = [
        decay ** (i + 1 - len(groups))
        for i, group in enumerate(groups)
        for layer in group
        for _ in layer.trainable_variables
    ]
    optimizer = DiscriminativeOptimizer(model.optimizer, multipliers)
    model.compile(optimizer, model.loss, jit_compile=JIT)
    for first, rate, epochs in stages:
        freeze_to(model, first)
        model.fit(
            *data(BATCHES),
            batch_size=SIZE,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[schedule(rate)],
        )
    return model.get_weights()


def assert_equal(model, weights):
    pairs = zip(model.get_weights(), weights, strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 2e-6


@pytest.mark.parametrize(
    ("arguments", "stages"),
    [
        ({}, [(2, 0.04, 1), (1, 0.04, 1), (0, 0.04, 1)]),
        # Fewer stages than groups: the last frees all.
        (
            {"epochs": [2, 1], "learning_rates": [0.1, 0.02], "lr_decay": 4},
            [(2, 0.1, 2), (0, 0.02, 1)],
        ),
        (
            {"learning_rates": [0.1], "schedule": SlantedTriangular},
            [(0, 0.1, 1)],
        ),
    ],
)
def test_equals_its_parts(arguments, stages):
    model, same = network(), network()
    history = unfreeze(model, **arguments)
    parts = {"schedule": arguments.get("schedule", OneCycle)}
    wanted = by_hand(same, stages, arguments.get("lr_decay", 2.6), **parts)
    assert_equal(model, wanted)
    firsts = [first for first, _, epochs in stages for _ in range(epochs)]
    rates = [rate for _, rate, epochs in stages for _ in range(epochs)]
    assert history.history["first_group"] == firsts
    assert history.history["max_lr"] == rates
    assert history.epoch == [*range(len(rates))]


def test_groups_of_the_users():
    model = network()
    first, second, last = (layer for layer in model.layers if layer.weights)
    before = [v.numpy() for v in first.weights + second.weights]
    seen = []

    class Trains(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append([layer.trainable for layer in (first, second, last)])

    groups = [[first, second], [last]]
    unfreeze(model, Trains(), groups=groups)
    assert seen == [[False, False, True], [True, True, True]]
    after = [v.numpy() for v in first.weights + second.weights]
    for old, new in zip(before, after, strict=True):
        assert distance(old, new) > 0


@pytest.mark.parametrize("train_batchnorm", [False, True])
def test_batch_normalization(train_batchnorm):
    norm = keras.layers.BatchNormalization()
    model = network(None, norm)
    mean = norm.moving_mean.numpy()
    unfreeze(model, train_batchnorm=train_batchnorm)
    assert (distance(norm.moving_mean, mean) > 0) == train_batchnorm
    assert norm.trainable == train_batchnorm
    others = [layer for layer in model.layers if layer is not norm]
    assert all(layer.trainable for layer in others)


def test_it_ends_with_the_best_stage():
    model = network()
    valid = data(BATCHES)
    start = model.evaluate(*valid, verbose=0)
    # The second stage wrecks it.
    history = unfreeze(
        model, learning_rates=[0.02, 50.0], validation_data=valid
    )
    losses = history.history["val_loss"]
    assert losses[0] < losses[1]
    assert losses[0] < start
    reached = model.evaluate(*valid, verbose=0)
    assert reached == pytest.approx(losses[0], rel=1e-5)


def test_its_callbacks_see_one_training():
    heard, recorder = [], Recorder()

    class Heard(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            heard.append(("begin", self.params["epochs"]))

        def on_epoch_end(self, epoch, logs=None):
            heard.append(epoch)
            if epoch == 1:
                self.model.stop_training = True

        def on_train_end(self, logs=None):
            heard.append("end")

    model = network()
    history = unfreeze(model, Heard(), recorder)
    assert heard == [("begin", 3), 0, 1, "end"]
    assert history.epoch == [0, 1]
    wanted = np.tile(OneCycle(0.04).curve(BATCHES)["learning_rate"], 2)
    assert distance(recorder.learning_rates, wanted) <= 1e-7
    assert len(model.trainable_variables) == 6


class Killed(Exception):
    pass


@pytest.mark.parametrize("after", [3, 6])
def test_it_goes_on_bit_for_bit(after, tmp_path):
    class Kill(keras.callbacks.Callback):
        left = after

        def on_train_batch_end(self, batch, logs=None):
            self.left -= 1
            if not self.left:
                raise Killed

    def adam():
        return keras.optimizers.Adam(0.01)

    arguments = {"validation_data": data(2), "learning_rates": 0.1}
    unfreeze(whole := network(adam()), **arguments)

    def checkpoint():
        return ResumableCheckpoint(tmp_path / "save", save_freq=1)

    with pytest.raises(Killed):
        unfreeze(network(adam()), checkpoint(), Kill(), **arguments)
    unfreeze(again := network(adam()), checkpoint(), **arguments)
    for a, b in zip(state(whole), state(again), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "Received: epochs=0"),
        ({"epochs": [1, 2], "learning_rates": [0.1]}, r"epochs=\[1, 2\]"),
        ({"epochs": [1, 1, 1, 1]}, "stages at most 3, the number of groups"),
        ({"epochs": []}, r"Received: epochs=\[\]"),
        ({"learning_rates": 0.0}, "Received: learning_rates=0"),
        ({"lr_decay": 0.5}, "Received: lr_decay=0.5"),
        ({"initial_epoch": 1}, "Received: initial_epoch=1"),
    ],
)
def test_bad_arguments(arguments, message):
    model = network()
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        unfreeze(model, **arguments)
    assert_equal(model, before)
    assert model.layers[1].trainable


def test_what_would_be_refused_later_is_refused_at_once():
    with pytest.raises(TypeError, match=r"Received: schedule=0\.1"):
        unfreeze(network(), schedule=0.1)
    model = network(keras.optimizers.SGD(0.1))
    before = model.get_weights()
    with pytest.raises(ValueError, match="must have a momentum"):
        unfreeze(model)
    plain = keras.callbacks.LearningRateScheduler
    with pytest.raises(TypeError, match=r"schedule\(0\.04\)=<.*Scheduler"):
        unfreeze(model, schedule=lambda rate: plain(lambda epoch: rate))
    assert_equal(model, before)
    swaps = keras.callbacks.SwapEMAWeights()
    with pytest.raises(ValueError, match="leave it to `gradual_unfreeze`"):
        unfreeze(network(), swaps)
