"""Layers that Keras does not have, or has with a fault."""

from keras_fast.layers.embedding import Embedding
from keras_fast.layers.scaled_sigmoid import ScaledSigmoid

__all__ = ["Embedding", "ScaledSigmoid"]
