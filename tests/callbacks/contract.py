"""One of each callback, and what its training has to come to."""

import tempfile
from functools import cache, partial
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import (
    JIT,
    by_hand,
    data,
    distance,
    fit,
    mlp,
    put,
    state,
    weights,
)

from keras_fast import callbacks
from keras_fast.schedules import linear

UPDATES = 20  # two epochs of ten batches


def echo(prompts, num_tokens, seed):
    return prompts


# What each is made of, for a run of so many updates.
MAKE = {
    "CyclicalLR": lambda n: callbacks.CyclicalLR(0.001, 0.05, step_size=3),
    "FlatCosine": lambda n: callbacks.FlatCosine(0.05),
    "LRFinder": lambda n: callbacks.LRFinder(
        1e-4, 0.05, num_steps=max(n, 6), stop_factor=1e9
    ),
    "OneCycle": lambda n: callbacks.OneCycle(0.05),
    "ParamScheduler": lambda n: callbacks.ParamScheduler(
        learning_rate=partial(linear, start=0.05, end=0.01),
        momentum=partial(linear, start=0.5, end=0.99),
    ),
    "Recorder": lambda n: callbacks.Recorder(),
    "ResumableCheckpoint": lambda n: callbacks.ResumableCheckpoint(
        Path(tempfile.mkdtemp(), "save"), save_freq=3
    ),
    "SampleText": lambda n: callbacks.SampleText(echo, [[1]], write=list),
    "SGDR": lambda n: callbacks.SGDR(0.05, cycle_len=0.5, cycle_mult=2),
    "SlantedTriangular": lambda n: callbacks.SlantedTriangular(0.05),
}
NO_SCHEDULES = {"Recorder", "ResumableCheckpoint", "SampleText"}
SCHEDULERS = sorted(set(MAKE) - NO_SCHEDULES)
# They do not train alone, do more than train, or need a model of images.
OTHERS = {
    "CycleStopping",
    "SampleImages",
    "SnapshotEnsemble",
    "WeightAveraging",
}
every_callback = pytest.mark.parametrize("name", sorted(MAKE))
every_scheduler = pytest.mark.parametrize("name", SCHEDULERS)


def curve(callback, num_updates=UPDATES, epochs=2):
    if not hasattr(callback, "curve"):
        return {}
    return callback.curve(num_updates, epochs)


# One model a set-up trains for all callbacks: it is traced once, and each of
# them meets a model that has trained before.
@cache
def trained(optimizer, jit_compile, executions, arguments, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = mlp(
            optimizer(**dict(arguments)),
            jit_compile=jit_compile,
            steps_per_execution=executions,
        )
        return model, state(model)
    finally:
        keras.config.set_dtype_policy("float32")


@cache
def expected(name, optimizer, arguments, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = mlp(optimizer(**dict(arguments)), run_eagerly=True)
        size = dict(arguments).get("gradient_accumulation_steps", 1)
        values = curve(MAKE[name](UPDATES // size), UPDATES // size)
        by_hand(model, *data(), values)
        return weights(model)
    finally:
        keras.config.set_dtype_policy("float32")


# What kernels differ by over so many updates: some processors round each
# product to float16, others the sum.
TOLERANCES = {"float32": 2e-6, "mixed_float16": 2e-3}


def assert_as_by_hand(
    name, optimizer, jit, executions, arguments=(), policy="float32"
):
    model, start = trained(optimizer, jit, executions, arguments, policy)
    put(model, start)
    size = dict(arguments).get("gradient_accumulation_steps", 1)
    fit(model, *data(), MAKE[name](UPDATES // size))
    wanted = expected(name, optimizer, arguments, policy)
    assert distance(weights(model), wanted) <= TOLERANCES[policy]


# The weight of this model falls by the learning rate at each update.
def falling(optimizer, **arguments):
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]
    )
    model.layers[0].kernel.assign([[0.0]])
    model.compile(optimizer, lambda y, p: p, jit_compile=JIT[-1], **arguments)
    return model


def ones(n):
    return np.ones((n, 1), "float32"), np.ones((n, 1), "float32")
