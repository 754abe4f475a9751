"""What features does a frozen body compute for this data, in memory?"""

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_fast._keras.batches import filled, is_one_shot, weighted_batches

__all__ = ["Features", "NoFeatures", "features"]

# All views together: 400,000 images of 1,280 numbers.
MOST_BYTES = 2 << 30


class NoFeatures(Exception):
    """Features can't be computed once for this data; the message says why."""


class Features(NamedTuple):
    """Features, targets and weights of samples, one row per sample and view."""

    x: Any
    y: Any
    sample_weight: Any
    batch_size: int
    num_views: int


def features(
    body: keras.Model,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    num_views: int,
    **how: Any,
) -> Features:
    """Run the body over the data, in several views if they differ.

    Data augmented anew at each pass gives a new view each time. Other data is
    recognized by its first batch, and read once.

    Args:
        body: A model with one output.
        x: Data, as accepted by `fit()`.
        y: As in `fit()`.
        sample_weight: As in `fit()`.
        num_views: Maximum number of views.
        **how: `batch_size`, `class_weight`, `steps` and `verbose`, see
            `weighted_batches`.

    Raises:
        NoFeatures: The data can be read only once, or there is not enough
            memory for one view.
    """
    if is_one_shot(x):
        raise NoFeatures("`x` can be read only once")
    parts: list[tuple[Any, Any, Any]] = []
    seen: set[int] = set()
    num_bytes = rows_at_once = views = 0
    for view in range(num_views):
        part = []
        for batch in weighted_batches(x, y, sample_weight, **how):
            inputs, targets, weights = batch
            checksums = _checksums(inputs)
            if view and not part and seen.intersection(checksums):
                break  # the same view again
            if not view:
                seen.update(checksums)
            rows_at_once = max(rows_at_once, len(checksums))
            made = _run(body, inputs, rows_at_once)
            num_bytes += made.nbytes
            if num_bytes > MOST_BYTES:
                part = []
                break
            part.append((made, targets, weights))
        if not part:
            break
        parts += part
        views += 1
    if not parts:
        raise NoFeatures(f"features of `x` of over {MOST_BYTES >> 20} MiB")
    x, y, sample_weight = map(_joined, zip(*parts, strict=True))
    return Features(x, y, sample_weight, rows_at_once, views)


def _joined(parts: Sequence[Any]) -> Any:
    """Join a sequence of structures of arrays; None for none."""
    if parts[0] is None:
        return None
    return keras.tree.map_structure(lambda *a: np.concatenate(a), *parts)


def _run(body: keras.Model, inputs: Any, size: int) -> np.ndarray:
    """The features of one batch."""
    count = len(keras.tree.flatten(inputs)[0])
    return np.asarray(body.predict_on_batch(filled(inputs, size)))[:count]


def _checksums(inputs: Any) -> list[int]:
    """One number per sample."""
    array = np.ascontiguousarray(keras.tree.flatten(inputs)[0])
    return [zlib.crc32(row.tobytes()) for row in array]
