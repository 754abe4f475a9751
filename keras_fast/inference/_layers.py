"""Which layer gives the feature maps, and which the word vectors?"""

from collections.abc import Iterator
from typing import Any

import keras

from keras_fast._keras.graph import calls_of, made_by
from keras_fast._keras.layers import layers_of

__all__ = ["conv_layer", "embedding_layer"]

layers = keras.layers
RESIZED = (
    layers.AveragePooling2D,
    layers.Cropping2D,
    layers.MaxPooling2D,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
)


def conv_layer(model: keras.Model, layer: Any = None) -> keras.layers.Layer:
    """The given layer, by name too, or the last that has all feature maps.

    Args:
        model: A built model; models within it are opened.
        layer: A layer, its name or None.

    Raises:
        ValueError: There is not one such layer.
    """
    return _last_with_maps(model) if layer is None else _named(model, layer)


def embedding_layer(
    model: keras.Model, layer: Any = None
) -> keras.layers.Layer:
    """The given layer, by name too, or the only embedding in the model.

    Args:
        model: A built model; models within it are opened.
        layer: A layer, its name or None.

    Raises:
        ValueError: There is not one such layer.
    """
    if layer is not None:
        return _named(model, layer)
    inside = layers_of(model, itself=False)
    found = [each for each in inside if isinstance(each, layers.Embedding)]
    if len(found) == 1:
        return found[0]
    names = [each.name for each in found]
    remedy = "Pass that of the tokens as `layer`, or its name."
    if not found:
        remedy = (
            "Pass as `layer` any other whose outputs are (n, length, features)."
        )
    raise ValueError(
        "`model` must have one `keras.layers.Embedding`, that of the tokens. "
        f"{remedy} Received: model={model.name} with {names}"
    )


def _named(model: keras.Model, layer: Any) -> keras.layers.Layer:
    inside = layers_of(model, itself=False)
    found = [each for each in inside if layer is each or layer == each.name]
    if len(found) == 1:
        return found[0]
    raise ValueError(
        "`layer` must be one layer of the model, or the name of one. Look at "
        "`model.summary(expand_nested=True)`; of layers of one name pass the "
        f"layer itself. Received: layer={layer!r}, which fits {len(found)}"
    )


def _last_with_maps(model: keras.Model) -> keras.layers.Layer:
    outside: dict[int, Any] = {}
    found = [
        each
        for each in _leaves(model, outside)
        if not isinstance(each, layers.InputLayer)
        and _is_map(_output(each), outside)
    ]
    for each in reversed(found):
        if not _has_way_around(each, model, outside):
            return each
    if found:
        raise ValueError(
            "`model` must have a layer whose feature maps are all that its "
            "outputs know of the image. Where several networks lead to "
            "them, as in a mean of models, look at one of the models, or pass "
            "as `layer` whose maps to follow. Received: "
            f"model={model.name}, layer=None, and a way around each of "
            f"{len(found)} layers, the last one {found[-1].name!r}"
        )
    raise ValueError(
        "`model` must have a convolution, or a layer that keeps the "
        "places of one, and such a layer must be found without running "
        "the model. Pass `layer`: any that gives (n, height, width, "
        "channels). In a transformer, whose tokens have no such shape, "
        "put a `keras.layers.Reshape` to it behind a block. "
        f"Received: model={model.name}, layer=None"
    )


def _has_way_around(layer: Any, model: Any, outside: dict[int, Any]) -> bool:
    """Whether images reach the model's outputs through other layers.

    For a model without a graph this is unknown, and False.
    """
    tensors = list(getattr(model, "outputs", None) or [])
    seen = set()
    while tensors:
        tensor = tensors.pop()
        if id(tensor) in seen:
            continue
        seen.add(id(tensor))
        operation, call, place = made_by(tensor)
        if operation is layer:
            continue
        if getattr(operation, "outputs", None):  # a model
            tensors.append(operation.outputs[place])
        elif not isinstance(operation, layers.InputLayer):
            tensors += call.input_tensors
        elif id(tensor) in outside:
            tensors.append(outside[id(tensor)])
        elif len(tensor.shape) == 4:
            return True
    return False


def _leaves(
    model: Any, outside: dict[int, Any]
) -> Iterator[keras.layers.Layer]:
    """Layers in order; `outside` records the inputs of each nested model."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            given = [node.input_tensors for node in calls_of(layer)[-1:]]
            inputs = getattr(layer, "inputs", None) or []
            for tensors in given:
                outside |= zip(map(id, inputs), tensors, strict=False)
            yield from _leaves(layer, outside)
        else:
            yield layer


def _output(layer: Any) -> Any:
    try:
        return layer.output
    except (AttributeError, ValueError):  # never called, or several outputs
        return None


def _is_map(tensor: Any, outside: dict[int, Any]) -> bool:
    """Whether axes 1 and 2 are still places of the image.

    A kernel of four axes makes such maps. Any other tensor with four axes may
    be attention scores, (n, heads, tokens, tokens).
    """
    shape = getattr(tensor, "shape", ())
    # A map pooled to one place carries no position.
    if len(shape) != 4 or tuple(shape[1:3]) == (1, 1):
        return False
    operation, call, place = made_by(tensor)
    if getattr(operation, "outputs", None):  # a model
        return _is_map(operation.outputs[place], outside)
    if isinstance(operation, layers.InputLayer):
        return _is_map(outside.get(id(tensor)), outside)
    if isinstance(operation, layers.Permute):
        return False
    weights = getattr(operation, "weights", ())
    if any(len(weight.shape) == 4 for weight in weights):
        return True
    resized = isinstance(operation, RESIZED)
    return any(
        (resized or source.shape[1:3] == shape[1:3])
        and _is_map(source, outside)
        for source in call.input_tensors
    )
