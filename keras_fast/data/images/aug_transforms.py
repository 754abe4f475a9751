"""fastai's random transforms of images, in one pass."""

import functools
from typing import Any

import keras

from keras_fast._checks import at_least, between, one_of, share, whole
from keras_fast._keras.fused import fused
from keras_fast.data.images._draws import (
    DRAWS,
    Limits,
    lighting_of,
    matrix_of,
)
from keras_fast.data.images._geometry import (
    move_points,
    relight,
    resample,
    sides,
    weights_inside,
)
from keras_fast.data.images._moved_targets import MOVED, check_targets
from keras_fast.data.images._pixel_range import range_is_known

FLIPS = ("horizontal", "dihedral")

# Keras does not export the base class of its own layers of this kind.
ImageLayer: Any = keras.layers.RandomFlip.__base__


@keras.saving.register_keras_serializable("keras_fast")
class AugTransforms(ImageLayer):
    """Random flip, rotation, zoom, warp, brightness and contrast in one pass.

    fastai's `aug_transforms`. The four that move pixels are combined into one
    matrix, so an image is interpolated only once. Images are reflected beyond
    their borders. Brightness and contrast shift and stretch the logits of the
    pixels. Each image gets new random transforms at each call.

    It is active if `training` is true, as Keras's `Random*` layers are, and
    like them works in `tf.data` on each backend, and inside a model. In
    `tf.data` XLA compiles it for each batch shape: batch first, or resize to
    one size.

    A dictionary may contain more than `"images"`. These are transformed too:

    - `"segmentation_masks"`, with or without channels, whose values are never
      interpolated; in `tf.data` they are floats;
    - `"targets"`, images that a model should return, of any size, which are
      relit like the images;
    - `"keypoints"` (..., num_points, 2), x and y in pixels, with (0, 0) in the
      middle of the first. The result also has `"keypoint_weights"` (...,
      num_points): 0 for points that are NaN or have left the image, else 1
      or the given weight. Pass them to `fit()` as `sample_weight`.

    Other entries, such as `"labels"`, are passed on unchanged.

    Args:
        max_rotate: Largest angle, in degrees, in both directions.
        max_zoom: Largest magnification, towards a random point; 1 for none.
        max_warp: Largest perspective: the share by which a side grows as its
            opposite shrinks. Below 0.5.
        max_lighting: Largest change of brightness and contrast, below 1.
        flip: `"horizontal"` mirrors half of the images, `"dihedral"` turns
            them to one of eight sides, `None` leaves them.
        p: Probability of each of the other transforms.
        seed: Seed of the random numbers.
        **kwargs: Arguments of every layer, and `data_format`.

    Input shape:
        (height, width, channels), with or without a batch axis; height and
        width may be unknown. Pixels from 0 to 255, of any dtype: lighting
        takes pixels from 0 to 1 for black.

    Output shape:
        The shape of the input, in the layer's compute dtype.

    Raises:
        ValueError: An argument is out of range, bounding boxes are given,
            a dictionary has no images, or its entries don't fit them.
        TypeError: The input is a tuple or a list.

    Warns:
        UserWarning: All pixels are from 0 to 1. It is detected only if the
            layer is called on numbers, not in `tf.data` or a compiled step.

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
        self._limits = Limits(
            self.max_rotate,
            self.max_zoom,
            self.max_warp,
            self.max_lighting,
            self.flip,
            self.p,
        )
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
            self._check_range([inputs], kwargs.get("training"))
            return super().__call__(inputs, *args, **kwargs)
        check_targets(inputs)
        pixels = [inputs[x] for x in ("images", "targets") if x in inputs]
        self._check_range(pixels, kwargs.get("training"))
        # Keras would convert integer labels to floats.
        names = [*MOVED, "keypoint_weights"]
        moved = {name: inputs[name] for name in names if name in inputs}
        return {**inputs, **super().__call__(moved, *args, **kwargs)}

    def call(self, data: Any, training: bool = True) -> Any:
        if not isinstance(data, dict):
            return super().call(data, training=training)
        batched = self._is_batched(data["images"])
        numpy = self.backend.numpy
        given = {x: self.backend.convert_to_tensor(data[x]) for x in data}
        if not batched:
            given = {x: numpy.expand_dims(given[x], 0) for x in given}
        transformation = self.get_random_transformation(given, training)
        moved = {
            name: getattr(self, f"transform_{name}")(
                given[name], transformation, training
            )
            for name in MOVED
            if name in given and name != "keypoints"
        }
        if "keypoints" in given:
            moved |= self._moved_points(given, transformation)
        if not batched:
            moved = {x: numpy.squeeze(moved[x], 0) for x in moved}
        return moved

    def _moved_points(
        self, given: dict[str, Any], transformation: Any
    ) -> dict[str, Any]:
        ops = self.backend
        points = ops.cast(given["keypoints"], "float32")
        height, width = sides(ops, self._channels_last(given["images"]))
        if transformation is not None and self._limits.move:
            drawn = transformation["drawn"]
            matrix = matrix_of(ops, drawn, self._limits, height, width)
            points = move_points(ops, points, matrix)
        weights = given.get("keypoint_weights", 1.0)
        points, inside = weights_inside(ops, points, height, width)
        return {"keypoints": points, "keypoint_weights": weights * inside}

    def _check_range(self, images: list[Any], training: Any) -> None:
        """Warn once of pixels from 0 to 1."""
        if training and not self._range_is_known:
            self._range_is_known = all([*map(range_is_known, images)])

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

    # As the images: a target may have another size, but is equally bright.
    transform_targets = transform_images

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
        """Move the pixels; relight them, unless they are class numbers."""
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
        images = self._channels_last(images)
        if self._limits.move:
            matrix = matrix_of(ops, drawn, self._limits, *sides(ops, images))
            images = resample(ops, images, matrix, nearest=masks)
        if self.max_lighting and not masks:
            lighting = lighting_of(ops, drawn, self._limits)
            images = relight(ops, images, *lighting)
        if self.data_format == "channels_first":
            images = ops.numpy.transpose(images, (0, 3, 1, 2))
        return ops.cast(images, dtype)

    def _channels_last(self, images: Any) -> Any:
        if self.data_format == "channels_last":
            return images
        return self.backend.numpy.transpose(images, (0, 2, 3, 1))
