"""Callbacks for `model.fit()`."""

from keras_fast.callbacks.cycle_stopping import CycleStopping
from keras_fast.callbacks.cyclical_lr import CyclicalLR
from keras_fast.callbacks.flat_cosine import FlatCosine
from keras_fast.callbacks.lr_finder import LRFinder
from keras_fast.callbacks.one_cycle import OneCycle
from keras_fast.callbacks.param_scheduler import ParamScheduler
from keras_fast.callbacks.recorder import Recorder
from keras_fast.callbacks.resumable_checkpoint import ResumableCheckpoint
from keras_fast.callbacks.sample_images import SampleImages
from keras_fast.callbacks.sample_text import SampleText
from keras_fast.callbacks.sgdr import SGDR
from keras_fast.callbacks.slanted_triangular import SlantedTriangular
from keras_fast.callbacks.snapshot_ensemble import SnapshotEnsemble
from keras_fast.callbacks.weight_averaging import WeightAveraging

__all__ = [
    "CycleStopping",
    "CyclicalLR",
    "FlatCosine",
    "LRFinder",
    "OneCycle",
    "ParamScheduler",
    "Recorder",
    "ResumableCheckpoint",
    "SGDR",
    "SampleImages",
    "SampleText",
    "SlantedTriangular",
    "SnapshotEnsemble",
    "WeightAveraging",
]
