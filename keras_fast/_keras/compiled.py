"""How does a function that changes variables run compiled on this backend?"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

__all__ = ["compiled"]


def compiled(
    function: Callable[[Any], Any],
    model: keras.Model,
    variables: Sequence[keras.Variable],
) -> Callable[[Any], Any]:
    """Compile it as `fit()` would for this model, without keeping the result.

    Args:
        function: From a structure of arrays to a structure of tensors.
        model: Its `run_eagerly` and `jit_compile` apply.
        variables: All variables that `function` reads or changes.

    Returns:
        A function that does the same.
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return _torch(function)
    if model.run_eagerly:
        return function
    if backend == "tensorflow":
        return _tensorflow(function)
    if backend == "jax" and model.jit_compile:
        return _jax(function, variables)
    return function


def _tensorflow(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import tensorflow as tf

    graph = tf.function(function, reduce_retracing=True, autograph=False)
    traces: dict[Any, Any] = {}

    def run(inputs: Any) -> Any:
        tensors = keras.tree.map_structure(
            lambda x: None if x is None else tf.convert_to_tensor(x), inputs
        )
        leaves = [x for x in keras.tree.flatten(tensors) if x is not None]
        kind = tuple((x.dtype, *x.shape) for x in leaves)
        if kind not in traces and traces:
            # A trace takes as long as a hundred batches: too long for the
            # last one, which may have fewer rows.
            traces[kind] = None
            return function(tensors)
        if traces.get(kind) is None:
            traces[kind] = graph.get_concrete_function(tensors)
        return traces[kind](tensors)

    return run


def _jax(
    function: Callable[[Any], Any], variables: Sequence[keras.Variable]
) -> Callable[[Any], Any]:
    import jax  # pyright: ignore[reportMissingImports]

    @jax.jit
    def stateless(values: list[Any], inputs: Any) -> Any:
        mapping = list(zip(variables, values, strict=True))
        with keras.StatelessScope(mapping) as scope:
            before = [scope.get_current_value(v) for v in variables]
            result = function(inputs)
            after = [scope.get_current_value(v) for v in variables]
        changed = {
            i: value for i, value in enumerate(after) if value is not before[i]
        }
        return result, changed

    def run(inputs: Any) -> Any:
        values = [v.value for v in variables]
        result, changed = stateless(values, inputs)
        for i, value in changed.items():
            variables[i].assign(value)
        return result

    return run


def _torch(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    import torch  # pyright: ignore[reportMissingImports]

    return torch.no_grad()(function)
