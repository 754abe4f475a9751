"""What is in a layer or model: layers, variables, notes of Keras's?"""

from typing import Any

import keras
from keras.src.backend import get_keras_mask

__all__ = [
    "forget_losses",
    "layers_of",
    "mask_of",
    "note_what_trains",
    "own_variables",
    "was_called",
]


def layers_of(layer: Any, *, itself: bool = True) -> list[keras.layers.Layer]:
    """All layers in it, at any depth; itself first."""
    return layer._flatten_layers(include_self=itself)


def was_called(layer: keras.layers.Layer) -> bool:
    """`built` is less: `build(shape)` of a subclassed model builds none."""
    return layer._called


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Those that train where the layer does, but for layers within."""
    return layer._trainable_variables


def note_what_trains(model: keras.Model) -> None:
    """Keras warns where a compiled model's layers differ from this note."""
    model._compiled_trainable_state = {
        layer: layer.trainable for layer in layers_of(model)
    }


def forget_losses(model: keras.Model) -> None:
    """Drop what layers added to the loss, which holds the graph it is from."""
    model._clear_losses()


def mask_of(tensor: Any) -> Any:
    """Which places of it count, as a layer or a loss noted; None for all."""
    return get_keras_mask(tensor)
