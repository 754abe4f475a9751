"""A feature cache built by NumPy alone, in processes that may be killed."""

import hashlib
import os
import signal
import warnings

import numpy as np
import pytest

from keras_fast._files import io as _io
from keras_fast.features.build import Batch, build
from keras_fast.features.feature_cache import FeatureCache
from keras_fast.features.manifest import read_manifest

ROWS, WIDTH, BATCH = 40, 8, 6
PER_SHARD = 4
PRIMITIVES = ("open", "write", "fsync", "replace", "posix_fallocate")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


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
    patch.setattr(
        "keras_fast.features.build.MOST_BYTES", 4096 + rows * width * 4
    )


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


def fork(function, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has threads
        process = os.fork()
    if process:
        return process
    try:
        function(*arguments)
        os._exit(0)
    finally:
        os._exit(1)


def exit_status(function, *arguments):
    return wait(fork(function, *arguments))


def wait(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def die_after(seconds):
    """The system ends this process then, wherever it is."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def fail_at(patch, call, fail):
    """Let the k-th call of the system fail; returns how many there were."""
    calls = []

    def watched(original):
        def primitive(*args, **kwargs):
            if str(args[0]).endswith("lock"):  # is no file of the cache's
                return original(*args, **kwargs)
            calls.append(original)
            if len(calls) == call:
                fail()
            return original(*args, **kwargs)

        return primitive

    for name in PRIMITIVES:
        if hasattr(os, name):
            patch.setattr(_io.os, name, watched(getattr(os, name)))
    return calls


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
    """Rows in the shards that the manifest knows."""
    try:
        shards = read_manifest(folder).shards
    except FileNotFoundError:
        return set()
    return {
        number * PER_SHARD + i
        for (_, number), (count, *_) in shards.items()
        for i in range(count)
    }
