import math

import keras
import numpy as np
import pytest
from helpers import BACKEND, adam, data, digest, distance, fit, mlp, sgd, state
from references import Adam, Momentum

import keras_fast
from keras_fast import fine_tune
from keras_fast.callbacks import Recorder
from keras_fast.optimizers import DiscriminativeOptimizer

FROZEN, EPOCHS, BATCHES, SIZE = 1, 2, 6, 4
FASTAI = {
    "head_epochs": 0,
    "freeze_epochs": FROZEN,
    "lr_mult": 16,
    "train_batchnorm": True,
    "average": 0,
}


def cosine(share, start, end):
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def one_cycle(progress, peak, pct_start, div):
    """fastai's `fit_one_cycle`: rate and momentum."""
    if progress < pct_start:
        share = progress / pct_start
        return cosine(share, peak / div, peak), cosine(share, 0.95, 0.85)
    share = (progress - pct_start) / (1 - pct_start)
    return cosine(share, peak, peak / 1e5), cosine(share, 0.85, 0.95)


def network(make, **arguments):
    hidden = keras.layers.Dense(5, activation="tanh")
    jit = BACKEND == "jax"
    return mlp(make(**arguments), hidden, jit_compile=jit)


def tune(model, *callbacks, **arguments):
    """fastai's recipe."""
    return fine_tune(
        model,
        *data(BATCHES),
        **{"epochs": EPOCHS, "base_lr": 0.04} | FASTAI | arguments,
        batch_size=SIZE,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


class AdamWithMomentum(Adam):
    def step(self, slot, gradient, i):
        slot[0] += (1 - self.momentum) * (gradient - slot[0])
        slot[1] += 0.001 * (gradient**2 - slot[1])
        t = self.iterations
        rate = self.rates[i] * np.sqrt(1 - 0.999**t) / (1 - self.momentum**t)
        return -rate * slot[0] / (np.sqrt(slot[1]) + 1e-7)


def reference(kind, weights, frozen=FROZEN):
    """The same in NumPy: a rate for each layer, set at every update."""
    net, (x, y) = kind(weights), data(BATCHES)
    parts = [
        (frozen, 0.04, 0.99, 25, [0, 0, 1]),
        (EPOCHS, 0.02, 0.3, 5, [1 / 16, 1 / 4, 1]),
    ]
    rates = []
    for epochs, peak, pct_start, div, shares in parts:
        net.trained = [share > 0 for share in shares for _ in range(2)]
        for k in range(updates := epochs * BATCHES):
            rate, net.momentum = one_cycle(k / updates, peak, pct_start, div)
            net.rates = [rate * share for share in shares for _ in range(2)]
            rows = slice(k % BATCHES * SIZE, (k % BATCHES + 1) * SIZE)
            net.update(x[rows], y[rows])
            rates.append(rate)
    return net.weights, rates


@pytest.mark.parametrize(
    ("make", "kind"), [(sgd, Momentum), (adam, AdamWithMomentum)]
)
def test_weights_are_those_of_numpy(make, kind):
    model, recorder = network(make), Recorder()
    weights, rates = reference(kind, model.get_weights())
    tune(model, recorder)
    pairs = zip(model.get_weights(), weights, strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 2e-6
    assert distance(recorder.learning_rates, rates) <= 1e-7


def test_no_frozen_part():
    model = network(sgd)
    weights, _ = reference(Momentum, model.get_weights(), frozen=0)
    history = tune(model, freeze_epochs=0)
    pairs = zip(model.get_weights(), weights, strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 2e-6
    assert history.epoch == [0, 1]


def test_one_history_and_epochs_that_count_on():
    class Epochs(keras.callbacks.Callback):
        seen = ()

        def on_epoch_begin(self, epoch, logs=None):
            self.seen += (epoch,)

    model, epochs = network(sgd), Epochs()
    history = tune(model, epochs, validation_data=data(2))
    assert history is model.history
    assert history.epoch == [0, 1, 2] == [*epochs.seen]
    assert {len(values) for values in history.history.values()} == {3}
    assert {"loss", "val_loss"} <= set(history.history)


def test_afterwards_the_optimizer_is_as_before():
    model = network(sgd)
    before = model.optimizer.get_config()
    tune(model)
    assert model.optimizer.get_config() == before
    assert all(layer.trainable for layer in model.layers)
    # One rate for all again, in a step that was traced before.
    net = Momentum(model.get_weights())
    velocities = model.optimizer.momentums
    for slot, velocity in zip(net.slots, velocities, strict=True):
        slot[0] = keras.ops.convert_to_numpy(velocity)
    net.train(*data(BATCHES), SIZE)
    fit(model, *data(BATCHES), epochs=1)
    pairs = zip(model.get_weights(), net.weights, strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 1e-6


def test_an_exception_leaves_plain_rates_and_no_layer_frozen():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == self.params["epochs"] - 1:
                raise RuntimeError("stop")

    for frozen in (1, 0):  # in the first part, in the second
        model = network(sgd)
        with pytest.raises(RuntimeError, match="stop"):
            tune(model, Stop(), freeze_epochs=frozen)
        assert all(layer.trainable for layer in model.layers)
        assert "update_step" not in vars(model.optimizer)


def test_saved_it_loads_and_goes_on(tmp_path):
    model = network(sgd)
    tune(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        fit(each, *data(BATCHES), epochs=1)
    pairs = zip(state(model), state(loaded), strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 1e-7


@pytest.mark.parametrize("trains", [True, False])
def test_batchnorm_before_the_last_group(trains):
    norm = keras.layers.BatchNormalization(momentum=0.9)
    hidden = keras.layers.Dense(5, activation="tanh")
    model = mlp(sgd(), norm, hidden, jit_compile=BACKEND == "jax")
    seen = []

    class Statistics(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model  # noqa: B018  JAX brings the variables up to date
            seen.append(norm.get_weights())

    tune(model, Statistics(), train_batchnorm=trains)
    mean, variance = seen[0][2:]  # after the first part
    assert (np.all(mean == 0) and np.all(variance == 1)) != trains
    assert all(np.any(a != b) for a, b in zip(*seen[:2], strict=True)) == trains


def test_an_optimizer_without_momentum():
    model = network(lambda: keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="momentums=None"):
        tune(model)
    tune(model, momentums=None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, "`epochs` must be .* Received: epochs=0"),
        ({"freeze_epochs": -1}, "Received: freeze_epochs=-1"),
        ({"base_lr": 0}, "Received: base_lr=0"),
        ({"base_lr": math.nan}, "Received: base_lr=nan"),
        ({"lr_mult": 0.5}, "Received: lr_mult=0.5"),
        ({"initial_epoch": 1}, "Leave it out. Received: initial_epoch=1"),
    ],
)
def test_bad_arguments_change_nothing(arguments, message):
    model = network(sgd)
    before = digest(model)
    with pytest.raises(ValueError, match=message):
        tune(model, **arguments)
    assert digest(model) == before


def test_a_rate_for_each_group_already():
    optimizer = DiscriminativeOptimizer(sgd(), [1.0] * 6)
    model = network(lambda: optimizer)
    with pytest.raises(
        ValueError, match=r"`optimizer` must be .* that is inside"
    ):
        tune(model)


def test_not_compiled():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    with pytest.raises(ValueError, match="must be compiled"):
        keras_fast.fine_tune(model, *data(), epochs=1)
