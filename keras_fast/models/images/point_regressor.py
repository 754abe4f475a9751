"""A network that knows images already, and learns where points lie in them."""

import os
from typing import Any

import keras

from keras_fast._checks import one_of, whole
from keras_fast.layers import SoftArgmax
from keras_fast.models._checks import channels_last, image_shape
from keras_fast.models.images._backbone import frozen_backbone
from keras_fast.models.images._blocks import batch_norm, convolution
from keras_fast.models.images._encoder import encoder_of
from keras_fast.models.images._preprocessing import prepare

__all__ = ["point_regressor"]

UNITS = ("pixels", "relative")
LEVEL = 3  # an eighth of the image; deeper features know less of where
WIDTH = 96  # filters of the head


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
    Its head keeps the positions in the feature maps, which pooling would lose:
    from the backbone's features at an eighth of the resolution, convolutions
    compute for each point a score at each position and an offset from it, and
    `keras_fast.layers.SoftArgmax` combines them. The backbone's deeper layers
    are left out: they know what is in the image, but less of where. The head
    is the last group of `layer_groups(model)`. Everything before it starts
    frozen; `unfreeze(model)` lets it train.

    Each point starts in the middle of the image. `keras_fast.fine_tune` moves
    it to its mean over the training data, from where it is learned much
    faster; `fit()` and `head_epochs=0` don't. Targets must be of shape
    (n, num_points, 2), even for one point: losses broadcast other shapes.

    Compile the model with `loss="mae"`, or with Keras's `Huber`. Points that
    are missing get a `sample_weight` of 0, (n, num_points), as
    `keras_fast.data.AugTransforms` returns it. Weights for images need
    the shape (n, 1): Keras may read (n,) as weights for points.

    Args:
        backbone: As in `image_classifier`.
        num_points: Number of points.
        input_shape: As in `image_classifier`. Predict in images of the size
            that the model was trained on, or of multiples of 8: in others
            the maps don't fit the borders.
        weights: As in `image_classifier`.
        units: `"pixels"`, of which (0, 0) is the middle of the first, or
            `"relative"`, from -1 at the left or upper border to 1.

    Returns:
        A model that is not compiled, from images to x and y of each point,
        (batch, num_points, 2). Its output is float32 also under mixed
        precision.

    Raises:
        ValueError: An argument is out of range; the backbone does not end in
            feature maps, or they are no smaller than the images.

    Examples:
        >>> from keras_fast import models
        >>> base = models.efficientnet_lite0(weights=None, include_top=False)
        >>> model = models.point_regressor(base, num_points=5)
        >>> model.output_shape
        (None, 5, 2)
        >>> [layer.name for layer in keras_fast.layer_groups(model)[-1]]
        ['points_bn', 'points_conv1', ..., 'point_maps']

    Reference:

    - fastai 2.8, `vision_learner` with `PointBlock`
    - [Sun et al., 2017](https://arxiv.org/abs/1711.08229)
    """
    channels_last()
    whole("num_points", num_points)
    one_of("units", units, UNITS)
    shape = image_shape(input_shape)
    base, mode = frozen_backbone(backbone, weights, shape)
    encoder, [level] = encoder_of(base, shape, LEVEL)
    inputs = keras.Input((None, None, shape[-1]), name="image")
    maps = _maps(encoder(prepare(inputs, mode)), num_points)
    stride = 2**level if units == "pixels" else None
    points = SoftArgmax(num_points, stride, dtype="float32", name="points")
    return keras.Model(inputs, points(maps), name="point_regressor")


def _maps(x: Any, num_points: int) -> Any:
    """A score and two offsets for each point, at each position."""
    x = batch_norm("points_bn")(x)
    for size in (1, 3):
        x = convolution(WIDTH, size, f"points_conv{size}")(x)
        x = batch_norm(f"points_bn{size}")(x)
        x = keras.layers.ReLU(name=f"points_relu{size}")(x)
    return keras.layers.Conv2D(
        3 * num_points,
        1,
        # So that every point starts in the middle of the image.
        kernel_initializer="zeros",
        dtype="float32",
        name="point_maps",
    )(x)
