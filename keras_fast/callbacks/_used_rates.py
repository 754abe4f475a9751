"""Which learning rate does an optimizer use, given a rate?

Computations within an `update_step` can't be seen from outside; for two of
Keras's own optimizers they are known here.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from keras_fast._keras.optimizers import batches_applied
from keras_fast._keras.unwrap import batches_per_update
from keras_fast._keras.versions import SCHEDULE_FREE

__all__ = ["check_used", "makes_its_own", "used_rates", "warms_up"]

RatesOf = Callable[[int, int], np.ndarray]
GETTERS = ("learning_rate", "_get_current_learning_rate")


def used_rates(optimizer: Any, rates: Any, updates: Any) -> np.ndarray:
    """The rates that these updates of the optimizer actually use.

    Args:
        optimizer: The optimizer that updates.
        rates: The rates it is given.
        updates: Numbers of the updates in its lifetime, from 0.
    """
    if makes_its_own(optimizer):
        return np.full(len(rates), np.nan)
    if isinstance(optimizer, keras.optimizers.Adafactor):
        return np.minimum(rates, 1 / np.sqrt(updates + 1))
    if steps := _warm_up(optimizer):
        return rates * np.minimum((updates + 1) / steps, 1)
    return rates


def makes_its_own(optimizer: Any) -> bool:
    """Whether its class overrides how Keras determines the rate."""
    plain = keras.optimizers.Optimizer
    return any(
        getattr(type(optimizer), name) is not getattr(plain, name)
        for name in GETTERS
    )


def warms_up(optimizer: Any) -> bool:
    """Whether it scales the rate of its next update."""
    done = batches_applied(optimizer) // batches_per_update(optimizer)
    return done + 1 < _warm_up(optimizer)


def check_used(optimizer: Any, rates_of: RatesOf, start: int, end: int) -> None:
    """Refuse a schedule's rates if the updates would use others.

    Args:
        optimizer: The optimizer that updates.
        rates_of: A function to the rates of batches `start` to `end`.
        start: The first batch still to come.
        end: Batches in the whole training run.
    """
    if not isinstance(optimizer, keras.optimizers.Adafactor) or start >= end:
        return
    rates = rates_of(start, end)
    batches = batches_applied(optimizer) + np.arange(end - start)
    updates = batches // batches_per_update(optimizer)
    used = used_rates(optimizer, rates, updates)
    other = np.flatnonzero(used < rates * (1 - 1e-3))
    if len(other):
        first, kind = other[0], type(optimizer).__name__
        raise ValueError(
            f"The learning rate must be at most 1 / sqrt(update) for {kind}, "
            "which caps it there. Pass rates of at most "
            f"{1 / np.sqrt(updates[-1] + 1):.3g}, which it uses in all of "
            f"these updates. Received: learning_rate={rates[first]:.3g} in "
            f"update {updates[first] + 1}, of which {kind} makes "
            f"{used[first]:.3g}"
        )


def _warm_up(optimizer: Any) -> int:
    """Number of updates for which it scales the rate itself."""
    free = isinstance(optimizer, SCHEDULE_FREE)
    return optimizer.warmup_steps if free else 0
