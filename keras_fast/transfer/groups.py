"""Which layers belong together?"""

import itertools
import warnings
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np

from keras_fast._checks import model as checked_model
from keras_fast._checks import several, whole
from keras_fast._keras.graph import graph_of, last_depths
from keras_fast._keras.layers import layers_of, own_variables
from keras_fast.transfer.head import find_head

__all__ = [
    "Groups",
    "UnknownOrder",
    "can_train",
    "check_built",
    "checked_groups",
    "default_groups",
    "frozen_by_lora",
    "has_head",
    "layer_groups",
    "not_built",
    "say_head",
]

Groups = Sequence[Sequence[keras.layers.Layer]]
RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)


class UnknownOrder(ValueError):
    """Only a model's `call()` knows the order of its layers."""


def layer_groups(
    model: keras.Model, num_groups: int | None = None
) -> list[list[keras.layers.Layer]]:
    """Split a model's layers with weights into groups, input to output.

    The head is the last group; the layers before it are split as evenly as
    possible by number. The head is everything after the pretrained part:

    - after the nested model, or the first few, that have most of the layers;
      the head itself may be a nested model too;
    - without one, after the layer or operation that turns feature maps or
      sequences into one vector per sample, such as global pooling, `Flatten`,
      an LSTM, `keras.ops.mean` or `x[:, 0]`;
    - without that, after the last recurrent layer; layers called there as
      well, such as a language model's embedding with tied weights, are part
      of the head.

    If nothing marks a head, the whole model is split evenly, and the last
    group is taken for the head. `training_plan` shows which it is.

    By default, each recurrent layer before the head gets its own group, as in
    fastai: one group for the layers before them, and one for each with the
    layers that follow it.

    Nested models are opened; a layer that has layers of its own counts as one.
    A nested model with fewer layers than groups leaves some groups empty. A
    model that is not nested is split evenly if it has too few layers before
    its head for `num_groups`.

    Args:
        model: A built functional or Sequential model.
        num_groups: Number of groups, at most the number of layers with weights;
            if None, as the recurrent layers require, or three, or as many as
            possible with the head whole and no group empty.

    Returns:
        Lists of layers. Every layer with weights is in exactly one.

    Raises:
        ValueError: The order of the layers is unknown, as in a subclassed
            model; a layer is not built; or there are too few.

    Examples:
        >>> groups = keras_fast.layer_groups(model)
        >>> [[layer.units for layer in group] for group in groups]
        [[8], [8], [1]]
    """
    if num_groups is None:
        return default_groups(model)
    num_groups = whole("num_groups", num_groups)
    layers, head, nested = _ordered_layers(model)
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
    """A group per recurrent layer, or three, or as many as possible."""
    layers, head, _ = _ordered_layers(model)
    end = len(layers) - head
    recurrent = _recurrent(layers[:end])
    if recurrent:
        cuts = [0, *recurrent, end, len(layers)]
        parts = [layers[a:b] for a, b in itertools.pairwise(cuts)]
        return [part for part in parts if part]
    most = len(layers) - head + 1 if head else len(layers)
    return layer_groups(model, min(3, most))


def has_head(model: keras.Model) -> bool:
    """Whether anything marks the head; otherwise the last group is taken."""
    return _ordered_layers(model)[1] > 0


def say_head(
    model: keras.Model, head: list[keras.layers.Layer], stacklevel: int
) -> None:
    """Warn if layers are taken for the head although nothing marks one.

    A single layer, the last, surprises nobody.
    """
    names = [layer.name for layer in head]
    if len(names) > 1 and not has_head(model):
        warnings.warn(
            "`model` must have its head behind a nested model or behind "
            "pooling, or its last group of layers is taken for the head. "
            "Pass lists of layers to `freeze_to(model, -1, groups)`, or the "
            "body's last layer to `split_head(model, at)`, to choose another. "
            f"Received: model={model.name}, in which {names} are taken for "
            "the head",
            stacklevel=stacklevel + 1,
        )


def checked_groups(model: keras.Model, groups: Groups) -> Groups:
    """Lists of this model's layers, without duplicates."""
    known = {id(layer) for layer in layers_of(checked_model(model))}
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
    """The variables of a layer or model that train unless they are frozen."""
    parts = layers_of(layer)
    able = {id(v) for part in parts for v in own_variables(part)}
    able -= {id(v) for v in frozen_by_lora(layer)}
    return [variable for variable in layer.variables if id(variable) in able]


def frozen_by_lora(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Variables that `enable_lora` has frozen permanently."""
    return [
        variable
        for part in layers_of(layer)
        if getattr(part, "lora_enabled", False)
        for variable in own_variables(part)
        if variable.name in ("kernel", "embeddings")
    ]


def check_built(
    model: keras.Model, layers: Iterable[keras.layers.Layer]
) -> None:
    """Refuse layers of a model whose weights do not exist yet."""
    if any(not layer.built for layer in layers):
        raise not_built(model)


def not_built(model: keras.Model) -> ValueError:
    """The error for a model whose layers are not all known yet."""
    missing = [
        part.name
        for part in layers_of(model, itself=False)
        if not part.built and not isinstance(part, keras.Model)
    ]
    named = f" with layers that are not built: {missing}" if missing else ""
    return ValueError(
        "`model` must be built and have weights. Call it on a batch, or "
        "`model.build(input_shape)`, first. Received: "
        f"model={model.name}{named}"
    )


def _ordered_layers(
    model: keras.Model,
) -> tuple[list[keras.layers.Layer], int, bool]:
    """Layers with weights, the size of the head, and whether some are nested.

    The head's layers come last.
    """
    all_layers = list(_walk(checked_model(model)))
    check_built(model, (layer for layer, _ in all_layers))
    layers = {id(layer): layer for layer, _ in all_layers if layer.weights}
    if not layers:
        raise not_built(model)
    head = find_head(model)
    nested = any(inside and layer.weights for layer, inside in all_layers)
    ordered = sorted(layers.values(), key=lambda layer: id(layer) in head)
    recurrent = _recurrent(ordered)
    if recurrent and not head:
        head = _behind(model, ordered, recurrent[-1])
        ordered.sort(key=lambda layer: id(layer) in head)
    return ordered, len(head), nested


def _behind(
    model: keras.Model, layers: list[keras.layers.Layer], last: int
) -> set[int]:
    """The ids of the layers called after the last recurrent one."""
    graph = graph_of(model)
    depths = last_depths(graph) if graph is not None else {}
    depth = depths.get(id(layers[last]))
    if depth is None:  # in a nested model
        return {id(layer) for layer in layers[last + 1 :]}
    return {id(x) for x in layers if depths.get(id(x), depth) < depth}


def _recurrent(layers: list[keras.layers.Layer]) -> list[int]:
    """Which of these layers are recurrent."""
    return [i for i, x in enumerate(layers) if isinstance(x, RECURRENT)]


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
