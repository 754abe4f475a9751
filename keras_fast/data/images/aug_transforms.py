"""fastai's random transforms of images, in one pass."""

import functools
import math
import warnings
from typing import Any

import keras
import numpy as np

from keras_fast._checks import at_least, between, one_of, share, whole
from keras_fast._keras.fused import fused
from keras_fast.data.images._geometry import (
    compose,
    in_pixels,
    relight,
    resample,
    rotation,
    sides,
    warp,
)

FLIPS = ("horizontal", "dihedral")
# Numbers that an image draws: 3 for its side, 2 each for angle and zoom, 2
# for the zoom's centre, 2 each for two warps, brightness and contrast.
DRAWS = 17

# Keras exports the base of its own layers of this kind under no name.
ImageLayer: Any = keras.layers.RandomFlip.__base__


@keras.saving.register_keras_serializable("keras_fast")
class AugTransforms(ImageLayer):
    """Random flip, rotation, zoom, warp, brightness and contrast in one pass.

    fastai's `aug_transforms`. The four that move pixels are composed into one
    matrix, so that an image is interpolated once, and reflected beyond its
    borders. Brightness and contrast shift and stretch the logits of its
    pixels. Each image draws its own transforms, at each call anew.

    It acts where `training` is true, as Keras's `Random*` layers do, and like
    them works in `tf.data` on each backend, and inside a model. In `tf.data`
    XLA compiles it for each size of batch: batch first, or resize to one size.

    A dictionary may hold `"images"` and `"segmentation_masks"`, with or
    without channels; a mask moves with its image, and its numbers stay
    those that they are. Other entries, as `"labels"`, are handed on.

    Args:
        max_rotate: Largest angle, in degrees, either way.
        max_zoom: Largest magnification, towards a random point; 1 for none.
        max_warp: Largest perspective: the share by which a side grows as its
            opposite shrinks. Below 0.5.
        max_lighting: Largest change of brightness and contrast, below 1.
        flip: `"horizontal"` mirrors half of the images, `"dihedral"` turns
            them to one of eight sides, `None` none.
        p: Probability of each of the others.
        seed: Seed of the random numbers.
        **kwargs: What every layer takes, and `data_format`.

    Input shape:
        (height, width, channels), with or without a batch before it; height
        and width may be unknown. Pixels from 0 to 255, of any type: lighting
        takes those from 0 to 1 for black.

    Output shape:
        That of the input, in the layer's compute dtype.

    Raises:
        ValueError: An argument is out of its range, bounding boxes are given,
            or a dictionary has no images.
        TypeError: The input is a tuple or a list.

    Warns:
        UserWarning: All pixels are from 0 to 1. Only seen where the layer is
            called on numbers, not in `tf.data` or in a compiled step.

    Examples:
        >>> augment = keras_fast.data.AugTransforms(max_rotate=20, seed=0)
        >>> images = np.random.uniform(0, 255, (4, 32, 32, 3))
        >>> augment(images, training=True).shape == (4, 32, 32, 3)
        True

        In a pipeline, where it costs the training no time:

        >>> from tensorflow.data import Dataset
        >>> train = Dataset.from_tensor_slices((images, [0, 1, 0, 1]))
        >>> train = train.batch(2)
        >>> train = train.map(lambda x, y: (augment(x, training=True), y))

    Reference:

    - fastai 2.8, `aug_transforms`
    """

    _USE_BASE_FACTOR = False

    def __init__(
        self,
        max_rotate: float = 10.0,
        max_zoom: float = 1.1,
        max_warp: float = 0.2,
        max_lighting: float = 0.2,
        *,
        flip: str | None = "horizontal",
        p: float = 0.75,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.max_rotate = between("max_rotate", max_rotate, 0, 180)
        self.max_zoom = at_least("max_zoom", max_zoom, 1)
        self.max_warp = between("max_warp", max_warp, 0, 0.45)
        self.max_lighting = share("max_lighting", max_lighting, 0.2)
        self.flip = None if flip is None else one_of("flip", flip, FLIPS)
        self.p = between("p", p, 0, 1)
        self.seed = None if seed is None else whole("seed", seed, 0)
        self.generator = keras.random.SeedGenerator(self.seed)
        self._range_is_known = not self.max_lighting

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(inputs, tuple | list):
            raise TypeError(
                "`inputs` must be images, or a dictionary with `images`. In "
                "`tf.data` pass the images alone: `data.map(lambda x, y: "
                "(augment(x, training=True), y))`. Received: inputs of type "
                f"{type(inputs).__name__}"
            )
        if not isinstance(inputs, dict):
            self._check_range(inputs, kwargs.get("training"))
            return super().__call__(inputs, *args, **kwargs)
        if "images" not in inputs:
            raise ValueError(
                "`inputs` must have `images`. Pass a dictionary such as "
                "{'images': x, 'labels': y}. Received: inputs with "
                f"{sorted(inputs)}"
            )
        if "bounding_boxes" in inputs:
            raise ValueError(
                "`bounding_boxes` must not be given: they are not moved. "
                "Use Keras's Random* layers for them. "
                f"Received: inputs with {sorted(inputs)}"
            )
        self._check_range(inputs["images"], kwargs.get("training"))
        # Keras would turn integer labels into floats.
        moved = {
            name: inputs[name]
            for name in ("images", "segmentation_masks")
            if name in inputs
        }
        return {**inputs, **super().__call__(moved, *args, **kwargs)}

    def _check_range(self, images: Any, training: Any) -> None:
        """Warn of pixels from 0 to 1, once, where there are numbers to see."""
        has_numbers = isinstance(images, np.ndarray) or hasattr(images, "numpy")
        if self._range_is_known or not training or not has_numbers:
            return
        pixels = keras.ops.convert_to_numpy(images)
        highest = pixels.max(initial=0)
        self._range_is_known = highest > 0  # black says nothing
        if pixels.dtype.kind == "f" and 0 < highest <= 1:
            warnings.warn(
                "Pixels must be from 0 to 255 for their brightness and "
                "contrast to be changed. Put the layer before the rescaling, "
                "or pass `max_lighting=0`. Received: images whose highest "
                f"pixel is {highest:.3g}",
                stacklevel=3,
            )

    def get_random_transformation(
        self, data: Any, training: bool = True, seed: Any = None
    ) -> dict[str, Any] | None:
        if not training:
            return None
        ops = self.backend
        images = data["images"] if isinstance(data, dict) else data
        seed = self._get_seed_generator(ops.name) if seed is None else seed
        batch = ops.shape(images)[0] if len(images.shape) == 4 else 1
        drawn = ops.random.uniform((batch, DRAWS), seed=seed)
        return {"drawn": drawn}

    def transform_images(
        self, images: Any, transformation: Any, training: bool = True
    ) -> Any:
        if not training or transformation is None:
            return self.backend.cast(images, self.compute_dtype)
        return self._transform(images, transformation["drawn"], False)

    def transform_segmentation_masks(
        self,
        segmentation_masks: Any,
        transformation: Any,
        training: bool = True,
    ) -> Any:
        if not training or transformation is None:
            return segmentation_masks
        masks = self.backend.convert_to_tensor(segmentation_masks)
        if len(masks.shape) == 4:
            return self._transform(masks, transformation["drawn"], True)
        axis = -1 if self.data_format == "channels_last" else 1
        masks = self.backend.numpy.expand_dims(masks, axis)
        masks = self._transform(masks, transformation["drawn"], True)
        return self.backend.numpy.squeeze(masks, axis)

    def transform_labels(
        self, labels: Any, transformation: Any, training: bool = True
    ) -> Any:
        return labels

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "max_rotate": self.max_rotate,
            "max_zoom": self.max_zoom,
            "max_warp": self.max_warp,
            "max_lighting": self.max_lighting,
            "flip": self.flip,
            "p": self.p,
            "seed": self.seed,
        }

    def _transform(self, images: Any, drawn: Any, masks: bool) -> Any:
        """Move the pixels; relight them, unless they are numbers of classes."""
        ops = self.backend
        # The caller may leave the backend before the function is traced.
        function = functools.partial(self._pass, ops, masks)
        known = None not in tuple(images.shape)[1:]
        if ops.name == "tensorflow" and known:
            return fused(function, images, drawn)
        return function(images, drawn)

    def _pass(self, ops: Any, masks: bool, images: Any, drawn: Any) -> Any:
        dtype = images.dtype if masks else self.compute_dtype
        if not masks:
            images = ops.cast(images, "float32")
        if self.data_format == "channels_first":
            images = ops.numpy.transpose(images, (0, 2, 3, 1))
        draws = [drawn[:, i] for i in range(DRAWS)]
        if self.flip or self.max_rotate or self.max_warp or self.max_zoom > 1:
            matrix = self._matrix(ops, draws, *sides(ops, images))
            images = resample(ops, images, matrix, nearest=masks)
        if self.max_lighting and not masks:
            lighting = self._lighting(ops, draws)
            images = relight(ops, images, *lighting)
        if self.data_format == "channels_first":
            images = ops.numpy.transpose(images, (0, 3, 1, 2))
        return ops.cast(images, dtype)

    def _matrix(self, ops: Any, draws: Any, height: int, width: int) -> Any:
        """Zoom, rotate, flip, warp: the order of fastai."""
        aspect = width / height
        flip = self._side(ops, draws[:3], aspect)
        angle = self._chance(ops, draws[3:5], self.max_rotate)
        rotate = rotation(ops, angle, aspect)
        zoom = 1 + (self.max_zoom - 1) * draws[5]
        size = ops.numpy.where(draws[6] < self.p, 1 / zoom, 1.0)
        x, y = ((1 - size) * (2 * centre - 1) for centre in draws[7:9])
        zoomed = [[size, 0.0, x], [0.0, size, y], [0.0, 0.0, 1.0]]
        warped = warp(
            self._chance(ops, draws[9:11], self.max_warp),
            self._chance(ops, draws[11:13], self.max_warp),
        )
        matrix = compose(warped, flip, rotate, zoomed)
        return in_pixels(matrix, height, width)

    def _side(self, ops: Any, draws: Any, aspect: float) -> Any:
        one = ops.numpy.ones_like(draws[0])
        x, y, turned = (
            ops.numpy.where(draw < 0.5, -one, one) for draw in draws
        )
        if self.flip is None:
            x = one
        if self.flip != "dihedral":
            y, turned = one, one
        keep, turn = (1 + turned) / 2, (1 - turned) / 2
        return [
            [x * keep, x * turn / aspect, 0.0],
            [y * turn * aspect, y * keep, 0.0],
            [0.0, 0.0, 1.0],
        ]

    def _lighting(self, ops: Any, draws: Any) -> Any:
        """What is added to logits, and what they are multiplied by."""
        change = self._chance(ops, draws[13:15], self.max_lighting)
        brightness = ops.numpy.log((1 + change) / (1 - change))
        stretch = -math.log(1 - self.max_lighting)
        contrast = ops.numpy.exp(self._chance(ops, draws[15:17], stretch))
        return brightness, contrast

    def _chance(self, ops: Any, draws: Any, most: float) -> Any:
        """From -most to most with probability p, else 0."""
        value, chance = draws
        return ops.numpy.where(chance < self.p, most * (2 * value - 1), 0.0)
