"""Does a builder of models get what it needs? Each check explains why not."""

import os
from typing import Any

import keras

from keras_fast._checks import several, whole

__all__ = [
    "Shape",
    "channels_last",
    "check_activation",
    "feature_maps",
    "image_shape",
    "weights_path",
]

Shape = tuple[int | None, int | None, int]


def image_shape(value: Any) -> Shape:
    """Height, width, channels; the first two may be None."""
    sizes = several("input_shape", value)
    if len(sizes) != 3 or sizes[2] is None:
        raise ValueError(
            "`input_shape` must be height, width and channels. Pass a tuple "
            "such as (224, 224, 3), or (None, None, 3) for any size. "
            f"Received: input_shape={value!r}"
        )
    height, width, channels = (
        None if size is None else whole("input_shape", size) for size in sizes
    )
    return height, width, channels  # pyright: ignore[reportReturnType]


def weights_path(value: Any) -> str | None:
    """The path in `weights`, or None if it is "imagenet" or None."""
    if value is None or (isinstance(value, str) and value == "imagenet"):
        return None
    expected = "`weights` must be 'imagenet', None or the path of a file. "
    if not isinstance(value, str | os.PathLike):
        raise TypeError(
            f"{expected}Pass one of these. Received: weights={value!r}"
        )
    path = os.fspath(value)
    if not os.path.isfile(path):
        raise ValueError(
            f"{expected}There is no such file. Received: weights={value!r}"
        )
    return str(path)


def channels_last() -> None:
    """Check Keras's image data format, which the builders assume."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Keras must be set to channels last. Call "
            "`keras.config.set_image_data_format('channels_last')`. "
            "Received: image_data_format='channels_first'"
        )


def feature_maps(backbone: Any) -> keras.Model:
    """Return a built model from a batch of images to one of feature maps."""
    if not isinstance(backbone, keras.Model):
        raise TypeError(
            "`backbone` must be the name of a keras.applications network or a "
            "Keras model. Pass 'EfficientNetV2B0', for one. "
            f"Received: backbone={backbone!r}"
        )
    ordered = isinstance(backbone, keras.Sequential) or hasattr(
        backbone, "operations"
    )
    if not ordered or not getattr(backbone, "inputs", None):
        raise ValueError(
            "`backbone` must be a functional model, or a Sequential one that "
            "is built. Give it an Input. "
            f"Received: backbone={backbone.name} ({type(backbone).__name__})"
        )
    ends = [*backbone.inputs, *backbone.outputs]
    if len(ends) != 2 or any(len(end.shape) != 4 for end in ends):
        raise ValueError(
            "`backbone` must map images to feature maps, both (batch, "
            "height, width, channels). Build it with include_top=False and "
            f"pooling=None. Received: backbone={backbone.name} from "
            f"{[end.shape for end in backbone.inputs]} to "
            f"{[end.shape for end in backbone.outputs]}"
        )
    return backbone


def check_activation(num_classes: int, activation: str | None) -> None:
    """Refuse a combination of classes and activation that makes no sense."""
    whole("num_classes", num_classes)
    if activation not in ("softmax", "sigmoid", None):
        raise ValueError(
            "`activation` must be 'softmax', 'sigmoid' or None. Pass "
            "'sigmoid' for several classes at once, None for logits. "
            f"Received: activation={activation!r}"
        )
    if num_classes == 1 and activation == "softmax":
        raise ValueError(
            "`num_classes` must be at least 2 with softmax, which gives one "
            "class always 1. Pass 2, or activation='sigmoid'. "
            "Received: num_classes=1"
        )
