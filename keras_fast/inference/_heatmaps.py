"""Where do a layer's feature maps support a class?"""

import contextlib
from typing import Any

import keras
import numpy as np

from keras_fast.inference._slopes import (
    check_slopes,
    choose,
    outputs_with,
    slopes,
)
from keras_fast.transfer.ends import End

__all__ = ["heatmaps"]

ops = keras.ops
# Of maps: that of ImageNet's networks at 224 pixels. 3 x 3 maps locate the
# object no more often than chance, see benchmarks/grad_cam.py.
LEAST_SIDE = 7


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
        end: The model's final operation, from scores to probabilities.
        layer: The layer that gives the maps.
        inputs: One batch of the model's inputs.
        place: Position of the images among the inputs.
        wanted: The class to look for in each, -1 for the predicted one.
    """
    with end.off() if end else contextlib.nullcontext():
        outputs, maps = _maps(model, layer, inputs)
        scores = np.asarray(ops.convert_to_numpy(outputs))
        classes, signs = choose(model, end, scores, wanted)
        images = keras.tree.flatten(inputs)[place]
        enlarged = _enlarged(model, images, maps)
        if enlarged is not images:
            inputs = _with(inputs, place, enlarged)
            _, maps = _maps(model, layer, inputs)
        gradient = slopes(model, layer, inputs, maps, signs)
    if end is None:
        check_slopes(np.asarray(ops.convert_to_numpy(gradient)), scores)
    weights: Any = ops.mean(gradient, axis=(1, 2), keepdims=True)
    heat = ops.sum(weights * ops.cast(maps, "float32"), -1, keepdims=True)
    heat = ops.image.resize(ops.relu(heat), images.shape[1:3], "bilinear")
    heat = np.asarray(ops.convert_to_numpy(heat))[..., 0]
    highest = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(highest > 0, highest, 1), classes


def _with(inputs: Any, place: int, images: np.ndarray) -> Any:
    flat = keras.tree.flatten(inputs)
    flat[place] = images
    return keras.tree.pack_sequence_as(inputs, flat)


def _enlarged(model: Any, images: np.ndarray, maps: Any) -> np.ndarray:
    """Images large enough for maps with distinguishable places."""
    sides = [int(side) for side in maps.shape[1:3]]
    shapes = [tensor.shape for tensor in getattr(model, "inputs", None) or []]
    sizes = [shape[1:3] for shape in shapes if len(shape) == 4]
    if sizes != [(None, None)] or min(sides) >= LEAST_SIDE:
        return images
    scale = LEAST_SIDE / min(sides)
    size = [round(scale * side) for side in images.shape[1:3]]
    larger = ops.image.resize(ops.cast(images, "float32"), size, "bilinear")
    return np.asarray(ops.convert_to_numpy(larger))


def _maps(
    model: keras.Model, layer: keras.layers.Layer, inputs: Any
) -> tuple[Any, Any]:
    """The model's outputs, and the layer's feature maps."""
    outputs, seen = outputs_with(model, layer, inputs)
    if len(seen) != 1 or len(getattr(seen[0], "shape", ())) != 4:
        shapes = [getattr(maps, "shape", None) for maps in seen]
        raise ValueError(
            "`layer` must give feature maps, (n, height, width, channels), "
            "once for each image. Pass a convolution or the layer behind "
            f"it. Received: layer={layer.name!r}, which gives {shapes}"
        )
    return outputs, seen[0]
