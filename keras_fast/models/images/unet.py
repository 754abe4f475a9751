"""A U-Net on a network that knows images already: a label for each pixel."""

import os
from collections.abc import Mapping
from typing import Any

import keras

from keras_fast.layers import ICNR, PixelShuffle
from keras_fast.models._checks import (
    channels_last,
    check_activation,
    image_shape,
)
from keras_fast.models.images._backbone import frozen_backbone
from keras_fast.models.images._blocks import batch_norm, convolution
from keras_fast.models.images._encoder import encoder_of
from keras_fast.models.images._preprocessing import prepare
from keras_fast.models.images._resize_like import ResizeLike

__all__ = ["unet"]

NARROWEST = 16  # filters at the size of the images
ATTENTION_LEVEL = 3  # an eighth of the images, as fastai with a ResNet


def unet(
    backbone: str | keras.Model,
    num_classes: int,
    *,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    weights: str | os.PathLike | None = "imagenet",
    activation: str | None = None,
    self_attention: bool = False,
) -> keras.Model:
    """A U-Net on a pretrained network, for a prediction at each pixel.

    It takes raw pixels, 0 to 255, of any size, odd ones too, preprocesses
    them as `image_classifier` does, and its output is as high and wide as
    they are. The encoder is the backbone. The decoder doubles the size with
    `PixelShuffle` until it is that of the images. At each resolution two
    convolutions look at that together with what the encoder had there,
    normalized, and in the end with the images themselves, and add details to
    it, at first none. So what is known from afar gets through from the start.
    The decoder is the last group of `layer_groups(model)`. Everything before
    it starts frozen; `unfreeze(model)` lets it train.

    For segmentation train it with masks of class numbers, (batch, height,
    width), and a sparse crossentropy with `from_logits=True`. With
    `ignore_class=255` that loss leaves pixels without a label out. For images
    as targets pass their number of channels as `num_classes`, and train with
    a loss such as "mse".

    Args:
        backbone: As in `image_classifier`: the name of a `keras.applications`
            network, or a functional or Sequential model from images to
            feature maps, whose layers are shared and frozen.
        num_classes: Number of classes, the background among them, or channels
            of the output.
        input_shape: Height, width and channels of the images. The model takes
            any other size too; None where there is no usual one. With other
            than 3 channels the first convolution is adapted as in
            `image_classifier`.
        weights: Of a backbone given by name: "imagenet" or None, which is
            random. Or the path of weights saved from the backbone.
        activation: None for logits or a regression, "softmax" for the
            probabilities of one class a pixel, "sigmoid" for those of several
            or none.
        self_attention: Whether each place at an eighth of the resolution also
            looks at all others. Its memory grows with the fourth power of the
            image's side.

    Returns:
        A model that is not compiled. Its output, (batch, height, width,
        num_classes), is float32 also under mixed precision.

    Raises:
        ValueError: An argument is out of range; the backbone does not end in
            feature maps, or they are no smaller than the images.

    Examples:
        >>> from keras_fast import models
        >>> base = models.efficientnet_lite0(weights=None, include_top=False)
        >>> model = models.unet(base, num_classes=7)
        >>> model(np.zeros((1, 45, 70, 3))).shape == (1, 45, 70, 7)
        True
        >>> [len(group) for group in keras_fast.layer_groups(model)]
        [49, 49, 36]

    Reference:

    - [Ronneberger et al., 2015](https://arxiv.org/abs/1505.04597)
    - [Zhang et al., 2018](https://arxiv.org/abs/1805.08318), for
      self-attention
    - fastai, `DynamicUnet`
    """
    channels_last()
    check_activation(num_classes, activation)
    shape = image_shape(input_shape)
    base, mode = frozen_backbone(backbone, weights, shape)
    encoder, levels = encoder_of(base, shape)
    inputs = keras.Input((None, None, shape[-1]), name="image")
    images = prepare(inputs, mode)
    features = keras.tree.flatten(encoder(images))
    by_level = dict(zip(levels, features, strict=True))
    x = _decoded(images, by_level, self_attention)
    outputs = keras.layers.Conv2D(
        num_classes, 1, activation=activation, dtype="float32", name="scores"
    )(x)
    return keras.Model(inputs, outputs, name="unet")


def _decoded(
    images: Any, features: Mapping[int, Any], self_attention: bool
) -> Any:
    """What the decoder makes of the encoder's features, full in size."""
    deepest = max(features)
    x = _normalized(features[deepest], f"level{deepest}")
    x = _convolved(x, _filters(x, deepest), f"level{deepest}")
    for level in reversed(range(deepest)):
        name = f"level{level}"
        joined = []
        if level in features:
            joined.append(_normalized(features[level], name))
        filters = _filters(features.get(level, x), level)
        if level == 0:
            joined.append(batch_norm("image_bn")(images))
        if len(joined) > 1:  # convolutions without padding cut borders off
            joined[0] = ResizeLike(name=f"{name}_skip_resize")(joined)
        x = _enlarged(x, filters, name)
        seen = x
        if joined:
            x = ResizeLike(name=f"{name}_resize")([x, joined[-1]])
            seen = keras.layers.Concatenate(name=f"{name}_join")([x, *joined])
        x = _convolved(seen, filters, name, onto=x)
        if self_attention and level == min(ATTENTION_LEVEL, deepest - 1):
            x = _attended(x)
    return x


def _filters(x: Any, level: int) -> int:
    """An eighth of the channels, and twice as many where it is half as large.

    Up to 128: what is deeper is small, and has many channels anyway.
    """
    return max(x.shape[-1] // 8, NARROWEST * 2 ** min(level, 3))


def _enlarged(x: Any, filters: int, name: str) -> Any:
    x = keras.layers.Conv2D(
        4 * filters,
        1,
        activation="relu",
        kernel_initializer=ICNR(2, "he_normal"),
        name=f"{name}_enlarge",
    )(x)
    return PixelShuffle(2, name=f"{name}_shuffle")(x)


def _convolved(x: Any, filters: int, name: str, onto: Any = None) -> Any:
    """Two convolutions; what they add to `onto` is nothing at first."""
    for number in (1, 2):
        adds = onto is not None and number == 2
        x = convolution(filters, 3, f"{name}_conv{number}")(x)
        gamma = "zeros" if adds else "ones"
        x = batch_norm(f"{name}_bn{number}", gamma_initializer=gamma)(x)
        if adds:
            x = keras.layers.Add(name=f"{name}_add")([onto, x])
        x = keras.layers.ReLU(name=f"{name}_relu{number}")(x)
    return x


def _normalized(skip: Any, name: str) -> Any:
    x = batch_norm(f"{name}_skip_bn")(skip)
    return keras.layers.ReLU(name=f"{name}_skip_relu")(x)


def _attended(x: Any) -> Any:
    """Self-attention over all places, which starts as nothing."""
    channels = x.shape[-1]
    seen = keras.layers.MultiHeadAttention(
        num_heads=1,
        key_dim=max(channels // 8, 1),
        value_dim=channels,
        use_bias=False,
        name="attention",
    )(x, x)
    # The scale from zero is SAGAN's gamma.
    seen = batch_norm("attention_bn", gamma_initializer="zeros")(seen)
    return keras.layers.Add(name="attention_add")([x, seen])
