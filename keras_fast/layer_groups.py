"""Which layers belong together?"""

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from keras_fast._checks import model as checked_model
from keras_fast._checks import several, whole

__all__ = [
    "Groups",
    "UnknownOrder",
    "can_train",
    "checked_groups",
    "default_groups",
    "frozen_by_lora",
    "layer_groups",
    "not_built",
]

Groups = Sequence[Sequence[keras.layers.Layer]]

# What turns maps of features into one vector: the head begins behind it.
POOLING = (
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
)


class UnknownOrder(ValueError):
    """The order of a model's layers is known to its `call()` alone."""


def layer_groups(
    model: keras.Model, num_groups: int | None = None
) -> list[list[keras.layers.Layer]]:
    """Split a model's layers with weights into groups, input to output.

    Nested models are opened. The head, that is what stands behind the last
    nested model or the last global pooling, is the last group; the layers
    before it are split where the numbers of layers come out most even. A
    nested model with fewer layers than there are groups leaves some empty. A
    model without such a head is split evenly altogether, and so is one that is
    not nested and has too few layers before its head. A layer that has layers
    of its own counts as one.

    Args:
        model: A built functional or Sequential model.
        num_groups: Number of groups, at most that of layers with weights; if
            None, three, or as many as there can be without an empty one.

    Returns:
        Lists of layers. Every layer with weights is in exactly one.

    Raises:
        ValueError: The order of the layers can't be known, as in a subclassed
            model; the model is not built; or it has too few layers.

    Examples:
        >>> groups = keras_fast.layer_groups(model)
        >>> [[layer.units for layer in group] for group in groups]
        [[8], [8], [1]]
    """
    if num_groups is None:
        return default_groups(model)
    num_groups = whole("num_groups", num_groups)
    layers, head, nested = _ordered_layers(checked_model(model))
    if len(layers) < num_groups:
        raise ValueError(
            "`num_groups` must be at most the number of layers with weights, "
            f"{len(layers)} here. Pass fewer. Received: "
            f"num_groups={num_groups}"
        )
    first = len(layers) - head  # of the head
    if head and num_groups > 1 and (nested or first >= num_groups - 1):
        body = np.array_split(np.arange(first), num_groups - 1)
        parts = [*body, np.arange(first, len(layers))]
    else:
        parts = np.array_split(np.arange(len(layers)), num_groups)
    return [[layers[int(i)] for i in part] for part in parts]


def default_groups(model: keras.Model) -> list[list[keras.layers.Layer]]:
    """Three groups, or as many as there can be without an empty one."""
    layers, _, _ = _ordered_layers(checked_model(model))
    groups = layer_groups(model, min(3, len(layers)))
    return [group for group in groups if group]


def checked_groups(model: keras.Model, groups: Groups) -> Groups:
    """Lists of this model's layers, none of them twice."""
    known = {id(layer) for layer in checked_model(model)._flatten_layers()}
    parts = [several("groups", group) for group in several("groups", groups)]
    listed = [id(layer) for part in parts for layer in part]
    if (
        not listed
        or len({*listed}) < len(listed)
        or not known.issuperset(listed)
    ):
        raise ValueError(
            "`groups` must be lists of the model's layers, each layer once. "
            "Take them from `model.layers` or `layer_groups(model)`. "
            f"Received: groups={groups!r}"
        )
    return parts


def can_train(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The variables of a layer or model that train unless it is frozen."""
    parts = layer._flatten_layers()
    able = {id(v) for part in parts for v in part._trainable_variables}
    able -= {id(v) for v in frozen_by_lora(layer)}
    return [variable for variable in layer.variables if id(variable) in able]


def frozen_by_lora(layer: keras.layers.Layer) -> list[keras.Variable]:
    """What `enable_lora` has frozen in a layer or model, for good."""
    return [
        variable
        for part in layer._flatten_layers()
        if getattr(part, "lora_enabled", False)
        for variable in part._trainable_variables
        if variable.name in ("kernel", "embeddings")
    ]


def not_built(model: keras.Model) -> ValueError:
    """The error for a model of which nothing can be known yet."""
    return ValueError(
        "`model` must be built and have weights. Call it on a batch, or "
        f"`model.build(input_shape)`, first. Received: model={model.name}"
    )


def _ordered_layers(
    model: keras.Model,
) -> tuple[list[keras.layers.Layer], int, bool]:
    """Layers with weights, how many are the head, and if some are nested."""
    layers, head, any_nested = {}, 0, False
    for layer, nested in _walk(model):
        if nested or isinstance(layer, POOLING):
            head = 0
        if layer.weights and id(layer) not in layers:
            layers[id(layer)] = layer
            head += not nested
            any_nested |= nested
    if not layers:
        raise not_built(model)
    return list(layers.values()), head, any_nested


def _walk(
    model: keras.Model, nested: bool = False
) -> Iterator[tuple[keras.layers.Layer, bool]]:
    if not isinstance(model, keras.Sequential) and not hasattr(
        model, "operations"
    ):
        raise UnknownOrder(
            "`model` must be functional or Sequential, and so must the models "
            "in it: the order of a subclassed model's layers is known to its "
            "`call()` alone. Pass `groups`, lists of its layers from input to "
            "output, as `freeze_to(model, -1, groups)` and "
            "`layer_multipliers(model, rates, groups)` take them. "
            f"Received: model={model.name} "
            f"({type(model).__name__})"
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _walk(layer, nested=True)
        else:
            yield layer, nested
