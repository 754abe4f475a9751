"""A feature cache built by NumPy alone, in processes that may be killed."""

import hashlib
import signal

import numpy as np
import pytest
from faults import fail_at

from keras_fast.features.batches import Batch
from keras_fast.features.build import build
from keras_fast.features.feature_cache import FeatureCache, shard_path

ROWS, WIDTH, BATCH = 40, 8, 6
PER_SHARD = 4


def inputs(rows=ROWS, width=WIDTH):
    return np.arange(rows * width, dtype="float32").reshape(rows, width)


def labels(x):
    return np.arange(len(x)) % 3


def body(x):
    return np.sin(x)


def batches(x, y, size=BATCH):
    for start in range(0, len(x), size):
        part = slice(start, start + size)
        chunk = None if y is None else y[part]
        yield Batch(x[part], chunk, len(x[part]))


def small_shards(patch, rows=PER_SHARD, width=WIDTH):
    """Shards of a few rows, so that little data make many."""
    size = rows * (width * 4 + 8)
    patch.setattr("keras_fast.features.build.MOST_BYTES", size)


def make(folder, x=None, extract=body, size=BATCH, views=1, key="key"):
    """Build and open; `extract` is told each batch."""
    x = inputs() if x is None else x
    passes = (batches(x + view, labels(x), size) for view in range(views))
    build(folder, key, passes, views, extract)
    return FeatureCache(folder)


def digest(folder):
    """Of all the cache's files and their names."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.name != "lock":
            found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def die_after(seconds):
    """The system ends this process then, wherever it is."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def count_calls(folder):
    with pytest.MonkeyPatch.context() as patch:
        calls = fail_at(patch, 0, None)
        make(folder)
    return len(calls)


class Counter:
    def __init__(self):
        self.starts = []

    def __call__(self, x):
        self.starts.append(int(x[0, 0]) // WIDTH)
        return body(x)


def whole_rows(folder):
    """Rows of the first view in the shards that are there."""
    return {
        number * PER_SHARD + i
        for number in range(ROWS // PER_SHARD)
        if shard_path(folder, (0, number)).exists()
        for i in range(PER_SHARD)
    }
