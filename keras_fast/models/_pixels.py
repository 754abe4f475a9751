"""What does a network of keras.applications want done to pixels first?"""

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["application", "prepare", "stretch"]

# As each module's `preprocess_input`: what is divided by, then mean and
# standard deviation of the channels in the network's own order.
MODES = {
    "tf": (127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "torch": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": (1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
}
# None: the network does it itself.
FAMILIES = {
    "convnext": None,
    "densenet": "torch",
    "efficientnet": None,
    "efficientnet_v2": None,
    "inception_resnet_v2": "tf",
    "inception_v3": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "mobilenet_v3": None,
    "nasnet": "tf",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "tf",
}


def application(name: str, weights: str | None) -> tuple[keras.Model, Any]:
    """The network without its top, and its mode in `MODES`."""
    network: Any = getattr(keras.applications, name, None)
    # Not every one is in its family's public module.
    family = getattr(network, "__module__", "").rpartition(".")[2]
    if name[:1].isupper() and family in FAMILIES:
        # Some adapt their layers, or warn, unless the size is this one.
        shape = (224, 224, 3)
        built = network(include_top=False, weights=weights, input_shape=shape)
        return built, FAMILIES[family]
    raise ValueError(
        "`backbone` must be the name of a keras.applications network or a "
        "Keras model. Check its spelling: 'EfficientNetV2B0', for one. "
        f"Received: backbone={name!r}"
    )


def prepare(pixels: Any, mode: str | None) -> Any:
    """Pixels from 0 to 255 as the network knows them; always in float32."""
    if mode is None:
        return pixels
    channels = pixels.shape[-1]
    if mode == "caffe" and channels >= 3:  # RGB to BGR
        order = [2, 1, 0, *range(3, channels)]
        pixels = keras.ops.take(pixels, order, axis=-1)
    divisor, means, deviations = MODES[mode]
    means = stretch(means, channels)
    deviations = stretch(deviations, channels)
    return keras.layers.Rescaling(
        [1 / (divisor * deviation) for deviation in deviations],
        [-m / d for m, d in zip(means, deviations, strict=True)],
        dtype="float32",
        name="preprocessing",
    )(pixels)


def stretch(values: Sequence[float], channels: int) -> list[float]:
    """One value for each of three channels, for another number of them.

    Two channels take the first two values, others the mean where there is
    none of their own.
    """
    values = [float(value) for value in values]
    mean = sum(values) / len(values)
    if channels == 1:
        return [mean]
    return [*values[:channels], *[mean] * (channels - len(values))]
