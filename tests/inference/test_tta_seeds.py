"""What `seed` reaches, and what draws on from call to call."""

import functools

import keras
import numpy as np
import pytest
from helpers import BACKEND

from keras_fast import predict_tta
from keras_fast.inference._draws import sources

layers = keras.layers
X = np.zeros((6, 2), "float32")
GENERATOR = keras.random.SeedGenerator(1)


def same():
    return keras.Sequential([keras.Input((2,)), layers.Identity()])


def drawn(x):
    return x + keras.random.normal(keras.ops.shape(x), seed=GENERATOR)


def calls_another(x):
    return 2 * drawn(x)


def bound(x, noise):
    return noise(x, training=True)


class Kept:
    def __init__(self):
        self.parts = {"noise": [layers.GaussianNoise(1.0, seed=1)]}

    def __call__(self, x):
        return self.parts["noise"][0](x, training=True)

    def method(self, x):
        return self(x)


def closure():
    noise = layers.GaussianNoise(1.0, seed=1)
    return lambda x: noise(x, training=True)


def within_a_model():
    noise = layers.GaussianNoise(1.0, seed=1)
    return keras.Sequential([keras.Input((2,)), noise])


VIEWS = {
    "layer": lambda: layers.GaussianNoise(1.0, seed=1),
    "model": within_a_model,
    "lambda": closure,
    "function": lambda: drawn,
    "function of a function": lambda: calls_another,
    "partial": lambda: functools.partial(
        bound, noise=layers.GaussianNoise(1.0, seed=1)
    ),
    "object": Kept,
    "method": lambda: Kept().method,
}


@pytest.mark.parametrize("kind", VIEWS)
def test_seed_reaches_every_view_and_without_it_they_draw_on(kind):
    view, model = VIEWS[kind](), same()
    (found,) = sources(view)
    states = (
        [found.state] if found is GENERATOR else found.non_trainable_variables
    )
    before = [np.array(state.numpy()) for state in states]
    call = functools.partial(
        predict_tta, model, X, view, num_augmented=2, beta=0, batch_size=3
    )
    first, again, other = call(seed=3), call(seed=3), call(seed=4)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).min() > 0
    assert len(np.unique(first)) == 12  # a batch does not repeat another
    for state, value in zip(states, before, strict=True):
        np.testing.assert_array_equal(state.numpy(), value)
    one, two = call(), call()
    assert np.abs(one - two).min() > 0
    assert any(
        (state.numpy() != value).any()
        for state, value in zip(states, before, strict=True)
    )


def test_a_layer_of_the_model_draws_on_and_the_model_is_as_it_was():
    noise = layers.GaussianNoise(1.0, seed=1)
    model = keras.Sequential([keras.Input((2,)), noise])
    before = [np.array(v.numpy()) for v in model.variables]
    calls = [
        predict_tta(model, X, noise, num_augmented=n, beta=0) for n in (1, 1, 2)
    ]
    for one, two in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(calls[one] - calls[two]).min() > 0
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    seeded = [predict_tta(model, X, noise, beta=0, seed=1) for _ in range(2)]
    np.testing.assert_array_equal(*seeded)


def unseeded(x):
    return x + keras.random.normal(keras.ops.shape(x))


@pytest.mark.skipif(BACKEND == "jax", reason="Keras refuses it there")
def test_the_global_generator_draws_on_and_is_not_seeded():
    model = same()
    one, two = (predict_tta(model, X, unseeded, beta=0) for _ in range(2))
    assert np.abs(one - two).min() > 0
    with pytest.raises(ValueError, match="`augment` must draw from a layer"):
        predict_tta(model, X, unseeded, seed=1)
    # One that draws nothing may have a seed.
    predict_tta(model, X, [keras.ops.negative], seed=1)
