"""Is the optimizer within plain without its wrapper, and seen through it?"""

import copy

import keras
import numpy as np
import pytest
from helpers import BACKEND, adam, data, fit, mlp, sgd, weights

from keras_fast import layer_multipliers
from keras_fast.optimizers import DiscriminativeOptimizer

optimizers = keras.optimizers
JIT = BACKEND == "jax"
MULTIPLIERS = [0.1, 0.1, 1.0, 1.0]


def network(optimizer):
    return mlp(optimizer, jit_compile=JIT)


@pytest.mark.parametrize("used", [False, True])
def test_without_its_wrapper_it_is_plain(used):
    # Of the same variables, so that the wrapper would know them.
    model, plain = network(sgd()), network(adam())
    inner = adam()
    multipliers = layer_multipliers(model, [0.1, 1.0])
    wrapper = DiscriminativeOptimizer(inner, multipliers)
    if used:
        start = model.get_weights()
        model.compile(wrapper, "mse", jit_compile=JIT)
        fit(model, *data(3))
        model.set_weights(start)
        for variable in inner.variables[2:]:
            variable.assign(variable * 0)
        inner.iterations.assign(0)
    del wrapper
    model.compile(inner, "mse", jit_compile=JIT)
    for each in (model, plain):
        fit(each, *data(3))
    np.testing.assert_array_equal(weights(model), weights(plain))


def test_two_wrappers_of_one_optimizer():
    inner = adam()
    DiscriminativeOptimizer(inner, [0.5] * 4)
    found = network(DiscriminativeOptimizer(inner, MULTIPLIERS))
    wanted = network(DiscriminativeOptimizer(adam(), MULTIPLIERS))
    for model in (found, wanted):
        fit(model, *data(2))
    np.testing.assert_array_equal(weights(found), weights(wanted))


def test_what_the_optimizer_within_has_is_read_and_set():
    inner = optimizers.AdamW(
        0.25,
        weight_decay=0.5,
        clipnorm=2.0,
        use_ema=True,
        ema_momentum=0.75,
        ema_overwrite_frequency=3,
        gradient_accumulation_steps=2,
        beta_1=0.5,
    )
    wrapper = DiscriminativeOptimizer(inner, MULTIPLIERS)
    names = [n for n in inner.get_config() if n != "name"]
    assert {"weight_decay", "global_clipnorm", "beta_1"} < {*names}
    for name in names:
        assert getattr(wrapper, name) == getattr(inner, name), name
    for name in names:
        setattr(wrapper, name, 0.125)
        assert getattr(inner, name) == getattr(wrapper, name) == 0.125, name
    assert wrapper.name != inner.name
    assert wrapper.get_config()["inner_optimizer"]["config"]["clipvalue"]
    with pytest.raises(AttributeError, match=r"AdamW.*momentums"):
        wrapper.momentums  # noqa: B018
    with pytest.raises(AttributeError, match="multipliers"):
        wrapper.multipliers = [1.0]
    # What is nobody's becomes the wrapper's own.
    wrapper.note = "mine"
    assert not hasattr(inner, "note")


def test_what_is_set_through_it_is_used():
    found = network(DiscriminativeOptimizer(optimizers.SGD(0.1), MULTIPLIERS))
    found.optimizer.momentum = 0.9
    found.optimizer.weight_decay = 0.25
    found.optimizer.clipvalue = 0.125
    inner = optimizers.SGD(0.1, 0.9, weight_decay=0.25, clipvalue=0.125)
    wanted = network(DiscriminativeOptimizer(inner, MULTIPLIERS))
    # Momentum has slots.
    found.optimizer.inner_optimizer.built = found.optimizer.built = False
    for model in (found, wanted):
        fit(model, *data(3))
    np.testing.assert_array_equal(weights(found), weights(wanted))


@pytest.mark.parametrize("scaled", [False, True])
def test_swapped_averages(scaled):
    """Keras's callback finds them, and there is one of each."""

    class Note(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(weights(self.model))

    def swapped(optimizer):
        if scaled:
            optimizer = optimizers.LossScaleOptimizer(optimizer)
        model = network(optimizer)
        fit(model, *data(3), keras.callbacks.SwapEMAWeights(True), Note())
        return len(model.optimizer.variables)

    inner, plain = (sgd(use_ema=True, ema_momentum=0.5) for _ in range(2))
    seen = []
    count = swapped(DiscriminativeOptimizer(inner, [1.0] * 4))
    assert swapped(plain) == count
    np.testing.assert_allclose(seen[:2], seen[2:], atol=1e-6)


def test_set_weights_is_of_the_optimizer_within():
    first, second = (
        network(DiscriminativeOptimizer(adam(), MULTIPLIERS)) for _ in range(2)
    )
    fit(first, *data(2))
    state = [v.numpy() for v in first.optimizer.variables]
    second.optimizer.set_weights(state)
    for found, wanted in zip(second.optimizer.variables, state, strict=True):
        np.testing.assert_array_equal(found.numpy(), wanted)


def test_a_copy_is_of_the_same_kind():
    model = network(DiscriminativeOptimizer(adam(), MULTIPLIERS))
    fit(model, *data(2))
    other = copy.deepcopy(model)
    assert other.optimizer.multipliers == MULTIPLIERS
    for each in (model, other):
        fit(each, *data(2))
    np.testing.assert_array_equal(weights(model), weights(other))
