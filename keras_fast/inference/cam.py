"""Where in an image does the model see its class?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from keras_fast._checks import model as checked
from keras_fast.inference._heatmaps import heatmaps
from keras_fast.inference._layers import conv_layer
from keras_fast.inference._slopes import wanted_classes
from keras_fast.models._checks import channels_last
from keras_fast.plots.images import plot_images
from keras_fast.plots.labels import class_name
from keras_fast.transfer.ends import end

__all__ = ["GradCAM", "grad_cam"]

ops = keras.ops
AT_ONCE = 32


@dataclass(frozen=True, eq=False, repr=False)
class GradCAM:
    """Where in each image a class is seen.

    Args:
        heatmaps: From 0 to 1, (n, height, width) float32. The largest value
            of each image is 1, unless no place supports the class.
        images: The images, (n, height, width, channels).
        classes: The class shown for each image, (n,) int64.

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
        """Draw the heatmaps over the images; return the `Axes`, (n,)."""
        titles = [class_name(index, class_names) for index in self.classes]
        return plot_images(self.images, titles, self.heatmaps)


def grad_cam(
    model: keras.Model,
    images: ArrayLike,
    *,
    layer: str | keras.layers.Layer | None = None,
    class_index: int | ArrayLike | None = None,
) -> GradCAM:
    """Show where in each image the model sees a class.

    Each feature map of a layer is weighted with the mean gradient of the
    class's score with respect to that map; places where their sum is above 0
    support the class. The score is taken before a softmax or sigmoid at the
    end of a functional or Sequential model, however it is written. With one
    output for two classes, evidence for class 0 is evidence against class 1.

    Small images give coarse heatmaps: at 96 pixels the maps of most networks
    are 3 x 3. If a model takes images of any size, they are enlarged so that
    its maps are at least 7 x 7; the class is the prediction for the original
    images.

    Args:
        model: A model from images to one number for each class, compiled
            or not. Nothing in it changes.
        images: Images as the model takes them, (n, height, width, channels).
            For a model with several inputs all of them, as accepted by
            `predict()`; one has four axes, and the others are passed on
            unchanged.
        layer: The layer whose feature maps to use, or its name, in nested
            models too. None takes the last convolution, or a later layer that
            keeps its positions, if all that the outputs know of the image goes
            through it. In a transformer that is at most the patch embedding:
            put a `keras.layers.Reshape` to (height, width, channels) after a
            block, and pass that.
        class_index: The class to look for: one for all images, or (n,).
            None takes the predicted class of each image.

    Returns:
        A `GradCAM`.

    Raises:
        ValueError: There is no such layer, or it has no feature maps; an
            argument is out of range; the class that one output predicts is
            not known; several networks lead to the outputs, and `layer` is
            None; or a model whose end is not known is so sure that its
            gradient is 0.

    Examples:
        >>> cnn = keras.Sequential(
        ...     [
        ...         keras.Input((16, 16, 3)),
        ...         keras.layers.Conv2D(4, 3, activation="relu"),
        ...         keras.layers.GlobalAveragePooling2D(),
        ...         keras.layers.Dense(2, activation="softmax"),
        ...     ]
        ... )
        >>> images = np.random.default_rng(0).uniform(size=(5, 16, 16, 3))
        >>> result = keras_fast.inference.grad_cam(cnn, images, class_index=1)
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
    inputs, place = _inputs(images)
    images = keras.tree.flatten(inputs)[place]
    source = conv_layer(model, layer)
    last = end(model)
    wanted = wanted_classes(class_index, len(images))
    parts = []
    for start in range(0, len(images), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        batch = keras.tree.map_structure(lambda a, rows=rows: a[rows], inputs)
        parts.append(heatmaps(model, last, source, batch, place, wanted[rows]))
    heat, classes = map(np.concatenate, zip(*parts, strict=True))
    return GradCAM(heat, images, classes)


def _inputs(images: Any) -> tuple[Any, int]:
    """The model's inputs as arrays, and the position of the images in them."""
    several = isinstance(images, list | tuple) and any(
        np.ndim(part) != 3 for part in images
    )
    if not (several or isinstance(images, Mapping)):
        images = np.asarray(ops.convert_to_numpy(images))
    inputs = keras.tree.map_structure(_array, images)
    parts = keras.tree.flatten(inputs)
    places = [i for i, part in enumerate(parts) if part.ndim == 4]
    lengths = {len(part) if part.ndim else 0 for part in parts}
    if len(places) == 1 and len(lengths) == 1 and 0 not in lengths:
        return inputs, places[0]
    raise ValueError(
        "`images` must be images, (n, height, width, channels). Pass one as "
        "images[None]; to a model with several inputs all of them, of one "
        "length and one of them images. Received: "
        f"images of shape {keras.tree.map_structure(np.shape, inputs)}"
    )


def _array(part: Any) -> np.ndarray:
    if isinstance(part, np.ndarray | str | bytes):
        return np.asarray(part)
    return np.asarray(ops.convert_to_numpy(part))
