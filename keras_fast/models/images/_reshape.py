"""How does a network take images of other sizes or numbers of channels?"""

from typing import Any

import keras
import numpy as np

from keras_fast._keras.layer_state import take_state
from keras_fast._keras.layers import layers_of
from keras_fast.models.images._preprocessing import stretch

__all__ = ["adapt_kernel", "any_size", "with_channels"]

# Settings with one number per channel, and the attributes that hold them.
CONSTANTS = {
    keras.layers.Normalization: {
        "mean": "input_mean",
        "variance": "input_variance",
    },
    keras.layers.Rescaling: {"scale": "scale", "offset": "offset"},
}


def any_size(backbone: keras.Model) -> keras.Model:
    """The same layers, with the same weights, for images of any size."""
    _, height, width, channels = backbone.inputs[0].shape
    if (height, width) == (None, None):
        return backbone
    inputs = keras.Input((None, None, channels))
    return keras.Model(inputs, backbone.call(inputs), name=backbone.name)


def with_channels(backbone: keras.Model, channels: int) -> keras.Model:
    """A copy of an RGB network for another number of channels.

    The first kernel is adapted as fastai does. So is the preprocessing of each
    channel within the network.

    Raises:
        ValueError: The network is not for three channels, or does not begin
            with a convolution.
    """
    found = backbone.inputs[0].shape[-1]
    if found == channels:
        return backbone
    if found != 3:
        raise ValueError(
            "`input_shape` must have as many channels as the backbone, "
            f"{found}: only a backbone for 3 is adapted. Pass that many. "
            f"Received: channels={channels}"
        )
    copy = _copy_layers(backbone, channels)
    pairs = list(zip(backbone.weights, copy.weights, strict=True))
    kernels = [old for old, new in pairs if _other_kernel(old, new)]
    if len(kernels) != 1:
        raise ValueError(
            "`backbone` must begin with one convolution to be adapted to "
            "another number of channels. Pass images with 3. "
            f"Received: backbone={backbone.name}, channels={channels}"
        )
    take_state(copy, backbone)
    for old, new in pairs:
        value = keras.ops.convert_to_numpy(old)
        if _other_kernel(old, new):
            new.assign(adapt_kernel(value, channels))
        elif old.shape != new.shape:
            new.assign(stretch(value, channels))
    for layer in layers_of(copy):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return copy


def adapt_kernel(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A kernel for RGB, (height, width, 3, filters), for other channels.

    One channel gets the sum of the three, two get the first two times 1.5,
    and any beyond three start at zero.
    """
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    if channels == 2:
        return kernel[:, :, :2] * 1.5
    return np.pad(kernel, [(0, 0), (0, 0), (0, channels - 3), (0, 0)])


def _other_kernel(old: Any, new: Any) -> bool:
    return len(old.shape) == 4 and old.shape != new.shape


def _copy_layers(model: keras.Model, channels: int) -> keras.Model:
    """The same network with new layers; the first takes other channels."""

    def copy(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return _copy_layers(layer, channels)
        config = layer.get_config()
        for name, attribute in CONSTANTS.get(type(layer), {}).items():
            values = getattr(layer, attribute)
            if np.shape(values) == (3,):
                config[name] = stretch(values, channels)
        return type(layer).from_config(config)

    last = model.inputs[0].shape[-1]
    size = (None, None, channels if last == 3 else last)
    return keras.models.clone_model(
        model, input_tensors=keras.Input(size), clone_function=copy
    )
