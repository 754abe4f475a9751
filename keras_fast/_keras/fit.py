"""Which callbacks and data does a `fit()` have?

Keras does not show a callback the other callbacks or the data, but both are
in the frames that called it.
"""

import inspect
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import keras
from keras.callbacks import CallbackList
from keras.src.trainers.epoch_iterator import EpochIterator

__all__ = [
    "batches_done",
    "batches_of_this_fit",
    "begin_at",
    "begin_at_epoch",
    "callbacks_of_this_fit",
    "data_of_this_fit",
    "flattened",
    "is_in_a_fit",
    "is_validated",
    "is_within_a_fit",
    "restarts",
    "trains_already",
]


def callbacks_of_this_fit() -> list[keras.callbacks.Callback]:
    """All callbacks of the `fit()` that called, or none without one."""
    return flattened(_innermost(CallbackList, inspect.currentframe()))


def flattened(callbacks: Any) -> list[keras.callbacks.Callback]:
    """The callbacks in any form that `fit()` accepts."""
    found = []
    for each in keras.tree.flatten(callbacks) if callbacks else []:
        several = isinstance(each, CallbackList)
        found += flattened(each.callbacks) if several else [each]
    return found


def batches_of_this_fit() -> int | None:
    """Batches in an epoch of the `fit()` that called, as far as it knows."""
    return _innermost(EpochIterator, inspect.currentframe()).num_batches


def data_of_this_fit() -> keras.utils.PyDataset | None:
    """The `PyDataset` that the `fit()` that called trains on, if it is one."""
    epoch = _innermost(EpochIterator, inspect.currentframe())
    return getattr(getattr(epoch, "data_adapter", None), "py_dataset", None)


def restarts() -> bool:
    """Whether Keras signals an epoch's end to its data when none has ended.

    It does so at the beginning of each `fit()` and `evaluate()`, whether or
    not a batch of the data built the model.
    """
    frame = inspect.currentframe()
    for _ in range(4):  # this function, the data, their adapter, the iterator
        if frame is None:
            return False
        if frame.f_code is EpochIterator.reset.__code__:
            return True
        frame = frame.f_back
    return False


def batches_done(batch: int, model: keras.Model) -> int:
    """How many batches of the epoch are done as `on_train_batch_end` is called.

    Args:
        batch: Its argument: the last batch of an execution, or the first
            before Keras 3.11.
        model: The model that trains.
    """
    steps = model.steps_per_execution
    return (batch // steps + 1) * steps


def is_validated() -> bool:
    """Whether the `fit()` that called has validation data."""
    for held in _frames(inspect.currentframe()):
        if "validation_data" in held and _of(EpochIterator, held):
            return held["validation_data"] is not None
    return False


def is_in_a_fit(
    callback: keras.callbacks.Callback, frame: FrameType | None
) -> bool:
    """Whether a `fit()` with this callback led to this frame."""
    return any(_has(held, callback) for held in _frames(frame))


def is_within_a_fit(
    callback: keras.callbacks.Callback, training: FrameType | None
) -> bool:
    """Whether this training was begun within a `fit()` with this callback.

    Or between two fits that are one training run to the callback: then its
    list has a true `goes_on`.

    Args:
        callback: A callback.
        training: The frame of the `fit()` or `train_on_batch()` that begins.
    """
    return any(
        _has(held, callback)
        for held in _frames(training.f_back if training is not None else None)
        if _of(EpochIterator, held)
        or any(getattr(v, "goes_on", False) for v in _of(CallbackList, held))
    )


def trains_already(callback: keras.callbacks.Callback) -> bool:
    """Whether an enclosing `fit()` has this callback too."""
    lists = [
        each
        for held in _frames(inspect.currentframe())
        if _of(EpochIterator, held)
        for each in _of(CallbackList, held)
    ]
    return any(
        each is callback
        for around in lists[1:]
        if around is not lists[0]
        for each in around.callbacks
    )


def begin_at_epoch(model: keras.Model, epoch: int | None) -> None:
    """Make the next `fit()` begin at this epoch; None undoes it."""
    model._initial_epoch = epoch


def begin_at(batch: int, then: Callable[[Any], None]) -> None:
    """Make the `fit()` that called begin its first epoch at this batch.

    The batches before are drawn and discarded. No callback is told of them.

    Args:
        batch: Number of batches to skip.
        then: Called with the last skipped batch before the first one trains.
    """
    epoch = _innermost(EpochIterator, inspect.currentframe())
    enumerate_all = epoch._enumerate_iterator

    def enumerate_the_rest() -> Iterator[tuple[Any, ...]]:
        del epoch.__dict__["_enumerate_iterator"]
        drawn = None
        # The first batch's number, from Keras 3.11 on the last's too, and data.
        for numbers in enumerate_all():
            first, batches = numbers[0], numbers[-1]
            if first < batch:
                for _ in range(epoch.steps_per_execution):
                    drawn = next(batches, None)
                continue
            if first == batch:
                then(drawn)
            yield numbers

    epoch.__dict__["_enumerate_iterator"] = enumerate_the_rest


def _frames(frame: FrameType | None) -> Iterator[dict[str, Any]]:
    """Local variables of the frame and of its callers, from the inside out."""
    while frame is not None:
        yield dict(frame.f_locals)
        frame = frame.f_back


def _of(kind: type, held: dict[str, Any]) -> list[Any]:
    return [value for value in held.values() if isinstance(value, kind)]


def _has(held: dict[str, Any], callback: keras.callbacks.Callback) -> bool:
    lists = _of(CallbackList, held)
    return any(each is callback for given in lists for each in given.callbacks)


def _innermost(kind: type, frame: FrameType | None) -> Any:
    """The nearest local variable of this type, or None."""
    found = (_of(kind, held) for held in _frames(frame))
    return next((values[0] for values in found if values), None)
