"""Which model for this task? Functions that build a `keras.Model`."""

from keras_fast.models.gan import GAN
from keras_fast.models.images.classifier import image_classifier
from keras_fast.models.images.critic import critic
from keras_fast.models.images.lite0 import efficientnet_lite0
from keras_fast.models.images.point_regressor import point_regressor
from keras_fast.models.images.unet import unet
from keras_fast.models.tables.collaborative import collaborative_filter
from keras_fast.models.tables.tabular import tabular_model
from keras_fast.models.text.awd_lstm import language_model, text_encoder
from keras_fast.models.text.classifier import text_classifier
from keras_fast.models.text.vocabularies import match_embeddings

__all__ = [
    "GAN",
    "collaborative_filter",
    "critic",
    "efficientnet_lite0",
    "image_classifier",
    "language_model",
    "match_embeddings",
    "point_regressor",
    "tabular_model",
    "text_classifier",
    "text_encoder",
    "unet",
]
