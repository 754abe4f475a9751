"""Losses that Keras lacks."""

from keras_fast.losses.feature_loss import FeatureLoss

__all__ = ["FeatureLoss"]
