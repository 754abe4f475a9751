"""What does a model's compiled loss give for each sample?"""

import functools
import inspect
from typing import Any

import keras
import numpy as np

from keras_fast._keras.layers import mask_of

__all__ = [
    "classes_axis",
    "compiled_loss",
    "counted",
    "ignored_class",
    "is_binary",
    "losses",
    "sample_losses",
    "takes_logits",
]

ops = keras.ops


class FunctionLoss(keras.losses.Loss):
    """A function as a loss: labels are first given the rank of the outputs."""

    def __init__(self, function: Any):
        super().__init__(name=getattr(function, "__name__", None))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        rank = len(y_true.shape)
        if rank == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            y_true = ops.expand_dims(y_true, -1)
        elif rank == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        return self.function(y_true, y_pred)


def crossentropy(y_true: Any, y_pred: Any) -> Any:
    """The cross-entropy that fits the shapes of labels and outputs."""
    if y_pred.shape[-1] == 1:
        return keras.losses.binary_crossentropy(y_true, y_pred)
    if len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1:
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
    return keras.losses.categorical_crossentropy(y_true, y_pred)


# Losses whose classes are independent, and losses whose classes sum to 1.
BINARY = (
    keras.losses.BinaryCrossentropy,
    keras.losses.BinaryFocalCrossentropy,
)
CATEGORICAL = (
    keras.losses.CategoricalCrossentropy,
    keras.losses.CategoricalFocalCrossentropy,
    keras.losses.SparseCategoricalCrossentropy,
)
BINARY_FUNCTIONS = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
)
CATEGORICAL_FUNCTIONS = (
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
    crossentropy,  # one of several outputs
)


def compiled_loss(model: keras.Model) -> keras.losses.Loss:
    """The one loss of a compiled model."""
    losses = keras.tree.flatten(model.loss)
    if len(losses) != 1 or losses[0] is None:
        raise ValueError(
            "`model` must be compiled with one loss. Call "
            "`model.compile(optimizer, loss)`. "
            f"Received: model={model.name} with loss={model.loss!r}"
        )
    shorthand = losses[0] in ("crossentropy", "ce")  # Keras's own
    loss: Any = crossentropy if shorthand else keras.losses.get(losses[0])
    return loss if isinstance(loss, keras.losses.Loss) else FunctionLoss(loss)


def losses(
    loss: keras.losses.Loss, labels: np.ndarray, outputs: np.ndarray
) -> np.ndarray:
    """The values of a loss before weights and reduction."""
    return _losses_and_mask(loss, labels, outputs)[0]


def sample_losses(
    loss: keras.losses.Loss,
    labels: np.ndarray,
    outputs: np.ndarray,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """The loss of each sample, (n,); the mean over the places that count.

    Args:
        loss: A loss; it may ignore places itself, as with `ignore_class`.
        labels: One batch of labels.
        outputs: The model's outputs.
        mask: Which places of the outputs count; None for all.
    """
    found, own = _losses_and_mask(loss, labels, outputs)
    if found.shape[:1] != outputs.shape[:1]:
        raise ValueError(
            "The loss of `model` must be one for each sample before its "
            "reduction. Leave out the mean over the batch in it. Received: "
            f"losses of shape {found.shape} for {len(outputs)} samples"
        )
    places = counted(mask, found.ndim) * counted(own, found.ndim)
    found, places = np.broadcast_arrays(found, places)
    places = places.reshape(len(found), -1)
    sums = (found.reshape(len(found), -1) * places).sum(axis=1)
    return sums / np.maximum(places.sum(axis=1), 1)


def counted(mask: np.ndarray | None, ndim: int) -> np.ndarray:
    """1 where a place counts and 0 elsewhere, with `ndim` axes."""
    if mask is None:
        return np.ones((1,) * ndim)
    shape = mask.shape + (1,) * (ndim - mask.ndim)
    # With fewer axes, a place counts if any place within it does.
    return mask.reshape(*shape[:ndim], -1).any(axis=-1).astype(float)


def _losses_and_mask(
    loss: keras.losses.Loss, labels: np.ndarray, outputs: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    tensors = (ops.convert_to_tensor(a, loss.dtype) for a in (labels, outputs))
    found = loss.call(*tensors)
    mask = mask_of(found)
    if mask is not None:
        mask = np.asarray(ops.convert_to_numpy(mask), bool)
    return ops.convert_to_numpy(found).astype(float), mask


def takes_logits(loss: keras.losses.Loss) -> bool | None:
    """Whether it takes logits or probabilities; None if it doesn't declare it.

    Losses of Keras declare it, and all that have `from_logits` as an attribute
    or as an argument of their function, bound or not.
    """
    declared = getattr(loss, "from_logits", None)
    if declared is not None:
        return bool(declared)
    function, bound = _function(loss)
    if function is crossentropy:
        return False
    try:
        parameter = inspect.signature(function).parameters.get("from_logits")
    except (TypeError, ValueError):  # not written in Python
        return None
    if parameter is None:
        return None
    return bool(bound.get("from_logits", parameter.default))


def is_binary(loss: keras.losses.Loss) -> bool | None:
    """Whether classes are independent; None for losses that aren't Keras's."""
    function, _ = _function(loss)
    if isinstance(loss, BINARY) or any(function is f for f in BINARY_FUNCTIONS):
        return True
    known = any(function is f for f in CATEGORICAL_FUNCTIONS)
    return False if known or isinstance(loss, CATEGORICAL) else None


def classes_axis(loss: keras.losses.Loss) -> int:
    """The axis of the outputs along which the loss has its classes."""
    if is_binary(loss) is not False:
        return -1
    _, bound = _function(loss)
    return bound.get("axis", getattr(loss, "axis", -1))


def ignored_class(loss: keras.losses.Loss) -> int | None:
    """The label of places that the loss ignores, if there is one."""
    _, bound = _function(loss)
    return bound.get("ignore_class", getattr(loss, "ignore_class", None))


def _function(loss: Any) -> tuple[Any, dict[str, Any]]:
    """The function that is finally called, and its keyword arguments."""
    function = getattr(loss, "function", loss)
    bound: dict[str, Any] = {}
    while isinstance(function, functools.partial):
        bound = {**function.keywords, **bound}
        function = function.func
    return function, bound
