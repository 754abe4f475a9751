"""A network that knows images already, and learns where points lie in them."""

import math
import os
from typing import Any

import keras

from keras_fast._checks import one_of, whole
from keras_fast.layers import SoftArgmax
from keras_fast.models._checks import channels_last, image_shape
from keras_fast.models.images._backbone import frozen_backbone
from keras_fast.models.images._preprocessing import prepare

__all__ = ["point_regressor"]

UNITS = ("pixels", "relative")
PROBE = 256  # pixels


def point_regressor(
    backbone: str | keras.Model,
    num_points: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    weights: str | os.PathLike | None = "imagenet",
    units: str = "pixels",
) -> keras.Model:
    """A model that finds points in images, such as the corners of eyes.

    It takes raw pixels, 0 to 255, of any size, and preprocesses them itself.
    Its head keeps the places of the feature maps, where pooling would lose
    them: a convolution gives each point a score at each place and a distance
    from it, and `keras_fast.layers.SoftArgmax` makes a position of both. The
    head is the last group of `layer_groups(model)`. Everything before it
    starts frozen; `unfreeze(model)` lets it train.

    Compile it with `loss="mae"`, or with Keras's `Huber`. Points that are not
    there get a `sample_weight` of 0, (n, num_points), as
    `keras_fast.data.AugTransforms` gives it.

    Args:
        backbone: As in `image_classifier`.
        num_points: Number of points.
        input_shape: As in `image_classifier`. Predict in images of the size
            that the model was trained on, or of multiples of the backbone's
            stride, often 32: in others the maps don't fit the borders.
        weights: As in `image_classifier`.
        units: `"pixels"`, of which (0, 0) is the middle of the first, or
            `"relative"`, from -1 at the left or upper border to 1.

    Returns:
        A model that is not compiled, from images to x and y of each point,
        (batch, num_points, 2). Its output is float32 also under mixed
        precision.

    Raises:
        ValueError: An argument is out of range, or the backbone does not end
            in feature maps.

    Examples:
        >>> from keras_fast import models
        >>> base = models.efficientnet_lite0(weights=None, include_top=False)
        >>> model = models.point_regressor(base, num_points=5)
        >>> model.output_shape
        (None, 5, 2)
        >>> [layer.name for layer in keras_fast.layer_groups(model)[-1]]
        ['points_bn', 'point_maps']

    Reference:

    - fastai 2.8, `vision_learner` with `PointBlock`
    - [Sun et al., 2017](https://arxiv.org/abs/1711.08229)
    """
    channels_last()
    whole("num_points", num_points)
    one_of("units", units, UNITS)
    shape = image_shape(input_shape)
    base, mode = frozen_backbone(backbone, weights, shape)
    inputs = keras.Input((None, None, shape[-1]), name="image")
    x = base(prepare(inputs, mode))
    # Keras's own momentum, 0.99, is too slow for a few epochs.
    x = keras.layers.BatchNormalization(momentum=0.9, name="points_bn")(x)
    maps = keras.layers.Conv2D(
        3 * num_points,
        1,
        # So that every point starts in the middle of the image.
        kernel_initializer="zeros",
        dtype="float32",
        name="point_maps",
    )(x)
    stride = _stride(base) if units == "pixels" else None
    points = SoftArgmax(num_points, stride, dtype="float32", name="points")
    return keras.Model(inputs, points(maps), name="point_regressor")


def _stride(base: Any) -> int:
    """A power of 2, whatever the borders take away."""
    channels = base.input_shape[-1]
    maps = base.compute_output_shape((None, PROBE, PROBE, channels))
    return 2 ** round(math.log2(PROBE / maps[1]))
