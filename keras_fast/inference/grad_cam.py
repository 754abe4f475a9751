"""Where in a picture is what the model sees?"""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_fast._checks import model as checked
from keras_fast._classes import class_name
from keras_fast._gradients import gradients
from keras_fast.inference._layers import conv_layer, end_layer
from keras_fast.models._checks import channels_last
from keras_fast.pictures import plot_pictures

__all__ = ["GradCAM", "grad_cam"]

ops = keras.ops
AT_ONCE = 32
# Of maps: that of ImageNet's networks at 224 pixels. Heat in 3 x 3 fields is
# on the object no more often than chance, see benchmarks/grad_cam.py.
LEAST_SIDE = 7
# Gradients of 16 bits are smaller than the numbers they have are exact for.
SCALE = 256.0
ACTIVATIONS = (keras.activations.softmax, keras.activations.sigmoid)


@dataclass(frozen=True, eq=False, repr=False)
class GradCAM:
    """Where in each picture a class is seen.

    Args:
        heatmaps: From 0 to 1, (n, height, width) float32. The largest of
            each picture is 1, unless nothing speaks for the class.
        images: The pictures, (n, height, width, channels).
        classes: The class that was looked for in each, (n,) int64.

    Examples:
        >>> from keras_fast.inference import GradCAM
        >>> heatmaps = np.random.default_rng(0).uniform(size=(2, 8, 8))
        >>> result = GradCAM(heatmaps, np.zeros((2, 8, 8, 3)), np.array([0, 1]))
        >>> axes = result.plot(class_names=["cat", "dog"])
    """

    heatmaps: np.ndarray
    images: np.ndarray
    classes: np.ndarray

    def __repr__(self) -> str:
        height, width = self.images.shape[1:3]
        return f"GradCAM({len(self.images)} images of {height} x {width})"

    def plot(self, class_names: Sequence[str] | None = None) -> Any:
        """Draw the heatmaps over the pictures; return the `Axes`, (n,)."""
        titles = [class_name(index, class_names) for index in self.classes]
        return plot_pictures(self.images, titles, self.heatmaps)


def grad_cam(
    model: keras.Model,
    images: ArrayLike,
    *,
    layer: str | keras.layers.Layer | None = None,
    class_index: int | ArrayLike | None = None,
) -> GradCAM:
    """Show where in each picture the model sees a class.

    Each feature map of a layer is weighted with the mean gradient of the
    class's score by that map; where their sum is above 0 is what speaks for
    the class. The score is taken before a softmax or sigmoid that ends a
    functional or Sequential model. Of a model with one output for two
    classes, what speaks for class 0 speaks against class 1.

    Small images give few fields of heat: at 96 pixels the maps of most
    networks are 3 x 3. A model that takes images of any size is given them
    enlarged, so that its maps are at least 7 x 7; the class is the one that it
    predicts for the images as they are.

    Args:
        model: A model from pictures to one number for each class, compiled
            or not. Nothing in it changes.
        images: Pictures as the model takes them, (n, height, width,
            channels).
        layer: Whose feature maps, or its name, in nested models too. None is
            the last layer of the model that has feature maps.
        class_index: The class to look for: one for all pictures, or (n,).
            None is the class predicted for each.

    Returns:
        A `GradCAM`.

    Raises:
        ValueError: There is no such layer, or it has no feature maps; or an
            argument is out of its range.

    Examples:
        >>> cnn = keras.Sequential(
        ...     [
        ...         keras.Input((16, 16, 3)),
        ...         keras.layers.Conv2D(4, 3, activation="relu"),
        ...         keras.layers.GlobalAveragePooling2D(),
        ...         keras.layers.Dense(2, activation="softmax"),
        ...     ]
        ... )
        >>> pictures = np.random.default_rng(0).uniform(size=(5, 16, 16, 3))
        >>> result = keras_fast.inference.grad_cam(cnn, pictures, class_index=1)
        >>> result.heatmaps.shape
        (5, 16, 16)

    Reference:

    - [Selvaraju et al., 2017](https://arxiv.org/abs/1610.02391)
    """
    channels_last()
    if not checked(model).built:
        raise ValueError(
            "`model` must be built. Train it, load its weights or give it an "
            f"Input first. Received: model={model.name} (not built)"
        )
    images = _pictures(images)
    source = conv_layer(model, layer)
    wanted = _wanted(class_index, len(images))
    parts = []
    with _before_activation(model):
        for start in range(0, len(images), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            parts.append(_heatmaps(model, source, images[rows], wanted[rows]))
    heatmaps, classes = map(np.concatenate, zip(*parts, strict=True))
    return GradCAM(heatmaps, images, classes)


def _heatmaps(
    model: keras.Model,
    layer: keras.layers.Layer,
    images: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    outputs, maps = _recorded(model, layer, images)
    if outputs.shape[-1] == 1 and wanted.min() < 0 and not end_layer(model):
        raise ValueError(
            "`class_index` must be given for a subclassed model with one "
            "output: which class it predicts is not known. Pass 0 or 1. "
            "Received: class_index=None"
        )
    shape = images.shape[1:3]
    enlarged = _enlarged(model, images, maps)
    if enlarged is not images:
        images = enlarged
        _, maps = _recorded(model, layer, images)
    classes, signs = _choose(ops.convert_to_numpy(outputs), wanted)
    signs = ops.convert_to_tensor(signs * SCALE, "float32")

    def score(maps: Any) -> Any:
        with _lent(layer, "call", lambda *args, **kwargs: maps):
            return ops.sum(_call(model, images) * signs)

    _, slopes = gradients(score, maps)
    slopes = ops.cast(slopes, "float32")
    weights: Any = ops.mean(slopes, axis=(1, 2), keepdims=True)
    heat = ops.sum(weights * ops.cast(maps, "float32"), -1, keepdims=True)
    heat = ops.image.resize(ops.relu(heat), shape, "bilinear")
    heat = np.asarray(ops.convert_to_numpy(heat))[..., 0]
    highest = heat.max(axis=(1, 2), keepdims=True)
    return heat / np.where(highest > 0, highest, 1), classes


def _enlarged(model: Any, images: np.ndarray, maps: Any) -> np.ndarray:
    """Images large enough for maps that tell one place from another."""
    sides = [int(side) for side in maps.shape[1:3]]
    shapes = getattr(model, "input_shape", None)
    any_size = isinstance(shapes, tuple) and shapes[1:3] == (None, None)
    if not any_size or min(sides) >= LEAST_SIDE:
        return images
    scale = LEAST_SIDE / min(sides)
    size = [round(scale * side) for side in images.shape[1:3]]
    larger = ops.image.resize(ops.cast(images, "float32"), size, "bilinear")
    return np.asarray(ops.convert_to_numpy(larger))


def _choose(
    outputs: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The class of each picture, and which scores speak for it, (n, classes).

    One score speaks for class 1 above 0, and against it below.
    """
    size = outputs.shape[-1]
    if size == 1:
        outputs = np.concatenate([-outputs, outputs], axis=-1)
    classes = np.where(wanted < 0, outputs.argmax(axis=-1), wanted)
    if classes.max() >= outputs.shape[-1]:
        raise ValueError(
            f"`class_index` must be from 0 to {outputs.shape[-1] - 1}. Pass "
            "one of the model's classes, or None for those predicted. "
            f"Received: class_index={classes.max()}"
        )
    if size == 1:
        return classes, 2 * classes[:, None] - 1
    return classes, np.eye(size)[classes]


def _wanted(class_index: Any, number: int) -> np.ndarray:
    """The class to look for in each picture, -1 for the predicted one."""
    if class_index is None:
        return np.full(number, -1)
    found = np.asarray(class_index)
    if (
        found.dtype.kind not in "iu"
        or found.shape not in ((), (number,))
        or (found < 0).any()
    ):
        raise ValueError(
            "`class_index` must be one class, or one for each picture. Pass "
            "whole numbers of 0 or more, or None for those predicted. "
            f"Received: class_index={class_index!r}"
        )
    return np.broadcast_to(found, number).astype(np.int64)


def _pictures(images: Any) -> np.ndarray:
    images = np.asarray(ops.convert_to_numpy(images))
    if images.ndim != 4 or not len(images):
        raise ValueError(
            "`images` must be pictures, (n, height, width, channels). Pass "
            "one as images[None]. Received: images of shape "
            f"{images.shape}"
        )
    return images


def _recorded(
    model: keras.Model, layer: keras.layers.Layer, images: np.ndarray
) -> tuple[Any, Any]:
    """What the model gives, and what the layer gives on the way."""
    seen = []
    call = layer.call

    def recorded(*args: Any, **kwargs: Any) -> Any:
        seen.append(call(*args, **kwargs))
        return seen[-1]

    with _lent(layer, "call", recorded):
        outputs = _call(model, images)
    if len(seen) != 1 or len(getattr(seen[0], "shape", ())) != 4:
        shapes = [getattr(maps, "shape", None) for maps in seen]
        raise ValueError(
            "`layer` must give feature maps, (n, height, width, channels), "
            "once for each picture. Pass a convolution or the layer behind "
            f"it. Received: layer={layer.name!r}, which gives {shapes}"
        )
    return outputs, seen[0]


def _call(model: keras.Model, images: np.ndarray) -> Any:
    # What a layer assigns to its variables stays in the scope.
    with keras.StatelessScope():
        outputs = model(images, training=False)
    if len(getattr(outputs, "shape", ())) != 2:
        raise ValueError(
            "`model` must give one number for each class, (n, classes). Pass "
            "a classifier with one output. Received: "
            f"outputs={keras.tree.map_structure(lambda o: o.shape, outputs)}"
        )
    return ops.cast(outputs, "float32")


def _before_activation(
    model: keras.Model,
) -> contextlib.AbstractContextManager[None]:
    """Have the model give its scores before the last softmax or sigmoid."""
    end: Any = end_layer(model)
    if isinstance(end, keras.layers.Softmax):
        return _lent(end, "call", lambda scores, mask=None: scores)
    if getattr(end, "activation", None) in ACTIVATIONS:
        return _lent(end, "activation", keras.activations.linear)
    return contextlib.nullcontext()


@contextlib.contextmanager
def _lent(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give an object another attribute for a while."""
    attributes = owner.__dict__
    had, before = name in attributes, attributes.get(name)
    attributes[name] = value
    try:
        yield
    finally:
        if had:
            attributes[name] = before
        else:
            del attributes[name]
