"""Which way is better for a metric?"""

from typing import Any

__all__ = ["declares_larger_better"]


def declares_larger_better(metric: Any) -> bool:
    """Whether it says so, as Keras's own do to early stopping."""
    return getattr(metric, "_direction", None) == "up"
