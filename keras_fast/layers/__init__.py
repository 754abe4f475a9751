"""Layers that Keras lacks, or has with a fault."""

from keras_fast.layers.activation_regularization import (
    ActivationRegularization,
)
from keras_fast.layers.bias import Bias
from keras_fast.layers.concat_pooling import ConcatPooling
from keras_fast.layers.embedding import Embedding
from keras_fast.layers.icnr import ICNR
from keras_fast.layers.pixel_shuffle import PixelShuffle
from keras_fast.layers.scaled_sigmoid import ScaledSigmoid
from keras_fast.layers.soft_argmax import SoftArgmax
from keras_fast.layers.weight_drop_lstm import WeightDropLSTM

__all__ = [
    "ActivationRegularization",
    "Bias",
    "ConcatPooling",
    "Embedding",
    "ICNR",
    "PixelShuffle",
    "ScaledSigmoid",
    "SoftArgmax",
    "WeightDropLSTM",
]
