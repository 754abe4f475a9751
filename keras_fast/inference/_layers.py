"""Which layer gives the feature maps, and which the scores?"""

from collections.abc import Iterator
from typing import Any

import keras

__all__ = ["conv_layer", "end_layer"]


def conv_layer(model: keras.Model, layer: Any = None) -> keras.layers.Layer:
    """The layer itself, of that name, or the last with feature maps.

    Args:
        model: A built model; models within it are opened.
        layer: A layer, its name or None.

    Raises:
        ValueError: There is not one such layer.
    """
    if layer is None:
        found = [each for each in _leaves(model) if _has_maps(each)]
        if found:
            return found[-1]
        raise ValueError(
            "`model` must have a layer with feature maps, (n, height, width, "
            "channels), that can be found without running it. Pass `layer`. "
            f"Received: model={model.name}, layer=None"
        )
    inside = model._flatten_layers(include_self=False)
    found = [each for each in inside if layer is each or layer == each.name]
    if len(found) == 1:
        return found[0]
    raise ValueError(
        "`layer` must be one layer of the model, or the name of one. Look at "
        "`model.summary(expand_nested=True)`; of layers of one name pass the "
        f"layer itself. Received: layer={layer!r}, which fits {len(found)}"
    )


def end_layer(model: Any) -> keras.layers.Layer | None:
    """The layer that the model's one output is from.

    None where only running the model would tell.
    """
    while isinstance(model, keras.Model):
        ends = getattr(model, "outputs", None) or []
        if len(ends) != 1:
            return None
        model = ends[0]._keras_history.operation
    return model


def _leaves(model: Any) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _leaves(layer)
        else:
            yield layer


def _has_maps(layer: Any) -> bool:
    if isinstance(layer, keras.layers.InputLayer):
        return False
    try:
        shape = layer.output.shape
    except (AttributeError, ValueError):  # never called, or several outputs
        return False
    # What is pooled to one place says nothing of where.
    return len(shape) == 4 and tuple(shape[1:3]) != (1, 1)
