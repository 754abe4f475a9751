"""What does a layer or model contain: layers, variables, Keras's notes?"""

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
    """`built` is weaker: `build(shape)` of a subclassed model builds none."""
    return layer._called


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Its trainable variables, without those of inner layers."""
    return layer._trainable_variables


def note_what_trains(model: keras.Model) -> None:
    """Update the note with which Keras detects changes after `compile()`."""
    model._compiled_trainable_state = {
        layer: layer.trainable for layer in layers_of(model)
    }


def forget_losses(model: keras.Model) -> None:
    """Drop losses added by layers: they hold the graph they come from."""
    model._clear_losses()


def mask_of(tensor: Any) -> Any:
    """Its mask, as a layer or a loss recorded it; None if all counts."""
    return get_keras_mask(tensor)
