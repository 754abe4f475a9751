"""Which model for this task? Functions that build a `keras.Model`."""

from keras_fast.models.classifier import image_classifier
from keras_fast.models.lite0 import efficientnet_lite0

__all__ = ["efficientnet_lite0", "image_classifier"]
