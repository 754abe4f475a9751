"""Which two models, body and head, is a model made of?"""

import inspect
from typing import Any

import keras

from keras_fast._checks import model as checked_model
from keras_fast.layer_groups import default_groups

__all__ = ["split_head"]


def split_head(
    model: keras.Model, at: keras.layers.Layer | str | None = None
) -> tuple[keras.Model, keras.Model]:
    """Two models, body and head, that share a model's layers.

    `head(body(x))` is `model(x)`, and training the head trains the model. The
    head is what `freeze(model)` leaves to train, the last group of layers, and
    all behind it. Layers before it that neither have weights nor change in
    training, such as global pooling, are the body's: its output is as small as
    can be. Layers such as `Dropout` are the head's.

    Args:
        model: A built functional or Sequential model.
        at: The layer, or its name, that the body is to end with. For feature
            maps instead of pooled features pass the network that makes them.

    Returns:
        The body and the head. They are not compiled.

    Raises:
        ValueError: The model is subclassed or not built, or it can't be cut
            at one tensor there.

    Examples:
        >>> body, head = keras_fast.split_head(model)
        >>> body.output_shape, head.output_shape
        ((None, 8), (None, 1))
        >>> head.trainable_variables[0] is model.layers[-1].kernel
        True

    Reference:

    - fastai 0.7, `ConvLearner.pretrained(..., precompute=True)`
    """
    nodes, graph = _ordered_nodes(checked_model(model))
    ends = _last_of_body(model, nodes) if at is None else _named(nodes, at)
    for node in ends:
        if _is_cut(node, graph):
            tensor = node.outputs[0]
            body = keras.Model(graph.input, tensor, name=f"{model.name}_body")
            head = keras.Model(tensor, graph.output, name=f"{model.name}_head")
            return body, head
    raise _no_cut(model, at, "not all paths go through one tensor there")


def _ordered_nodes(model: keras.Model) -> tuple[list[Any], Any]:
    """The calls of layers, inputs first, and the model as a graph."""
    if isinstance(model, keras.Sequential) and model.built:
        model = keras.Model(model.inputs[0], model.outputs[0])
    by_depth = getattr(model, "_nodes_by_depth", None)
    if by_depth is None:
        raise ValueError(
            "`model` must be a built functional or Sequential model: the "
            "paths through a subclassed one are known to its `call()` alone. "
            "Give a Sequential model an Input. "
            f"Received: model={model.name} ({type(model).__name__})"
        )
    depths = sorted(by_depth, reverse=True)
    return [node for depth in depths for node in by_depth[depth]], model


def _last_of_body(model: keras.Model, nodes: list[Any]) -> list[Any]:
    """Where the body may end, the best first."""
    head = {id(layer) for layer in default_groups(model)[-1]}

    def in_head(node: Any) -> bool:
        parts = node.operation._flatten_layers()
        return any(id(part) in head for part in parts)

    known = [i for i, node in enumerate(nodes) if _has_weights(node)]
    body = [i for i in known if not in_head(nodes[i])]
    first = min(set(known) - {*body})
    if not body or body[-1] > first:
        raise _no_cut(
            model, None, "no layer with weights is wholly before its head"
        )
    last = end = body[-1]
    while not _changes_in_training(nodes[end + 1]):
        end += 1
    return nodes[last : end + 1][::-1]


def _named(nodes: list[Any], at: Any) -> list[Any]:
    found = [
        node
        for node in nodes
        if node.operation is at or node.operation.name == at
    ]
    if len(found) != 1:
        names = [node.operation.name for node in nodes]
        raise ValueError(
            "`at` must be a layer that the model itself calls once, or its "
            f"name: one of {names}. Received: at={at!r}"
        )
    return found


def _has_weights(node: Any) -> bool:
    return bool(getattr(node.operation, "weights", None))


def _changes_in_training(node: Any) -> bool:
    """Whether it trains, is random, adds a loss or can tell."""
    operation = node.operation
    return (
        bool(getattr(operation, "variables", None))
        or getattr(operation, "activity_regularizer", None) is not None
        or "training" in inspect.signature(operation.call).parameters
    )


def _is_cut(node: Any, graph: Any) -> bool:
    """Whether every path from the inputs to the outputs goes through it."""
    ends = [tensor._keras_history for tensor in graph.outputs]
    open_ = [end.operation._inbound_nodes[end.node_index] for end in ends]
    if node in open_ or len(node.outputs) != 1:
        return False
    seen = set()
    while open_:
        other = open_.pop()
        if other is node or id(other) in seen:
            continue
        if other.is_input:
            return False
        seen.add(id(other))
        open_ += other.parent_nodes
    return True


def _no_cut(model: keras.Model, at: Any, why: str) -> ValueError:
    at = getattr(at, "name", at)
    return ValueError(
        "`model` must be one that can be cut in two at one tensor. Pass `at`, "
        "a layer through whose output everything goes, with a layer behind "
        f"it. Received: model={model.name}, at={at!r} ({why})"
    )
