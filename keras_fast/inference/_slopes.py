"""How does a class's score change with a layer's outputs?"""

from typing import Any

import keras
import numpy as np

from keras_fast._keras.gradients import gradients
from keras_fast._keras.recorded import lent, recorded
from keras_fast.inference._compiled_loss import compiled_loss
from keras_fast.inference._meaning import Evidence, Meaning
from keras_fast.transfer.ends import End

__all__ = ["check_slopes", "choose", "outputs_with", "slopes", "wanted_classes"]

ops = keras.ops
# float16 gradients underflow; scale the score, as loss scaling does.
SCALE = 256.0


def slopes(
    model: keras.Model, layer: Any, inputs: Any, values: Any, signs: np.ndarray
) -> Any:
    """The gradient of each sample's score with respect to a layer's outputs.

    Args:
        model: The model that gives the scores.
        layer: The layer; it is called once.
        inputs: One batch of the model's inputs.
        values: The layer's outputs for them.
        signs: Coefficients of the outputs in the score, (n, classes).

    Returns:
        The gradient, in the shape of `values`, float32.
    """
    factors = ops.convert_to_tensor(signs * SCALE, "float32")

    def score(values: Any) -> Any:
        with lent(layer, "call", lambda *args, **kwargs: values):
            return ops.sum(_call(model, inputs) * factors)

    _, gradient = gradients(score, values)
    found: Any = ops.cast(gradient, "float32")
    return found / SCALE


def check_slopes(found: np.ndarray, outputs: np.ndarray) -> None:
    """Refuse a model of unknown end if it may be a sure softmax."""
    flat = ~found.reshape(len(found), -1).any(axis=1)
    share = np.isclose(outputs.sum(axis=-1), 1, atol=1e-3)
    if outputs.shape[-1] == 1:
        share = (outputs[:, 0] == 0) | (outputs[:, 0] == 1)
    if (flat & share).any():
        raise ValueError(
            "`model` must return scores where its end is not known: what it "
            "ends in is so sure here that its gradient is 0. Leave that out, "
            "or make a softmax or sigmoid the last operation of a functional "
            "or Sequential model; of several models look at one. "
            f"Received: outputs={outputs[flat & share][0].tolist()}"
        )


def wanted_classes(class_index: Any, number: int) -> np.ndarray:
    """The class to look for in each sample, -1 for the predicted one."""
    if class_index is None:
        return np.full(number, -1)
    found = np.asarray(class_index)
    if (
        found.dtype.kind not in "iu"
        or found.shape not in ((), (number,))
        or (found < 0).any()
    ):
        raise ValueError(
            "`class_index` must be one class, or one for each sample. Pass "
            "whole numbers of 0 or more, or None for those predicted. "
            f"Received: class_index={class_index!r}"
        )
    return np.broadcast_to(found, number).astype(np.int64)


def choose(
    model: keras.Model,
    end: End | None,
    outputs: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each sample, and the scores that support it, (n, classes).

    A single score supports class 1, and its negative class 0.
    """
    size = outputs.shape[-1]
    number = max(size, 2)
    classes = wanted
    if (wanted < 0).any():
        predicted = outputs.argmax(axis=-1)
        if size == 1:
            predicted = _predicted(model, end, outputs)
        classes = np.where(wanted < 0, predicted, wanted)
    if classes.max() >= number:
        raise ValueError(
            f"`class_index` must be from 0 to {number - 1}. Pass "
            "one of the model's classes, or None for those predicted. "
            f"Received: class_index={classes.max()}"
        )
    if size == 1:
        return classes, 2 * classes[:, None] - 1
    return classes, np.eye(size)[classes]


def _predicted(
    model: keras.Model, end: End | None, outputs: np.ndarray
) -> np.ndarray:
    """The class of two that a single output predicts."""
    meaning = Meaning("sigmoid", logits=True)
    if end is None and model.compiled:
        seen = Evidence(model, compiled_loss(model))
        seen.see(np.zeros(outputs.shape, "int64"), outputs)
        meaning = seen.meaning()
    classes = meaning.predicted(outputs)
    if classes is None or (end is None and not model.compiled):
        raise ValueError(
            "`class_index` must be given for a model with one output that is "
            "not known for the score of class 1. Pass 0 or 1, end the model "
            "in a sigmoid, or compile it with a binary cross-entropy. "
            "Received: class_index=None"
        )
    return classes


def outputs_with(
    model: keras.Model, layer: keras.layers.Layer, inputs: Any
) -> tuple[Any, list[Any]]:
    """The model's outputs, and the layer's outputs at each of its calls."""
    with recorded(layer) as seen:
        outputs = _call(model, inputs)
    return outputs, seen


def _call(model: keras.Model, inputs: Any) -> Any:
    # Values that a layer assigns to its variables stay in the scope.
    with keras.StatelessScope():
        outputs = model(inputs, training=False)
    if len(getattr(outputs, "shape", ())) != 2:
        raise ValueError(
            "`model` must give one number for each class, (n, classes). Pass "
            "a classifier with one output. Received: "
            f"outputs={keras.tree.map_structure(lambda o: o.shape, outputs)}"
        )
    return ops.cast(outputs, "float32")
