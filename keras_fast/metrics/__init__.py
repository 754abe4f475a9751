"""Metrics that Keras lacks. One class per file."""

from keras_fast.metrics.perplexity import Perplexity

__all__ = ["Perplexity"]
