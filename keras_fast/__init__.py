"""fast.ai's training techniques for Keras 3.

The model is yours and stays a `keras.Model`: find its learning rate with
`lr_find`, train it with `fit()` and the `callbacks`, freeze and unfreeze its
layers, and give early ones lower rates.
"""

from keras_fast import callbacks, layers, models, optimizers, schedules
from keras_fast._io import CorruptFileError, FileVersionError
from keras_fast.batch_norm import update_batch_norm
from keras_fast.callbacks.lr_finder import LRFinderResult
from keras_fast.freezing import freeze, freeze_to, unfreeze
from keras_fast.layer_groups import layer_groups, layer_multipliers
from keras_fast.training.lr_find import lr_find
from keras_fast.training_plan import training_plan

__version__ = "0.1.0"

__all__ = [
    "CorruptFileError",
    "FileVersionError",
    "LRFinderResult",
    "__version__",
    "callbacks",
    "freeze",
    "freeze_to",
    "layer_groups",
    "layer_multipliers",
    "layers",
    "lr_find",
    "models",
    "optimizers",
    "schedules",
    "training_plan",
    "unfreeze",
    "update_batch_norm",
]
