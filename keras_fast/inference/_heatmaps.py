"""Where do a layer's feature maps speak for a class?"""

import contextlib
from typing import Any

import keras
import numpy as np

from keras_fast._keras.gradients import gradients
from keras_fast.inference._compiled_loss import compiled_loss
from keras_fast.inference._ends import End, lent
from keras_fast.inference._meaning import Evidence, Meaning

__all__ = ["heatmaps"]

ops = keras.ops
# Of maps: that of ImageNet's networks at 224 pixels. Heat in 3 x 3 fields is
# on the object no more often than chance, see benchmarks/grad_cam.py.
LEAST_SIDE = 7
# Gradients of 16 bits are smaller than the numbers they have are exact for.
SCALE = 256.0


def heatmaps(
    model: keras.Model,
    end: End | None,
    layer: keras.layers.Layer,
    inputs: Any,
    place: int,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Heat from 0 to 1, (n, height, width), and the class of each image.

    Args:
        model: A built model.
        end: What makes probabilities of its scores.
        layer: Which gives the maps.
        inputs: One batch of what the model takes.
        place: Where among the inputs the images are.
        wanted: The class to look for in each, -1 for the predicted one.
    """
    with end.off() if end else contextlib.nullcontext():
        outputs, maps = _recorded(model, layer, inputs)
        scores = np.asarray(ops.convert_to_numpy(outputs))
        classes, signs = _choose(model, end, scores, wanted)
        images = keras.tree.flatten(inputs)[place]
        enlarged = _enlarged(model, images, maps)
        if enlarged is not images:
            inputs = _with(inputs, place, enlarged)
            _, maps = _recorded(model, layer, inputs)
        slopes = _slopes(model, layer, inputs, maps, signs)
    if end is None:
        _check_slopes(np.asarray(ops.convert_to_numpy(slopes)), scores)
    weights: Any = ops.mean(slopes, axis=(1, 2), keepdims=True)
    heat = ops.sum(weights * ops.cast(maps, "float32"), -1, keepdims=True)
    heat = ops.image.resize(ops.relu(heat), images.shape[1:3], "bilinear")
    heat = np.asarray(ops.convert_to_numpy(heat))[..., 0]
    highest = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(highest > 0, highest, 1), classes


def _slopes(
    model: keras.Model, layer: Any, inputs: Any, maps: Any, signs: np.ndarray
) -> Any:
    """The gradient of each image's score by its maps."""
    factors = ops.convert_to_tensor(signs * SCALE, "float32")

    def score(maps: Any) -> Any:
        with lent(layer, "call", lambda *args, **kwargs: maps):
            return ops.sum(_call(model, inputs) * factors)

    _, slopes = gradients(score, maps)
    return ops.cast(slopes, "float32")


def _check_slopes(slopes: np.ndarray, outputs: np.ndarray) -> None:
    """Of a model whose end is not known, and may be a sure softmax."""
    flat = ~slopes.any(axis=(1, 2, 3))
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


def _with(inputs: Any, place: int, images: np.ndarray) -> Any:
    flat = keras.tree.flatten(inputs)
    flat[place] = images
    return keras.tree.pack_sequence_as(inputs, flat)


def _enlarged(model: Any, images: np.ndarray, maps: Any) -> np.ndarray:
    """Images large enough for maps that tell one place from another."""
    sides = [int(side) for side in maps.shape[1:3]]
    shapes = [tensor.shape for tensor in getattr(model, "inputs", None) or []]
    sizes = [shape[1:3] for shape in shapes if len(shape) == 4]
    if sizes != [(None, None)] or min(sides) >= LEAST_SIDE:
        return images
    scale = LEAST_SIDE / min(sides)
    size = [round(scale * side) for side in images.shape[1:3]]
    larger = ops.image.resize(ops.cast(images, "float32"), size, "bilinear")
    return np.asarray(ops.convert_to_numpy(larger))


def _choose(
    model: keras.Model,
    end: End | None,
    outputs: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each image, and which scores speak for it, (n, classes).

    One score speaks for class 1, and against class 0.
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
    """Which of two classes one output means."""
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


def _recorded(
    model: keras.Model, layer: keras.layers.Layer, inputs: Any
) -> tuple[Any, Any]:
    """What the model gives, and what the layer gives on the way."""
    seen = []
    call = layer.call

    def recorded(*args: Any, **kwargs: Any) -> Any:
        seen.append(call(*args, **kwargs))
        return seen[-1]

    with lent(layer, "call", recorded):
        outputs = _call(model, inputs)
    if len(seen) != 1 or len(getattr(seen[0], "shape", ())) != 4:
        shapes = [getattr(maps, "shape", None) for maps in seen]
        raise ValueError(
            "`layer` must give feature maps, (n, height, width, channels), "
            "once for each image. Pass a convolution or the layer behind "
            f"it. Received: layer={layer.name!r}, which gives {shapes}"
        )
    return outputs, seen[0]


def _call(model: keras.Model, inputs: Any) -> Any:
    # What a layer assigns to its variables stays in the scope.
    with keras.StatelessScope():
        outputs = model(inputs, training=False)
    if len(getattr(outputs, "shape", ())) != 2:
        raise ValueError(
            "`model` must give one number for each class, (n, classes). Pass "
            "a classifier with one output. Received: "
            f"outputs={keras.tree.map_structure(lambda o: o.shape, outputs)}"
        )
    return ops.cast(outputs, "float32")
