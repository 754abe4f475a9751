"""Which layers belong together, and at which rate does each group train?"""

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from keras_fast._checks import model as checked_model
from keras_fast._checks import positive, several, whole

__all__ = [
    "Groups",
    "UnknownOrder",
    "can_train",
    "checked_groups",
    "default_groups",
    "layer_groups",
    "layer_multipliers",
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


class Multipliers(list):
    """One multiplier a variable, and the variables."""

    variables: list[keras.Variable]


def layer_groups(
    model: keras.Model, num_groups: int = 3
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
        num_groups: Number of groups, at most that of layers with weights.

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


def layer_multipliers(
    model: keras.Model,
    learning_rates: Sequence[float] | slice,
    groups: Groups | None = None,
) -> list[float]:
    """Multipliers that give each group of layers its learning rate.

    They are relative to the highest rate. Give that one to the optimizer
    within `DiscriminativeOptimizer`, or to the schedule.

    Args:
        model: A built model.
        learning_rates: A rate for each group, `[1e-4, 1e-3, 1e-2]`;
            `slice(1e-4, 1e-2)`: spread geometrically over the groups;
            `slice(1e-2)`: a tenth of it for all groups but the last.
        groups: Groups of layers; if None, `layer_groups(model)` with a group
            for each rate, or three for a slice.

    Returns:
        One multiplier for each variable that can train, in the order of the
        model's variables.

    Raises:
        ValueError: A rate that is not above 0, or not one for each group.

    Examples:
        >>> keras_fast.layer_multipliers(model, slice(1e-4, 1e-2))
        [0.01, 0.01, 0.1, 0.1, 1.0, 1.0]

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    """
    if groups is None:
        spread = isinstance(learning_rates, slice)
        count = 3 if spread else len(several("learning_rates", learning_rates))
        groups = layer_groups(model, count)
    groups = checked_groups(model, groups)
    rates = _rates(learning_rates, len(groups))
    of_variable = {
        id(variable): rate / max(rates)
        for rate, layers in zip(rates, groups, strict=True)
        for layer in layers
        for variable in can_train(layer)
    }
    variables = can_train(model)
    multipliers = Multipliers(of_variable.get(id(v), 1.0) for v in variables)
    multipliers.variables = variables
    return multipliers


def default_groups(model: keras.Model) -> Groups:
    """Three groups, or as many as there can be."""
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
    able = {
        id(variable)
        for each in layer._flatten_layers()
        for variable in each._trainable_variables
    }
    return [variable for variable in layer.variables if id(variable) in able]


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
        raise ValueError(
            "`model` must be built and have weights. Call it on a batch, or "
            f"`model.build(input_shape)`, first. Received: model={model.name}"
        )
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
            f"output. Received: model={model.name} "
            f"({type(model).__name__})"
        )
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _walk(layer, nested=True)
        else:
            yield layer, nested


def _rates(
    learning_rates: Sequence[float] | slice, num_groups: int
) -> list[float]:
    if isinstance(learning_rates, slice):
        highest = positive("learning_rates.stop", learning_rates.stop)
        if learning_rates.start is None:
            return [highest / 10] * (num_groups - 1) + [highest]
        lowest = positive("learning_rates.start", learning_rates.start)
        return np.geomspace(lowest, highest, num_groups).tolist()
    listed = several("learning_rates", learning_rates)
    rates = [positive("learning_rates", rate) for rate in listed]
    if len(rates) != num_groups:
        raise ValueError(
            f"`learning_rates` must have a rate for each of {num_groups} "
            "groups. Pass as many rates as groups, or a slice. Received: "
            f"learning_rates={learning_rates!r}"
        )
    return rates
