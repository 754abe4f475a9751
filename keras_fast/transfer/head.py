"""Where does the head of a model begin?

After the pretrained part. Two things mark its end.

- **A nested model.** If it has most of the layers that work on feature maps,
  it, or the first few together, is the base, and everything after it is the
  head, nested or not. If it has few of them it is itself the head, unless
  another one is the base. A model around both is opened.
- **Pooling**, if no base is nested: anything that turns maps, which have axes
  of space or time, into one vector per sample. Layers such as `Flatten` and
  `LSTM` do it, and operations such as `keras.ops.mean` and `x[:, 0]`. A branch
  that leads back to maps, as in squeeze and excitation, is not a head.
"""

import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras

from keras_fast._keras.graph import graph_of, ordered_calls
from keras_fast._keras.layers import layers_of, own_variables
from keras_fast._keras.versions import ADAPTIVE_POOLING

__all__ = ["find_head"]

POOLING = (
    keras.layers.Flatten,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
)


class _Kind(enum.Enum):
    MAPS = "features at several places in space or time"
    POOLED = "what became of maps"
    FLAT = "features that were never maps"


class _Tensor(NamedTuple):
    kind: _Kind
    made_by: frozenset[int]  # indices of calls


class _Call(NamedTuple):
    """A call of a layer or of an operation that is not a model."""

    operation: Any
    parents: frozenset[int]  # indices of calls
    takes_maps: bool
    inside: tuple[int, ...]  # ids of nested models, the outermost first
    trains: bool  # unless it is frozen


def find_head(model: keras.Model) -> set[int]:
    """The ids of the layers with weights in the head, none if none is marked.

    Layers that the body uses too belong to the body.

    Args:
        model: A functional or Sequential model, as are its nested models.
    """
    calls: list[_Call] = []
    _call_model(model, None, (), calls)
    head = _head(calls)
    body = {id(call.operation) for i, call in enumerate(calls) if i not in head}
    return {
        id(calls[i].operation)
        for i in head
        if getattr(calls[i].operation, "weights", None)
    } - body


# Calls, in the order of a pass through the model with nested models opened.


def _call_model(
    model: Any,
    given: Sequence[_Tensor] | None,
    inside: tuple[int, ...],
    calls: list[_Call],
) -> list[_Tensor]:
    """Add the calls in a model, and return its outputs for these inputs."""
    graph = graph_of(model)
    if graph is None:  # a Sequential model whose layers' outputs are unknown
        given = given or [_Tensor(_Kind.MAPS, frozenset())]
        for layer in model.layers:
            given = _call(layer, given, [None], inside, calls)
        return list(given)
    known = dict(zip(map(id, graph.inputs), given or (), strict=False))

    def of(tensor: Any) -> _Tensor:
        kind = _Kind.MAPS if len(tensor.shape) > 2 else _Kind.FLAT
        return known.get(id(tensor)) or _Tensor(kind, frozenset())

    for node in ordered_calls(graph):
        if node.is_input:
            continue
        taken = [of(tensor) for tensor in node.input_tensors]
        made = _call(node.operation, taken, node.outputs, inside, calls)
        known.update(zip(map(id, node.outputs), made, strict=False))
    return [of(tensor) for tensor in graph.outputs]


def _call(
    operation: Any,
    given: Sequence[_Tensor],
    outputs: Sequence[Any],
    inside: tuple[int, ...],
    calls: list[_Call],
) -> list[_Tensor]:
    if isinstance(operation, keras.layers.Wrapper):  # TimeDistributed
        within = operation.layer
        operation = within if isinstance(within, keras.Model) else operation
    if isinstance(operation, keras.Model):
        deeper = (*inside, id(operation))
        return _call_model(operation, given, deeper, calls)
    kinds = {tensor.kind for tensor in given}
    parents = frozenset[int]().union(*(tensor.made_by for tensor in given))
    maps = _Kind.MAPS in kinds
    trains = isinstance(operation, keras.layers.Layer) and any(
        own_variables(part) for part in layers_of(operation)
    )
    calls.append(_Call(operation, parents, maps, inside, trains))
    own = frozenset([len(calls) - 1])
    return [_Tensor(_kind(operation, kinds, out), own) for out in outputs]


def _kind(operation: Any, kinds: set[_Kind], output: Any) -> _Kind:
    """The kind of an operation's output for inputs of these kinds."""
    if isinstance(operation, POOLING):
        return _Kind.POOLED
    if output is None:
        return _Kind.MAPS if _Kind.MAPS in kinds else _Kind.POOLED
    places = output.shape[1:]
    if _Kind.MAPS in kinds:
        one = sum(size != 1 for size in places) <= 1 and (
            getattr(operation, "keepdims", False)
            or isinstance(operation, ADAPTIVE_POOLING)
        )
        return _Kind.POOLED if one or len(places) <= 1 else _Kind.MAPS
    if _Kind.POOLED in kinds:
        return _Kind.POOLED
    return _Kind.MAPS if len(places) > 1 else _Kind.FLAT


# Heads, as sets of indices of calls.


def _head(calls: Sequence[_Call]) -> set[int]:
    pooled = _behind_pooling(calls)
    deepest = max((len(call.inside) for call in calls), default=0)
    for depth in range(deepest):
        bases = [
            head
            for head in _behind_models(calls, depth)
            if _few_work_on_maps(calls, head)
        ]
        if bases:
            return min(bases, key=lambda head: len(head ^ pooled))
    return pooled or _split(calls, [i for i, c in enumerate(calls) if c.inside])


def _behind_pooling(calls: Sequence[_Call]) -> set[int]:
    """Calls that neither take maps nor lead to calls that do."""
    return _split(calls, [i for i, call in enumerate(calls) if call.takes_maps])


def _behind_models(calls: Sequence[_Call], depth: int) -> Iterator[set[int]]:
    """Heads that start with each model there, or after it, in turn."""
    within: dict[int, set[int]] = {}
    for i, call in enumerate(calls):
        for model in call.inside[depth : depth + 1]:
            within.setdefault(model, set()).add(i)
    ends: set[int] = set()
    for inside in within.values():
        before = set[int]().union(*(calls[i].parents for i in inside)) - inside
        for more in (before, inside):
            ends |= more
            if head := _split(calls, ends):
                yield head


def _few_work_on_maps(calls: Sequence[_Call], head: set[int]) -> bool:
    """Whether it has at most half of the layers that train on maps."""
    on_maps = {i for i, c in enumerate(calls) if c.takes_maps and c.trains}
    return 2 * len(on_maps & head) <= len(on_maps)


def _split(calls: Sequence[_Call], ends: Iterable[int]) -> set[int]:
    """Calls not leading to these ends of a body, if both sides can train."""
    body = {*ends}
    for i in reversed(range(len(calls))):
        if i in body:
            body |= calls[i].parents
    head = {*range(len(calls))} - body
    sides = [body, head]
    return (
        head if all(any(calls[i].trains for i in s) for s in sides) else set()
    )
