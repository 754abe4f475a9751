"""Which optimizer wraps which, and where do its variables live?"""

import contextlib
from typing import Any

import keras

__all__ = [
    "batches_per_update",
    "chain",
    "innermost",
    "is_eager",
    "replicas",
    "scattered",
    "scope",
    "stateless",
]


def innermost(
    optimizer: keras.optimizers.Optimizer,
    reason: str = "a schedule has one value for all",
) -> keras.optimizers.Optimizer:
    """The optimizer that updates, within its wrappers.

    Args:
        optimizer: An optimizer, wrapped in others or not.
        reason: Why it must be one optimizer.
    """
    leaf = chain(optimizer)[-1]
    if hasattr(leaf, "optimizers"):
        raise ValueError(
            f"The optimizer must be one optimizer: {reason}. Use "
            "`keras_fast.optimizers.DiscriminativeOptimizer` for a learning "
            "rate per group. "
            f"Received: optimizer={type(leaf).__name__}"
        )
    return leaf


def chain(optimizer: Any) -> list[Any]:
    """The optimizer and those it wraps, from the outside in."""
    inner = getattr(optimizer, "inner_optimizer", None)
    return [optimizer] + (chain(inner) if inner is not None else [])


def batches_per_update(optimizer: keras.optimizers.Optimizer) -> int:
    """More than one if the optimizer accumulates gradients."""
    return innermost(optimizer).gradient_accumulation_steps or 1


def is_eager(model: keras.Model) -> bool:
    """Whether a train step runs as Python each time, untraced."""
    return model.run_eagerly or keras.backend.backend() == "torch"


def stateless() -> bool:
    """Whether a step sees only the variables that it is handed."""
    return keras.backend.backend() == "jax"


def scope(owner: Any) -> contextlib.AbstractContextManager:
    """The scope in which to create a variable for a model or optimizer."""
    strategy = getattr(owner, "_distribution_strategy", None) or getattr(
        owner, "_distribute_strategy", None
    )
    return strategy.scope() if strategy else contextlib.nullcontext()


def replicas(model: keras.Model) -> int:
    """Number of replicas that share a batch under `tf.distribute`."""
    strategy = getattr(model, "_distribute_strategy", None)
    return strategy.num_replicas_in_sync if strategy is not None else 1


def scattered(model: keras.Model) -> bool:
    """Whether each batch goes to several devices."""
    return replicas(model) > 1 or keras.distribution.distribution() is not None
