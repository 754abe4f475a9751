"""Layers that Keras does not have."""

from keras_fast.layers.scaled_sigmoid import ScaledSigmoid

__all__ = ["ScaledSigmoid"]
