"""Which preprocessing does a network of keras.applications need?"""

from collections.abc import Sequence
from typing import Any

import keras

__all__ = ["application", "mode_of", "prepare", "stretch"]

# As each module's `preprocess_input`: the divisor, then mean and standard
# deviation of the channels in the network's own order. "raw" is for networks
# that preprocess pixels themselves.
MODES = {
    "raw": (1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "tf": (127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)),
    "torch": (255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": (1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
}
FAMILIES = {
    "convnext": "raw",
    "densenet": "torch",
    "efficientnet": "raw",
    "efficientnet_v2": "raw",
    "inception_resnet_v2": "tf",
    "inception_v3": "tf",
    "mobilenet": "tf",
    "mobilenet_v2": "tf",
    "mobilenet_v3": "raw",
    "nasnet": "tf",
    "resnet": "caffe",
    "resnet_v2": "tf",
    "vgg16": "caffe",
    "vgg19": "caffe",
    "xception": "tf",
}

# Names of layers near the input that only this family has together. A network
# that was renamed or cut still has them.
MARKS = {
    "densenet": {"conv1_conv", "pool1", "conv2_block1_0_bn"},
    "inception_resnet_v2": {"mixed_5b", "block35_1_mixed"},
    "inception_v3": {"mixed0", "mixed1", "mixed2"},
    "mobilenet": {"conv1_relu", "conv_dw_1", "conv_pw_1_bn"},
    "mobilenet_v2": {"Conv1", "bn_Conv1", "expanded_conv_project_BN"},
    "nasnet": {"stem_conv1", "stem_bn1", "reduction_conv_1_stem_1"},
    "resnet": {"conv1_conv", "conv1_bn", "pool1_pool", "conv2_block1_1_conv"},
    "resnet_v2": {"conv1_conv", "pool1_pool", "conv2_block1_preact_bn"},
    "vgg16": {"block1_conv1", "block1_pool", "block2_conv2"},
    "xception": {"block1_conv1_bn", "block2_sepconv1", "block2_sepconv2_bn"},
}


def application(name: str, weights: str | None) -> tuple[keras.Model, str]:
    """The network without its top, and its mode in `MODES`."""
    network: Any = getattr(keras.applications, name, None)
    # Not all of them are in the public module of their family.
    family = getattr(network, "__module__", "").rpartition(".")[2]
    if name[:1].isupper() and family in FAMILIES:
        # Some adapt their layers, or warn, unless the size is this.
        shape = (224, 224, 3)
        built = network(include_top=False, weights=weights, input_shape=shape)
        return built, FAMILIES[family]
    raise ValueError(
        "`backbone` must be the name of a keras.applications network or a "
        "Keras model. Check its spelling: 'EfficientNetV2B0', for one. "
        f"Received: backbone={name!r}"
    )


def mode_of(network: keras.Model) -> str | None:
    """The mode in `MODES` that a network of keras.applications needs.

    None if it needs another, or if other layers process the pixels first.
    """
    ordered = isinstance(network, keras.Sequential)
    parts = network.layers if ordered else network.operations
    # Layers at the start that change no pixel.
    begin = ("InputLayer", "ConvertToTensor")
    parts = [part for part in parts if type(part).__name__ not in begin]
    if not parts:
        return None
    if isinstance(parts[0], keras.Model):
        return mode_of(parts[0])
    if not isinstance(
        parts[0], keras.layers.Conv2D | keras.layers.ZeroPadding2D
    ):
        return None
    names = {part.name for part in parts}
    found = (family for family, marks in MARKS.items() if marks <= names)
    return FAMILIES.get(next(found, ""))


def prepare(pixels: Any, mode: str | None) -> Any:
    """Pixels from 0 to 255 as the network expects them; always in float32.

    If it expects RGB, one-channel images get three channels.
    """
    if mode is None:
        return pixels
    channels = pixels.shape[-1]
    order = [*range(channels)]
    if mode == "caffe" and channels >= 3:  # RGB to BGR
        order[:3] = 2, 1, 0
    divisor, means, deviations = MODES[mode]
    means = [stretch(means, channels)[i] for i in order]
    deviations = [stretch(deviations, channels)[i] for i in order]
    pixels = keras.layers.Rescaling(
        [1 / (divisor * deviation) for deviation in deviations],
        [-m / d for m, d in zip(means, deviations, strict=True)],
        dtype="float32",
        name="preprocessing",
    )(pixels)
    if order == sorted(order):
        return pixels
    return keras.ops.take(pixels, order, axis=-1)


def stretch(values: Sequence[float], channels: int) -> list[float]:
    """Adapt one value for each of three channels to another number of them.

    Two channels take the first two values; otherwise channels without a value
    of their own take the mean.
    """
    values = [float(value) for value in values]
    mean = sum(values) / len(values)
    if channels == 1:
        return [mean]
    return [*values[:channels], *[mean] * (channels - len(values))]
