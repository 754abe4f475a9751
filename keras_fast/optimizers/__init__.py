"""Optimizers that wrap others."""

from keras_fast.optimizers.discriminative_optimizer import (
    DiscriminativeOptimizer,
)

__all__ = ["DiscriminativeOptimizer"]
