"""How is a model put back exactly as it was?"""

import contextlib
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_fast._live import detach
from keras_fast._unwrap import innermost, scope

__all__ = ["preserved", "random_state_preserved"]

# What EpochIterator takes of what `fit()` takes.
DATA = ("sample_weight", "batch_size", "steps_per_epoch", "class_weight")


@contextlib.contextmanager
def preserved(
    model: keras.Model, batch: Any = None, **fit_kwargs: Any
) -> Iterator[None]:
    """Build a model, and put it back, whatever happens within, bit for bit.

    That is: every variable of model, optimizer, loss and metrics, random
    state of the process, `stop_training`, `history`, compiled functions, and
    what this library attached.

    Args:
        model: A compiled model.
        batch: One batch (x, y, sample_weight), where data can't be rewound.
        **fit_kwargs: The data, as `fit()` takes it.
    """
    restore_random_state = _random_state()
    # Where these are not built, the next `fit()` draws a batch to do it. So
    # it shall, for its batches to come in the same order.
    compiled = (model._compile_loss, model._compile_metrics)
    restore_compiled = [_attributes(part) for part in compiled if part]
    _build(model, batch, **fit_kwargs)
    variables = list(_variables(model))
    before = [np.array(v.numpy()) for v in variables]
    restore_model = _attributes(model)
    live = innermost(model.optimizer).__dict__.get("_live")
    schedules = dict(live.schedules) if live is not None else {}
    try:
        yield
    finally:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        for restore in (restore_model, *restore_compiled):
            restore()
        if live is None:
            detach(model.optimizer)
        else:
            live.schedules = schedules
        restore_random_state()


@contextlib.contextmanager
def random_state_preserved(seeds: Iterable[keras.Variable]) -> Iterator[None]:
    """Put back these seeds, and the random state of the process."""
    restore = _random_state()
    overall = global_state.get_global_attribute("global_seed_generator")
    states = [*seeds, *([overall.state] if overall is not None else [])]
    before = [np.array(state.numpy()) for state in states]
    try:
        yield
    finally:
        for state, value in zip(states, before, strict=True):
            state.assign(value)
        restore()


def _build(model: keras.Model, batch: Any, **fit_kwargs: Any) -> None:
    """Make every variable that training needs, as `fit()` would."""
    batches = None
    if batch is None:
        names = ("x", "y", *DATA)
        data = {k: v for k, v in fit_kwargs.items() if k in names}
        batches = EpochIterator(shuffle=False, **data)
    with scope(model):
        model._symbolic_build(iterator=batches, data_batch=batch)


def _attributes(owner: Any) -> Callable[[], None]:
    """Take down an object's attributes and lists; the result restores them."""
    attributes = dict(owner.__dict__)
    lists = {
        name: value[:]
        for name, value in attributes.items()
        if isinstance(value, list)
    }

    def restore() -> None:
        for name, value in lists.items():
            attributes[name][:] = value
        owner.__dict__.clear()
        owner.__dict__.update(attributes)

    return restore


def _variables(model: keras.Model) -> Iterator[keras.Variable]:
    """Each variable that training may change, once."""
    seeds = global_state.get_global_attribute("global_seed_generator")
    live = innermost(model.optimizer).__dict__.get("_live")
    everything = (
        model.variables
        + model.metrics_variables
        + model.optimizer.variables
        + ([live.table, live.position] if live is not None else [])
        + ([seeds.state] if seeds is not None else [])
    )
    yield from {id(v): v for v in everything}.values()


def _random_state() -> Callable[[], None]:
    """Take down the random state of this process; the result restores it."""
    python, numpy = random.getstate(), np.random.get_state()
    restore_backend = _backend_random_state()

    def restore() -> None:
        random.setstate(python)
        np.random.set_state(numpy)
        restore_backend()

    return restore


def _backend_random_state() -> Callable[[], None]:
    restores = []
    # Keras shuffles arrays with TensorFlow on JAX too.
    if "tensorflow" in sys.modules:
        from tensorflow.python.eager import context

        generator = getattr(context.context(), "_rng", None)
        if generator is not None:
            state = generator.getstate()
            restores.append(lambda: generator.setstate(state))
    if keras.backend.backend() == "torch":
        torch = sys.modules["torch"]
        torch_state = torch.get_rng_state()
        restores.append(lambda: torch.set_rng_state(torch_state))

    def restore() -> None:
        for each in restores:
            each()

    return restore
