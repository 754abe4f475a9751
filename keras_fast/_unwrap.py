"""Which optimizer is inside which, and where do its variables live?"""

import contextlib
from typing import Any

import keras

__all__ = [
    "batches_per_update",
    "chain",
    "innermost",
    "scattered",
    "scope",
    "stateless",
]


def innermost(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.Optimizer:
    """The optimizer that updates, within whatever wraps it."""
    leaf = chain(optimizer)[-1]
    if hasattr(leaf, "optimizers"):
        raise ValueError(
            "The optimizer must be one optimizer: a schedule has one value "
            "for all. Use `keras_fast.optimizers.DiscriminativeOptimizer` for "
            "a learning rate per group. "
            f"Received: optimizer={type(leaf).__name__}"
        )
    return leaf


def chain(optimizer: Any) -> list[Any]:
    """The optimizer and what it wraps, from the outside in."""
    inner = getattr(optimizer, "inner_optimizer", None)
    return [optimizer] + (chain(inner) if inner is not None else [])


def batches_per_update(optimizer: keras.optimizers.Optimizer) -> int:
    """More than one where the optimizer accumulates gradients."""
    return innermost(optimizer).gradient_accumulation_steps or 1


def stateless() -> bool:
    """Whether a step sees the variables that it is handed, and no others."""
    return keras.backend.backend() == "jax"


def scope(owner: Any) -> contextlib.AbstractContextManager:
    """Where to make a variable that a model or an optimizer shall read."""
    strategy = getattr(owner, "_distribution_strategy", None) or getattr(
        owner, "_distribute_strategy", None
    )
    return strategy.scope() if strategy else contextlib.nullcontext()


def scattered(model: keras.Model) -> bool:
    """Whether each batch goes to several devices."""
    strategy = getattr(model, "_distribute_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        return True
    return keras.distribution.distribution() is not None
