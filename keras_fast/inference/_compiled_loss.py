"""What does the loss that a model is compiled with say of each sample?"""

from typing import Any

import keras
import numpy as np

__all__ = [
    "compiled_loss",
    "probabilities",
    "sample_losses",
    "several_classes",
]

ops = keras.ops


class FunctionLoss(keras.losses.Loss):
    """A function as a loss: labels get the rank of the outputs first."""

    def __init__(self, function: Any):
        super().__init__(name=getattr(function, "__name__", None))
        self.function = function
        if "crossentropy" in self.name:
            self.from_logits = False

    def call(self, y_true: Any, y_pred: Any) -> Any:
        rank = len(y_true.shape)
        if rank == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            y_true = ops.expand_dims(y_true, -1)
        elif rank == len(y_pred.shape) + 1 and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        return self.function(y_true, y_pred)


def crossentropy(y_true: Any, y_pred: Any) -> Any:
    """The cross-entropy that the shapes of labels and outputs call for."""
    if y_pred.shape[-1] == 1:
        return keras.losses.binary_crossentropy(y_true, y_pred)
    if len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1:
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
    return keras.losses.categorical_crossentropy(y_true, y_pred)


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


def sample_losses(
    loss: keras.losses.Loss, labels: np.ndarray, outputs: np.ndarray
) -> np.ndarray:
    """The loss of each sample, (n,); the mean over whatever else it has."""
    # What a loss does when it is called, but for weights and reduction.
    tensors = (ops.convert_to_tensor(a, loss.dtype) for a in (labels, outputs))
    losses = ops.convert_to_numpy(loss.call(*tensors)).astype(float)
    if losses.shape[:1] != outputs.shape[:1]:
        raise ValueError(
            "The loss of `model` must be one for each sample before its "
            "reduction. Leave out the mean over the batch in it. Received: "
            f"losses of shape {losses.shape} for {len(outputs)} samples"
        )
    return losses.reshape(len(losses), -1).mean(axis=1)


def probabilities(
    loss: keras.losses.Loss, outputs: np.ndarray
) -> np.ndarray | None:
    """The probability of each class, (..., classes), as the loss takes it.

    Of one output for two classes it makes two. None where the outputs are no
    probabilities, as in regression.
    """
    from_logits = getattr(loss, "from_logits", None)
    if from_logits is None and not _sum_to_one(outputs):
        return None
    if from_logits and _is_binary(loss, outputs):
        outputs = np.exp(-np.logaddexp(0, -outputs))
    elif from_logits:
        outputs = np.exp(outputs - outputs.max(axis=-1, keepdims=True))
        outputs = outputs / outputs.sum(axis=-1, keepdims=True)
    if outputs.shape[-1] == 1:
        outputs = np.concatenate([1 - outputs, outputs], axis=-1)
    return outputs


def several_classes(loss: keras.losses.Loss, outputs: np.ndarray) -> bool:
    """Whether a sample may be of several classes, or of none."""
    return outputs.shape[-1] > 1 and _is_binary(loss, outputs)


def _is_binary(loss: keras.losses.Loss, outputs: np.ndarray) -> bool:
    name = f"{type(loss).__name__} {loss.name}".lower()
    return outputs.shape[-1] == 1 or "binary" in name


def _sum_to_one(outputs: np.ndarray) -> bool:
    sums = outputs.sum(axis=-1)
    return outputs.shape[-1] > 1 and np.allclose(sums, 1, atol=1e-2)
