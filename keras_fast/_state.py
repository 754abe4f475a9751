"""How is a model put back exactly as it was?"""

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_fast._live import detach
from keras_fast._unwrap import innermost, scope

__all__ = ["build", "preserved"]

# What EpochIterator takes of what `fit()` takes.
DATA = ("sample_weight", "batch_size", "steps_per_epoch", "class_weight")


def build(model: keras.Model, batch: Any = None, **fit_kwargs: Any) -> None:
    """Make every variable that training needs, as `fit()` would.

    Args:
        model: A compiled model.
        batch: One batch (x, y, sample_weight), where data can't be rewound.
        **fit_kwargs: The data, as `fit()` takes it.
    """
    parts = (
        *model._flatten_layers(),
        model.optimizer,
        model._compile_loss,
        model._compile_metrics,
    )
    if all(part.built for part in parts if part is not None):
        return
    batches = None
    if batch is None:
        names = ("x", "y", *DATA)
        data = {k: v for k, v in fit_kwargs.items() if k in names}
        batches = EpochIterator(shuffle=False, **data)
    with scope(model):
        model._symbolic_build(iterator=batches, data_batch=batch)


@contextlib.contextmanager
def preserved(model: keras.Model) -> Iterator[None]:
    """Put a built model back, whatever happens within, bit for bit.

    That is: every variable of model, optimizer, loss and metrics, random
    state of the process, `stop_training`, `history`, compiled functions, and
    what this library attached.
    """
    variables = list(_variables(model))
    before = [np.array(v.numpy()) for v in variables]
    attributes = dict(model.__dict__)
    lists = {
        name: value[:]
        for name, value in attributes.items()
        if isinstance(value, list)
    }
    live = innermost(model.optimizer).__dict__.get("_live")
    schedules = dict(live.schedules) if live is not None else {}
    restore_random_state = _random_state()
    try:
        yield
    finally:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        for name, value in lists.items():
            attributes[name][:] = value
        model.__dict__.clear()
        model.__dict__.update(attributes)
        if live is None:
            detach(model.optimizer)
        else:
            live.schedules = schedules
        restore_random_state()


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
    match keras.backend.backend():
        case "tensorflow":
            from tensorflow.python.eager import context

            generator = getattr(context.context(), "_rng", None)
            if generator is not None:
                state = generator.getstate()
                return lambda: generator.setstate(state)
        case "torch":
            import torch

            state = torch.get_rng_state()
            return lambda: torch.set_rng_state(state)
    return lambda: None
