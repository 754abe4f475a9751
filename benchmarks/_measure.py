"""How long does one thing take, as a multiple of another?

Import this first: it holds TensorFlow, XLA and the linear algebra to one
thread, which they take only before they start. Then CPU time counts the work
alone, whatever else the machine does.

Two things are measured in turn, A B, B A, A B, ..., so that a change of the
machine's pace meets both. Each pair gives a ratio; the median and the
quartiles of all pairs are reported.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import platform
import sys
import time

import keras
import numpy as np
from _compare import (
    cpu,
    interleaved,
    published,
    ratio,
    shown,
    table,
    verdict,
)

__all__ = [
    "cpu_seconds",
    "interleaved",
    "ratio",
    "report",
    "shown",
    "table",
    "verdict",
]

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def cpu_seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def versions():
    names = [f"Keras {keras.__version__}", f"NumPy {np.__version__}"]
    backend = keras.backend.backend()
    module = sys.modules[backend]
    names.insert(1, f"{backend} {module.__version__}")
    return (
        f"{', '.join(names)}, Python {platform.python_version()}; "
        f"{cpu()}, one thread."
    )


def report(section, text):
    """Print with the versions; with --write, also into the docs' page."""
    published(section, f"{text}\n\n{versions()}")
