"""A pretrained image network with a new head for other classes."""

import os
from typing import Any

import keras

from keras_fast._checks import share, whole
from keras_fast.models._checks import (
    channels_last,
    check_activation,
    image_shape,
)
from keras_fast.models.images._backbone import frozen_backbone
from keras_fast.models.images._preprocessing import prepare

__all__ = ["image_classifier"]


def image_classifier(
    backbone: str | keras.Model,
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (224, 224, 3),
    weights: str | os.PathLike | None = "imagenet",
    head_units: int | None = None,
    dropout: float | None = None,
    activation: str | None = "softmax",
) -> keras.Model:
    """An image classifier on a pretrained network.

    It takes raw pixels, 0 to 255, of any size, and preprocesses them itself:
    a network of `keras.applications` gets the preprocessing it was trained
    with. Its head is linear: the mean of each feature map, batch normalization
    and a dense layer, whose kernel starts at zero. The head is the last group
    of `layer_groups(model)`. Everything before it starts frozen;
    `unfreeze(model)` lets it train.

    With `head_units=512` the head is fastai's: the maximum and the mean of
    each feature map, concatenated, then twice batch normalization, dropout and
    a dense layer. In the benchmarks, on a few hundred images, `fine_tune` with
    the linear head was more accurate than fastai's recipe with its own head;
    the hidden layer is for larger datasets.

    Args:
        backbone: Name of a `keras.applications` network, or any model that
            maps images to feature maps, such as one from KerasHub. By name,
            images with one channel are accepted too, as if they were in color.
            A network of `keras.applications` may also be passed as a model,
            whole or cut.
            Any other model is used unchanged: it must preprocess pixels
            itself, as
            `keras.Sequential([keras.layers.Rescaling(...), network])`. Its
            layers are shared, not copied, and frozen.
        num_classes: Number of classes.
        input_shape: Height, width and channels of the images. The model
            takes any other size too; None if there is no usual one. With
            other than 3 channels the first convolution is adapted: one
            channel gets the sum of its weights, two get the first two times
            1.5, and those beyond the third start at zero.
        weights: For a backbone given by name: "imagenet", or None for random
            weights. Or the path of weights saved from the backbone, without
            its top. A model keeps its own, unless a path is given.
        head_units: Units of a hidden layer in the head; None for a linear
            head.
        dropout: Share dropped before the last layer, and half of it before
            the hidden layer. None takes 0.5 with a hidden layer, else 0.
        activation: "softmax" for one class per image, "sigmoid" for any number
            of classes, None for logits.

    Returns:
        A model that is not compiled. Its output is float32 also under mixed
        precision.

    Raises:
        ValueError: An argument is out of range, or the backbone does not end
            in feature maps.

    Examples:
        >>> from keras_fast import models
        >>> model = models.image_classifier("MobileNetV2", 10, weights=None)
        >>> model.output_shape
        (None, 10)
        >>> [len(group) for group in keras_fast.layer_groups(model)]
        [52, 52, 2]

    Reference:

    - [Howard and Gugger, 2020](https://arxiv.org/abs/2002.04688)
    """
    channels_last()
    check_activation(num_classes, activation)
    shape = image_shape(input_shape)
    units = None if head_units is None else whole("head_units", head_units)
    default = 0.0 if units is None else 0.5
    rate = default if dropout is None else share("dropout", dropout, 0.5)
    base, mode = frozen_backbone(backbone, weights, shape)
    inputs = keras.Input((None, None, shape[-1]), name="image")
    x = base(prepare(inputs, mode))
    x = _linear(x, rate) if units is None else _hidden(x, units, rate)
    scores = _scores(num_classes, activation, zeros=units is None)(x)
    return keras.Model(inputs, scores, name="image_classifier")


def _linear(x: Any, rate: float) -> Any:
    x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
    return _dropped(x, rate, "scores")


def _hidden(x: Any, units: int, rate: float) -> Any:
    pools = [
        keras.layers.GlobalMaxPooling2D(name="max_pool")(x),
        keras.layers.GlobalAveragePooling2D(name="average_pool")(x),
    ]
    x = keras.layers.Concatenate(name="pools")(pools)
    x = _dropped(x, rate / 2, "hidden")
    x = keras.layers.Dense(
        units,
        "relu",
        use_bias=False,  # the normalization before it has one
        kernel_initializer="he_normal",
        name="hidden",
    )(x)
    return _dropped(x, rate, "scores")


def _dropped(x: Any, rate: float, name: str) -> Any:
    # Keras's own momentum, 0.99, is too slow for a few epochs.
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    if not rate:
        return x
    return keras.layers.Dropout(rate, name=f"{name}_dropout")(x)


def _scores(num_classes: int, activation: str | None, zeros: bool) -> Any:
    return keras.layers.Dense(
        num_classes,
        activation,
        use_bias=zeros,
        # Random values would add noise that training hardly removes.
        kernel_initializer="zeros" if zeros else "he_normal",
        name="scores",
        dtype="float32",
    )
