"""What do newer versions of Keras have that the oldest one lacks?"""

import re
from typing import Any

import keras

__all__ = ["ADAPTIVE_POOLING", "SCHEDULE_FREE", "has_renorm"]

# Since 3.13.
ADAPTIVE_POOLING = tuple(
    kind
    for name, kind in vars(keras.layers).items()
    if re.fullmatch(r"Adaptive\w+Pooling\dD", name)
)
# Since 3.14.
SCHEDULE_FREE = getattr(keras.optimizers, "ScheduleFreeAdamW", ())


def has_renorm(layer: Any) -> bool:
    """Whether a `BatchNormalization` renormalizes, possible since 3.14."""
    return getattr(layer, "renorm", False)
