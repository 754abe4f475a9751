"""How does raw data become `(x, y)`, and is it as it should be?"""

from keras_fast.data.show_batch import show_batch

__all__ = ["show_batch"]
