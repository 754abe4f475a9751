"""Which model for this task? Functions that build a `keras.Model`."""

from keras_fast.models.efficientnet_lite0 import efficientnet_lite0
from keras_fast.models.image_classifier import image_classifier

__all__ = ["efficientnet_lite0", "image_classifier"]
