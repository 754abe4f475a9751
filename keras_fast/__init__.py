"""fast.ai's training techniques for Keras 3."""

from keras_fast import callbacks, schedules
from keras_fast.callbacks.lr_finder import LRFinderResult
from keras_fast.training.lr_find import lr_find

__version__ = "0.1.0"
