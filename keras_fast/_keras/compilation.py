"""What is a model compiled with?"""

from typing import Any

import keras

__all__ = ["given_loss_weights", "given_metrics", "losses_and_metrics"]


def losses_and_metrics(model: keras.Model) -> tuple[Any, Any]:
    """Loss and metrics as the step has them, or None."""
    return model._compile_loss, model._compile_metrics


def given_loss_weights(model: keras.Model) -> Any:
    """The loss weights passed to `compile()`."""
    return model._compile_loss._user_loss_weights


def given_metrics(model: keras.Model) -> Any:
    """The metrics passed to `compile()`, or None."""
    metrics = model._compile_metrics
    return metrics._user_metrics if metrics is not None else None
