"""Which batches does `fit()` see in this data?"""

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.trainers.data_adapters import get_data_adapter
from keras.src.trainers.data_adapters.array_slicing import (
    train_validation_split,
)

from keras_fast._checks import no_batch
from keras_fast._keras.progress import counted

__all__ = [
    "batches",
    "filled",
    "has_length",
    "is_endless",
    "is_one_shot",
    "weighted_batches",
    "without_validation",
]


def batches(
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: int | str = 0,
) -> Iterator[tuple[Any, Any]]:
    """Go through the data once, in its own order.

    Args:
        x: Data, as accepted by `fit()`.
        y: Targets, as in `fit()`.
        batch_size: For arrays; 32 if None. Other data already has batches.
        steps: Number of batches; all if None.
        verbose: As in `predict()`.

    Yields:
        Inputs and targets as NumPy arrays, in the structure of the data.
        Targets are None if there are none; weights are left out.

    Raises:
        ValueError: The data never ends, or has no batch.
    """
    given = weighted_batches(
        x, y, batch_size=batch_size, steps=steps, verbose=verbose
    )
    return ((inputs, targets) for inputs, targets, _ in given)


def weighted_batches(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    class_weight: dict[int, float] | None = None,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: int | str = 0,
) -> Iterator[tuple[Any, Any, Any]]:
    """Like `batches`, with sample weights, or None, as the third element.

    Class weights are converted to sample weights, as in `fit()`.
    """
    if steps is None:
        _check_end(x)
    data = get_data_adapter(
        x,
        y,
        sample_weight,
        batch_size=batch_size,
        steps_per_epoch=steps,
        shuffle=False,
        class_weight=class_weight,
    )
    data.on_epoch_begin()
    batch = None
    try:
        ends = [end for end in (steps, data.num_batches) if end is not None]
        number = min(ends, default=None)
        drawn = itertools.islice(data.get_numpy_iterator(), number)
        for batch in counted(drawn, number, verbose):
            yield keras.utils.unpack_x_y_sample_weight(batch)
    finally:
        data.on_epoch_end()
    if batch is None:
        raise no_batch(f"x={type(x).__name__}")


def filled(inputs: Any, size: int) -> Any:
    """A batch with its last row repeated up to an already traced size."""

    def fill(array: np.ndarray) -> np.ndarray:
        return array[np.minimum(np.arange(size), len(array) - 1)]

    return keras.tree.map_structure(fill, inputs)


def without_validation(
    x: Any, y: Any, sample_weight: Any, share: float
) -> tuple[Any, Any]:
    """Split the data by `validation_split` as `fit()` does.

    Returns:
        Two tuples (x, y, sample_weight): training data and validation data.
    """
    return train_validation_split((x, y, sample_weight), share)


def is_endless(x: Any) -> bool:
    """True if the data declares itself infinite."""
    if isinstance(x, keras.utils.PyDataset):
        return x.num_batches is None
    # tf.data's value for infinite.
    return hasattr(x, "cardinality") and int(x.cardinality()) == -1


def has_length(x: Any) -> bool:
    """Whether `fit()` can know how many batches an epoch has."""
    return not is_one_shot(x) and get_data_adapter(x).num_batches is not None


def is_one_shot(x: Any) -> bool:
    """Whether it can be passed over only once.

    This holds for iterators such as generators. A `PyDataset` is read by batch
    number, even if it is also an iterator, as those of `ImageDataGenerator`.
    """
    return isinstance(x, Iterator) and not isinstance(x, keras.utils.PyDataset)


def _check_end(x: Any) -> None:
    if is_endless(x):
        raise ValueError(
            "`steps` must be given, the data has no end. Pass the number of "
            "batches, or leave out its repeat(). Received: steps=None"
        )
