"""fast.ai's training techniques for Keras 3.

The model is yours and stays a `keras.Model`: build it on a pretrained network,
cache what its frozen base computes, find its learning rate with `lr_find`,
train it with `fit()` and the `callbacks`, freeze and unfreeze its layers, give
early layers lower rates, and inspect what it has learned with `inference`.
"""

from keras_fast import (
    callbacks,
    data,
    inference,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    schedules,
    search,
)
from keras_fast._files.io import CorruptFileError, FileVersionError
from keras_fast.callbacks.lr_finder import LRFinderResult
from keras_fast.features.cache import cache_features
from keras_fast.features.feature_cache import FeatureCache
from keras_fast.inference.tta import predict_tta
from keras_fast.training.fine_tune import fine_tune
from keras_fast.training.fine_tune_history import FineTuneHistory
from keras_fast.training.gradual_unfreeze import gradual_unfreeze
from keras_fast.training.lr_find import lr_find
from keras_fast.training.progressive_resizing import progressive_resizing
from keras_fast.transfer.batch_norm import update_batch_norm
from keras_fast.transfer.freezing import freeze, freeze_to, unfreeze
from keras_fast.transfer.groups import layer_groups
from keras_fast.transfer.lsuv import lsuv_init
from keras_fast.transfer.multipliers import layer_multipliers
from keras_fast.transfer.plan import training_plan
from keras_fast.transfer.split import split_head
from keras_fast.transfer.weight_decay import decay_weights_only

__version__ = "0.2.0"

__all__ = [
    "CorruptFileError",
    "FeatureCache",
    "FileVersionError",
    "FineTuneHistory",
    "LRFinderResult",
    "__version__",
    "cache_features",
    "callbacks",
    "data",
    "decay_weights_only",
    "fine_tune",
    "freeze",
    "freeze_to",
    "gradual_unfreeze",
    "inference",
    "layer_groups",
    "layer_multipliers",
    "layers",
    "losses",
    "lr_find",
    "lsuv_init",
    "metrics",
    "models",
    "optimizers",
    "predict_tta",
    "progressive_resizing",
    "schedules",
    "search",
    "split_head",
    "training_plan",
    "unfreeze",
    "update_batch_norm",
]
