"""Which layer calls does a functional model consist of?"""

import functools
from collections.abc import Callable
from typing import Any

import keras

__all__ = [
    "calls_of",
    "graph_of",
    "input_structure",
    "last_depths",
    "made_by",
    "ordered_calls",
    "run_through",
    "specified",
]


def graph_of(model: Any) -> Any:
    """The model with its calls; None if it has none or they are unknown."""
    graph = getattr(model, "_functional", model)
    return graph if hasattr(graph, "_nodes_by_depth") else None


def ordered_calls(graph: Any) -> list[Any]:
    """The calls in a model of layers and models, inputs first."""
    by_depth = graph._nodes_by_depth
    depths = sorted(by_depth, reverse=True)
    return [node for depth in depths for node in by_depth[depth]]


def last_depths(graph: Any) -> dict[int, int]:
    """The distance of each layer's last call from the outputs, by id."""
    return {
        id(node.operation): depth
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
    }


def calls_of(operation: Any) -> list[Any]:
    """The calls of a layer or an operation, in order."""
    return operation._inbound_nodes


def made_by(tensor: Any) -> tuple[Any, Any, int]:
    """The operation, its call, and the tensor's index among its outputs."""
    operation, call, place = tensor._keras_history
    return operation, calls_of(operation)[call], place


def input_structure(model: keras.Model) -> Any:
    """The structure in which to pass the inputs, None if unknown."""
    return getattr(model, "_inputs_struct", None)


def run_through(model: Any, inputs: Any, call: Callable[..., Any]) -> Any:
    """Apply a functional model to symbolic inputs, with nested models opened.

    `call(operation, *args, **kwargs)` makes each call, always in the same
    order. A nested subclassed model is called as a whole.
    """

    def opened(operation: Any) -> Callable[..., Any]:
        if isinstance(operation, keras.Model) and graph_of(operation):
            return lambda x, **_: run_through(operation, x, call)
        return functools.partial(call, operation)

    return graph_of(model)._run_through_graph(inputs, operation_fn=opened)


def specified(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """For `run_through`: only shapes. The layers do not record the call."""
    return operation.compute_output_spec(*args, **kwargs)
