"""Metrics that Keras does not have. One class a file."""

from keras_fast.metrics.perplexity import Perplexity

__all__ = ["Perplexity"]
