"""Run a frozen body once, and train its head on the features."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from keras_fast._checks import model as checked_model
from keras_fast._checks import verbosity, whole
from keras_fast._files.io import CorruptFileError, to_json
from keras_fast._keras.batches import is_endless, is_one_shot
from keras_fast._keras.progress import counted
from keras_fast.features.batches import Batch, batches, is_arrays
from keras_fast.features.build import build
from keras_fast.features.feature_cache import VERSION, FeatureCache
from keras_fast.features.fingerprint import (
    batch_digest,
    body_fingerprint,
    data_fingerprint,
)

__all__ = ["cache_features"]


def cache_features(
    body: keras.Model,
    x: Any,
    y: Any = None,
    *,
    directory: str | os.PathLike,
    num_views: int = 1,
    batch_size: int = 64,
    key: str | None = None,
    verbose: int | str = 0,
) -> FeatureCache:
    """Run a frozen body over data once, and keep its features on disk.

    A second call with the same body and data reads the files: everything they
    depend on is part of their folder's name, by content. That is the layers,
    their weights and dtypes, the data, `num_views`, the backend and the
    versions of Keras and of the format. If anything differs, a new folder is
    used.

    An interrupted call resumes where it ended. Damaged files are detected,
    reported in a warning and rebuilt. If another process is computing the same
    features, this one waits for it.

    Arrays are identified by their bytes. Other data is read once more
    beforehand, without the body, and must be the same each time; `key` avoids
    that.

    Args:
        body: The model that computes features, as `split_head` returns it.
        x: Data, as accepted by `fit()`, with an end. All of it is read.
        y: Labels, if `x` is arrays: one numeric array.
        directory: Parent folder of the feature folders. It is created if
            needed.
        num_views: Number of passes over the data. With more than one, the
            body runs as in `fit()`, with its augmentation active; the data
            may return other images each time. Each epoch trains on the next
            view.
        batch_size: Rows in a batch, if `x` is arrays.
        key: Identifies inputs that can't be identified by content: data that
            differs each time or can be read only once, your own layers and
            functions. Pass another key when these change.
        verbose: `"auto"` or 1 shows a progress bar for each view, as in
            `predict()`.

    Returns:
        A `FeatureCache`.

    Raises:
        ValueError: The data or the body's code can be identified only by a
            `key`; the data differs from pass to pass, has no rows, or labels
            that are not an array; with several views, the body is not frozen.
        OSError: A file could not be written. The message shows how many bytes
            it needs; existing files are kept.

    Examples:
        >>> body, head = keras_fast.split_head(model)
        >>> cache = keras_fast.cache_features(body, x, y, directory="cache")
        >>> features, labels = cache.arrays()
        >>> features.shape, labels.shape
        ((32, 8), (32, 1))

    Reference:

    - fastai 0.7, `ConvLearner.pretrained(..., precompute=True)`
    """
    checked_model(body)
    num_views = whole("num_views", num_views)
    batch_size = whole("batch_size", batch_size)
    verbosity(verbose)
    _check_data(x, y, num_views, key)
    _check_body(body, num_views)
    content = data_fingerprint(x, y, key)
    made_of = {
        **body_fingerprint(body, key),
        "data": content,
        "key": key,
        "num_views": num_views,
        "format": VERSION,
    }
    name = hashlib.sha256(to_json(made_of)).hexdigest()
    folder = Path(directory) / name[:32]
    try:
        return FeatureCache(folder)
    except (CorruptFileError, FileNotFoundError):
        passes = (
            _pass(x, y, batch_size, content, verbose) for _ in range(num_views)
        )
        # With several views, random layers are active as in training.
        runs = body if num_views == 1 else _AsInTraining(body)
        build(folder, name, passes, num_views, runs.predict_on_batch)
    return FeatureCache(folder)


class _AsInTraining(keras.Model):
    """A model whose random layers are active, though nothing trains."""

    def __init__(self, body: keras.Model) -> None:
        super().__init__(name=f"{body.name}_views")
        self.body = body

    def call(self, inputs: Any) -> Any:
        return self.body(inputs, training=True)


def _pass(
    x: Any, y: Any, batch_size: int, content: Any, verbose: Any
) -> Iterator[Batch]:
    """One pass over the batches, checked against their hashes."""
    number = len(content) if isinstance(content, list) else None
    if is_arrays(x):
        number = -(-len(keras.tree.flatten(x)[0]) // batch_size)
    given = counted(batches(x, y, batch_size), number, verbose)
    return _compared(given, content) if isinstance(content, list) else given


def _compared(given: Iterator[Batch], digests: list[str]) -> Iterator[Batch]:
    pairs = itertools.zip_longest(given, digests)
    for number, (batch, digest) in enumerate(pairs, start=1):
        if batch is None or batch_digest(batch) != digest:
            raise ValueError(
                "`x` must give the same batches each time. Take out the "
                "shuffling, or pass a `key` that stands for the data. "
                f"Received: batch {number} differs from what it was"
            )
        yield batch


def _check_data(x: Any, y: Any, num_views: int, key: str | None) -> None:
    if key is not None and not isinstance(key, str):
        raise TypeError(f"`key` must be a string. Received: key={key!r}")
    if is_arrays(x):
        return
    if y is not None:
        raise ValueError(
            "`y` must be None unless `x` is arrays. Let `x` give pairs of "
            f"inputs and labels. Received: x={type(x).__name__}, "
            f"y={type(y).__name__}"
        )
    # `PyDataset` has `__iter__` since Keras 3.11.
    if not isinstance(x, keras.utils.PyDataset) and not hasattr(x, "__iter__"):
        raise TypeError(
            "`x` must be data as `fit()` takes them. Pass arrays or a "
            f"`tf.data.Dataset`. Received: x={x!r}"
        )
    if is_endless(x):
        raise ValueError(
            "`x` must have an end. Leave out `repeat()`. Received: "
            f"x={type(x).__name__}"
        )
    once = is_one_shot(x)
    if once and num_views > 1:
        raise ValueError(
            "`x` must be data that can be passed over several times for "
            f"several views. Received: x={x!r}, num_views={num_views}"
        )
    if key is None and (once or num_views > 1):
        raise ValueError(
            "`key` must be given: data that can be read only once, or differ "
            "from view to view, can't be told from others. Pass a string, "
            "and another one for other data. Received: "
            f"x={type(x).__name__}, num_views={num_views}, key=None"
        )


def _check_body(body: keras.Model, num_views: int) -> None:
    # A subclassed model does not know its outputs.
    outputs = getattr(body, "outputs", [None])
    if len(outputs) != 1:
        raise ValueError(
            "`body` must have one output. Split the model where there is one. "
            f"Received: body={body.name} with {len(outputs)} outputs"
        )
    if num_views > 1 and body.trainable_variables:
        raise ValueError(
            "`body` must be frozen for several views: it runs as in `fit()`. "
            "Call `freeze(model)` before `split_head(model)`. Received: "
            f"body={body.name} with {len(body.trainable_variables)} variables "
            "that train"
        )
