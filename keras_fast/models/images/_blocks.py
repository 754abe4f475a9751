"""Which layers do decoders and heads on feature maps consist of?"""

from typing import Any

import keras

__all__ = ["batch_norm", "convolution"]


def batch_norm(name: str, **kwargs: Any) -> keras.layers.Layer:
    # Keras's own momentum, 0.99, is too slow for a few epochs.
    return keras.layers.BatchNormalization(momentum=0.9, name=name, **kwargs)


def convolution(filters: int, size: int, name: str) -> keras.layers.Layer:
    """A convolution with a normalization after it, which adds the bias."""
    return keras.layers.Conv2D(
        filters,
        size,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )
