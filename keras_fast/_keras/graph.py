"""Which calls of layers is a functional model made of?"""

from typing import Any

import keras

__all__ = [
    "calls_of",
    "graph_of",
    "input_structure",
    "last_depths",
    "made_by",
    "ordered_calls",
]


def graph_of(model: Any) -> Any:
    """The model with its calls; None if it has none or they aren't known."""
    graph = getattr(model, "_functional", model)
    return graph if hasattr(graph, "_nodes_by_depth") else None


def ordered_calls(graph: Any) -> list[Any]:
    """The calls in a model of layers and models, inputs first."""
    by_depth = graph._nodes_by_depth
    depths = sorted(by_depth, reverse=True)
    return [node for depth in depths for node in by_depth[depth]]


def last_depths(graph: Any) -> dict[int, int]:
    """By id of layer, how far its last call is from the outputs."""
    return {
        id(node.operation): depth
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
    }


def calls_of(operation: Any) -> list[Any]:
    """The calls of a layer or an operation, the first one first."""
    return operation._inbound_nodes


def made_by(tensor: Any) -> tuple[Any, Any, int]:
    """The operation, its call, and the place among what that returned."""
    operation, call, place = tensor._keras_history
    return operation, calls_of(operation)[call], place


def input_structure(model: keras.Model) -> Any:
    """The inputs as they are to be passed, None where that is not known."""
    return getattr(model, "_inputs_struct", None)
