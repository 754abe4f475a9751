"""Which two models, body and head, does a model consist of?"""

import inspect
from collections.abc import Iterator
from typing import Any

import keras

from keras_fast._checks import model as checked_model
from keras_fast._keras.graph import graph_of, made_by, ordered_calls
from keras_fast.transfer.groups import check_built, default_groups, say_head

__all__ = ["cut", "split_head"]


def split_head(
    model: keras.Model, at: keras.layers.Layer | str | None = None
) -> tuple[keras.Model, keras.Model]:
    """Split a model into two models, body and head, that share its layers.

    `head(body(x))` is `model(x)`, and training the head trains the model. The
    head is everything that `freeze(model)` leaves trainable, the last group of
    `layer_groups(model)`, and all after it. Layers before it that neither have
    weights nor change in training, such as global pooling, belong to the body,
    which makes its output as small as possible. Layers such as `Dropout`
    belong to the head. If a nested model has both, that one is cut.

    Args:
        model: A built functional or Sequential model.
        at: The last layer of the body, or its name. For feature maps instead of
            pooled features pass the network that makes them.

    Returns:
        The body and the head. They are not compiled.

    Raises:
        ValueError: The model is subclassed or not built, or it can't be cut
            at one tensor there.

    Warns:
        UserWarning: As `freeze` does.

    Examples:
        >>> body, head = keras_fast.split_head(model)
        >>> body.output_shape, head.output_shape
        ((None, 8), (None, 1))
        >>> head.trainable_variables[0] is model.layers[-1].kernel
        True

    Reference:

    - fastai 0.7, `ConvLearner.pretrained(..., precompute=True)`
    """
    _graph(checked_model(model))
    if at is None:
        say_head(model, default_groups(model)[-1], stacklevel=2)
    return cut(model, at)


def cut(
    model: keras.Model, at: keras.layers.Layer | str | None = None
) -> tuple[keras.Model, keras.Model]:
    """`split_head` without a warning about what it takes for the head."""
    graph = _graph(model)
    if at is not None:
        ends = _named(ordered_calls(graph), at)
        return _cut_behind(model, graph, ends, at)
    return _cut_before(model, {id(x) for x in default_groups(model)[-1]})


def _graph(model: keras.Model) -> Any:
    graph = graph_of(model)
    if graph is None:
        if isinstance(model, keras.Sequential):
            check_built(model, model.layers)
        raise ValueError(
            "`model` must be a built functional or Sequential model: the "
            "paths through a subclassed one are known to its `call()` alone. "
            "Give a Sequential model an Input. "
            f"Received: model={model.name} ({type(model).__name__})"
        )
    return graph


def _cut_behind(
    model: keras.Model, graph: Any, ends: list[Any], at: Any = None
) -> tuple[keras.Model, keras.Model]:
    """Cut after the first of these nodes through which all paths go."""
    for node in ends:
        used = _used(node, graph)
        if len(used) == 1 and _is_cut(node, graph):
            [tensor] = used
            body = keras.Model(graph.input, tensor, name=f"{model.name}_body")
            head = keras.Model(tensor, graph.output, name=f"{model.name}_head")
            return body, head
    raise _no_cut(model, at, "not all paths go through one tensor there")


def _cut_before(
    model: keras.Model, head: set[int]
) -> tuple[keras.Model, keras.Model]:
    """Cut before these layers, within a nested model if necessary."""
    graph = _graph(model)
    nodes = ordered_calls(graph)
    shares = [_share(node, head) for node in nodes]
    both = [n for n, share in zip(nodes, shares, strict=True) if len(share) > 1]
    if both:
        return _cut_within(model, graph, both, head)
    body = [i for i, share in enumerate(shares) if share == {False}]
    first = shares.index({True})
    if not body:
        raise _no_cut(
            model, None, "no layer with weights is wholly before its head"
        )
    last = end = body[-1]
    while end + 1 < len(nodes) and not _changes_in_training(nodes[end + 1]):
        end += 1
    ends = nodes[last : end + 1][::-1] if last < first else []
    return _cut_behind(model, graph, ends)


def _cut_within(
    model: keras.Model, graph: Any, nodes: list[Any], head: set[int]
) -> tuple[keras.Model, keras.Model]:
    """Cut the one nested model that has layers of both."""
    node = nodes[0]
    is_last = [*map(id, graph.outputs)] == [*map(id, node.outputs)]
    whole = len(node.outputs) == 1 and (is_last or _is_cut(node, graph))
    if len(nodes) > 1 or not whole:
        raise _no_cut(model, None, "models in it have layers of both")
    inner_body, inner_head = _cut_before(node.operation, head)
    features = inner_body(*node.arguments.args, **node.arguments.kwargs)
    scores = inner_head.output
    if not is_last:
        scores = keras.Model(node.outputs[0], graph.output)(scores)
    body = keras.Model(graph.input, features, name=f"{model.name}_body")
    return body, keras.Model(
        inner_head.input, scores, name=f"{model.name}_head"
    )


def _share(node: Any, head: set[int]) -> set[bool]:
    """Whether its layers with weights are in the head: all, none or both."""

    def layers(operation: Any) -> Iterator[Any]:
        if isinstance(operation, keras.Model):
            for layer in operation.layers:
                yield from layers(layer)
        elif getattr(operation, "weights", None):
            yield operation

    return {id(layer) in head for layer in layers(node.operation)}


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


def _changes_in_training(node: Any) -> bool:
    """Whether it trains, is random, adds a loss or has a training mode."""
    operation = node.operation
    return (
        bool(getattr(operation, "variables", None))
        or getattr(operation, "activity_regularizer", None) is not None
        or "training" in inspect.signature(operation.call).parameters
    )


def _used(node: Any, graph: Any) -> list[Any]:
    """The outputs of a call that the rest of the model uses."""
    taken = {id(tensor) for tensor in graph.outputs}
    for other in ordered_calls(graph):
        taken.update(map(id, other.input_tensors))
    return [tensor for tensor in node.outputs if id(tensor) in taken]


def _is_cut(node: Any, graph: Any) -> bool:
    """Whether all paths from the inputs to the outputs go through it."""
    open_ = [made_by(tensor)[1] for tensor in graph.outputs]
    if node in open_:
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
