"""Does a scheduled momentum reach the update of each optimizer?

The updates are written out here in NumPy, after the papers and with the
places of epsilon that Keras chose.
"""

from functools import cache

import keras
import numpy as np
import pytest
from helpers import JIT, data, digest, distance, fit, mlp, put, state, weights
from references import gradients

from keras_fast.callbacks import OneCycle, ParamScheduler
from keras_fast.optimizers import DiscriminativeOptimizer

UPDATES = 10
RATE = 0.01
MOMENTUMS = (0.5, 0.95)


# Each: two slots, the gradient g, weight w, count t of this update and the
# momentum b; returns what is added to the weight.
def plain(slots, g, w, t, b):
    slots[0] = b * slots[0] - RATE * g
    return slots[0]


def nesterov(slots, g, w, t, b):
    return b * plain(slots, g, w, t, b) - RATE * g


def rmsprop(slots, g, w, t, b):
    slots[1] = 0.9 * slots[1] + 0.1 * g**2
    slots[0] = b * slots[0] + RATE * g / np.sqrt(slots[1] + 1e-7)
    return -slots[0]


def means(slots, g, b):
    slots[0] = b * slots[0] + (1 - b) * g
    slots[1] = 0.999 * slots[1] + 0.001 * g**2


def adam(slots, g, w, t, b):
    means(slots, g, b)
    rate = RATE * np.sqrt(1 - 0.999**t) / (1 - b**t)
    return -rate * slots[0] / (np.sqrt(slots[1]) + 1e-7)


def adamw(slots, g, w, t, b):
    return adam(slots, g, w, t, b) - RATE * 0.1 * w


def nadam(slots, g, w, t, b):
    means(slots, g, b)
    u = [b * (1 - 0.5 * 0.96**i) for i in range(1, t + 2)]
    ahead = u[-1] * slots[0] / (1 - np.prod(u))
    mean = ahead + (1 - u[-2]) * g / (1 - np.prod(u[:-1]))
    return -RATE * mean / (np.sqrt(slots[1] / (1 - 0.999**t)) + 1e-7)


def lamb(slots, g, w, t, b):
    means(slots, g, b)
    square = np.sqrt(slots[1] / (1 - 0.999**t)) + 1e-7
    step = slots[0] / (1 - b**t) / square
    return -RATE * np.linalg.norm(w) / np.linalg.norm(step) * step


KERAS = keras.optimizers
OPTIMIZERS = {
    plain: lambda: KERAS.SGD(RATE, momentum=0.9),
    nesterov: lambda: KERAS.SGD(RATE, momentum=0.9, nesterov=True),
    rmsprop: lambda: KERAS.RMSprop(RATE, momentum=0.9),
    adam: lambda: KERAS.Adam(RATE),
    adamw: lambda: KERAS.AdamW(RATE, weight_decay=0.1),
    nadam: lambda: KERAS.Nadam(RATE),
    lamb: lambda: KERAS.Lamb(RATE),
}


@cache
def by_numpy(step, momentum):
    model = mlp(KERAS.SGD())
    found = [w.astype("float64") for w in model.get_weights()]
    slots = [np.zeros((2, *w.shape)) for w in found]
    x, y = data(1)
    for t in range(1, UPDATES + 1):
        for i, g in enumerate(gradients(found, x, y)):
            found[i] = found[i] + step(slots[i], g, found[i], t, momentum)
    return np.concatenate([w.ravel() for w in found])


@pytest.mark.parametrize("jit", JIT)
@pytest.mark.parametrize("step", OPTIMIZERS)
@pytest.mark.matrix(6)
def test_updates_are_those_of_the_scheduled_momentum(step, jit):
    model = mlp(OPTIMIZERS[step](), jit_compile=jit)
    start = state(model)
    ended = []
    for momentum in MOMENTUMS:
        put(model, start)
        schedule = ParamScheduler(momentum=lambda p, m=momentum: m)
        fit(model, *data(1), schedule, epochs=UPDATES)
        assert distance(weights(model), by_numpy(step, momentum)) <= 1e-6
        ended.append(weights(model))
    assert distance(*ended) > 1e-3


@pytest.mark.parametrize(
    "make",
    [
        KERAS.SGD,
        KERAS.RMSprop,
        KERAS.Adagrad,
        KERAS.Adadelta,
        KERAS.Adafactor,
        KERAS.Ftrl,
        lambda: DiscriminativeOptimizer(KERAS.SGD(), [1.0] * 4),
        lambda: KERAS.LossScaleOptimizer(KERAS.SGD()),
    ],
)
@pytest.mark.matrix(3)
def test_an_optimizer_without_momentum_is_refused(make):
    model = mlp(make())
    before = digest(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(1), OneCycle(0.1))
    assert str(caught.value).startswith(
        "The optimizer must have a momentum to be scheduled. Give it one, "
        "such as `SGD(learning_rate, momentum=0.9)`, or pass "
        "`momentums=None` to leave it alone. Received: optimizer="
    )
    assert digest(model) == before
    # The other way out that the message names.
    fit(model, *data(1), OneCycle(0.1, momentums=None))
    assert digest(model) != before
