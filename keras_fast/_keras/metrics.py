"""Which way is better for a metric?"""

from typing import Any

__all__ = ["declares_larger_better"]


def declares_larger_better(metric: Any) -> bool:
    """Whether it declares this, as Keras's own do for early stopping."""
    return getattr(metric, "_direction", None) == "up"
