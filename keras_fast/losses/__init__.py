"""Losses that Keras does not have."""

from keras_fast.losses.feature_loss import FeatureLoss

__all__ = ["FeatureLoss"]
