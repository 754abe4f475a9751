"""Models small enough to be compared weight by weight, and a loop by hand."""

import contextlib
import hashlib

import keras
import numpy as np
import pytest

BACKEND = keras.backend.backend()
# PyTorch runs one step an execution, and its compiler is another's subject.
EXECUTIONS = (1,) if BACKEND == "torch" else (1, 5)
JIT = (False,) if BACKEND == "torch" else (False, True)
BATCH = 4

ATTRIBUTES = {
    "learning_rate": ("learning_rate",),
    "momentum": ("momentum", "beta_1"),
    "beta_2": ("beta_2", "rho"),
    "weight_decay": ("weight_decay",),
}


def since(version):
    """Marks what names a part that Keras has from this version on."""
    installed, needed = (
        tuple(map(int, each.split(".")[:2]))
        for each in (keras.__version__, version)
    )
    return pytest.mark.skipif(
        installed < needed,
        reason=f"names a part of Keras {version}, this is {keras.__version__}",
    )


def sgd(**arguments):
    return keras.optimizers.SGD(0.05, momentum=0.9, **arguments)


def adam(**arguments):
    return keras.optimizers.Adam(0.01, **arguments)


def data(batches=10, batch_size=BATCH):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(batches * batch_size, 4)).astype("float32")
    y = np.sin(x.sum(axis=1, keepdims=True)).astype("float32")
    return x, y


def mlp(optimizer, *extra_layers, jit_compile=False, loss="mse", **arguments):
    """A compiled network whose first weights are always the same."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="tanh"),
            *extra_layers,
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    rng = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    model.compile(optimizer, loss, jit_compile=jit_compile, **arguments)
    model.optimizer.build(model.trainable_variables)
    return model


def leaf(optimizer):
    while getattr(optimizer, "inner_optimizer", None) is not None:
        optimizer = optimizer.inner_optimizer
    return optimizer


def attribute(optimizer, name):
    return next(a for a in ATTRIBUTES[name] if hasattr(optimizer, a))


def by_hand(model, x, y, curve, epochs=2, batch_size=BATCH):
    """Train with the hyperparameters of each update set by hand.

    The model must run eagerly: a traced step would not see them.
    """
    with interpreted():
        return _by_hand(model, x, y, curve, epochs, batch_size)


def interpreted():
    """Without it JAX compiles each condition, at every step anew."""
    if BACKEND != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.disable_jit()


def _by_hand(model, x, y, curve, epochs, batch_size):
    optimizer = leaf(model.optimizer)
    size = optimizer.gradient_accumulation_steps or 1
    starts = [*range(0, len(x), batch_size)] * epochs
    losses = []
    for k, start in enumerate(starts):
        for name, values in curve.items():
            value = float(values[min(k // size, len(values) - 1)])
            setattr(optimizer, attribute(optimizer, name), value)
        rows = slice(start, start + batch_size)
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x[rows], y[rows])))
    model.optimizer.finalize_variable_values(model.trainable_variables)
    return np.array(losses)


def fit(model, x, y, *callbacks, epochs=2, batch_size=BATCH, **arguments):
    return model.fit(
        x,
        y,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
        **arguments,
    )


def weights(model):
    return np.concatenate([np.ravel(w) for w in model.get_weights()])


def state(model):
    """Every number that training changes, but the schedule's own."""
    return [np.array(v.numpy()) for v in _variables(model)]


def digest(model):
    """One string for that state and for which variables train."""
    marks = [variable.trainable for variable in model.variables]
    found = hashlib.sha256(repr(marks).encode())
    for value in state(model):
        found.update(value.tobytes())
    return found.hexdigest()


def put(model, values):
    for variable, value in zip(_variables(model), values, strict=True):
        variable.assign(value)


def _variables(model):
    # Here: a script that does without this library takes its models from here.
    from keras_fast._keras.live import carried

    ours = carried(model.optimizer)
    return model.variables + [
        v for v in model.optimizer.variables if not any(v is o for o in ours)
    ]


def distance(a, b):
    return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))
