"""Random walks of freezing, training, saving and loading (R16)."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import BACKEND, BATCH, adam, data, distance, fit, mlp, sgd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from references import Adam, Momentum

from keras_fast import freeze_to, unfreeze
from keras_fast.optimizers import DiscriminativeOptimizer

REFERENCES = {sgd: Momentum, adam: Adam}
OPERATIONS = ["train", "reload", "unfreeze", *(("freeze", k) for k in range(3))]

walks = st.lists(st.sampled_from(OPERATIONS), min_size=10, max_size=10)
rates = st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=3, max_size=3)
starts = given(
    make=st.sampled_from([sgd, adam]),
    multipliers=st.none() | rates,
    walk=walks,
)
quick = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def take_a_walk(make, multipliers, walk):
    optimizer, each = make(), [1.0] * 6
    if multipliers is not None:
        each = np.repeat(multipliers, 2).tolist()
        optimizer = DiscriminativeOptimizer(optimizer, each)
    hidden = keras.layers.Dense(5, activation="tanh")
    model = mlp(optimizer, hidden, jit_compile=BACKEND == "jax")
    reference = REFERENCES[make](model.get_weights())
    reference.rates = [m * reference.rates[0] for m in each]
    batches = iter(np.random.default_rng(3).integers(0, 5, len(walk) + 1))
    for operation in [*walk, "train"]:
        if operation == "train":
            rows = slice(first := BATCH * next(batches), first + BATCH)
            x, y = (array[rows] for array in data(5))
            fit(model, x, y, epochs=1)
            reference.update(x, y)
        elif operation == "reload":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "model.keras")
                model.save(path)
                model = keras.models.load_model(path)
            reference.forget_frozen()
        else:
            first = 0 if operation == "unfreeze" else operation[1]
            unfreeze(model) if first == 0 else freeze_to(model, first)
            reference.trained = [i // 2 >= first for i in range(6)]
    pairs = zip(model.get_weights(), reference.weights, strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 1e-6
    assert int(model.optimizer.iterations) == reference.iterations


@quick
@starts
def test_walks(make, multipliers, walk):
    take_a_walk(make, multipliers, walk)


@pytest.mark.stress
@settings(quick, max_examples=200, derandomize=False)
@starts
def test_many_walks(make, multipliers, walk):
    take_a_walk(make, multipliers, walk)
