"""Which function turns the model's scores into its outputs?"""

import contextlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_fast._keras.graph import made_by
from keras_fast._keras.recorded import lent

__all__ = ["LINKS", "End", "end"]

ops = keras.ops


def softmax(scores: np.ndarray) -> np.ndarray:
    """The softmax over the last axis."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def sigmoid(scores: np.ndarray) -> np.ndarray:
    """The sigmoid of each number."""
    return np.exp(-np.logaddexp(0, -scores))


LINKS = {"softmax": softmax, "sigmoid": sigmoid}
# By link, and whether its logarithm is returned, as `log_softmax` does.
ENDS = {
    ("softmax", False): softmax,
    ("sigmoid", False): sigmoid,
    ("softmax", True): lambda scores: np.log(softmax(scores)),
    ("sigmoid", True): lambda scores: np.log(sigmoid(scores)),
}


@dataclass(frozen=True)
class End:
    """The operation that turns scores into probabilities.

    Args:
        link: `"softmax"` or `"sigmoid"`.
        logs: Whether it returns logarithms of the probabilities.
        operation: The layer or operation that applies it.
        attribute: Its attribute that does so.
    """

    link: str
    logs: bool
    operation: Any
    attribute: str

    def off(self) -> contextlib.AbstractContextManager[None]:
        """Make the model return its scores for a while."""
        return lent(self.operation, self.attribute, _unchanged)


def end(model: Any) -> End | None:
    """The softmax or sigmoid that a functional or Sequential model ends in.

    Or the logarithm of one, such as `log_softmax`. Functions are recognized by
    their results, so `keras.ops.softmax`, `tf.nn.softmax` and a lambda count.
    Later operations that only change shape or dtype are ignored. None if there
    is no such end, or if only running the model would show it.
    """
    tensor = _output(model)
    while tensor is not None:
        operation, node, _ = made_by(tensor)
        if isinstance(operation, keras.Model):
            tensor = _output(operation)
            continue
        if len(node.input_tensors) != 1:
            return None
        [source] = node.input_tensors
        run = _run(operation, node, source)
        if getattr(operation, "weights", None):
            return _activated(operation, run)
        scores = _numbers(source.shape)
        if link := _link(run, scores):
            return End(*link, operation, "call")
        tensor = source if _same(run(scores), scores) else None
    return None


def _output(model: Any) -> Any:
    ends = getattr(model, "outputs", None) or []
    return ends[0] if len(ends) == 1 else None


def _unchanged(scores: Any, *args: Any, **kwargs: Any) -> Any:
    return scores


def _activated(
    layer: Any, run: Callable[[np.ndarray], np.ndarray | None]
) -> End | None:
    """The end, if a layer's activation is the last thing it computes."""
    activation = getattr(layer, "activation", None)
    if not callable(activation):
        return None

    def activated(numbers: np.ndarray) -> np.ndarray | None:
        return _evaluated(activation, numbers)

    scores = _numbers((None,) * (len(layer.output.shape) - 1) + (3,))
    link = _link(activated, scores)
    if link is None:
        return None
    inputs = _numbers(layer.input.shape)
    with lent(layer, "activation", _unchanged):
        bare = run(inputs)
    applied = bare is not None and _same(run(inputs), activated(bare))
    return End(*link, layer, "activation") if applied else None


def _run(
    operation: Any, node: Any, source: Any
) -> Callable[[np.ndarray], np.ndarray | None]:
    """The operation as a function, with its other arguments in the model."""

    def function(tensor: Any) -> Any:
        args, kwargs = node.arguments.fill_in({id(source): tensor})
        return operation(*args, **kwargs)

    return lambda numbers: _evaluated(function, numbers)


def _evaluated(
    function: Callable[[Any], Any], numbers: np.ndarray
) -> np.ndarray | None:
    try:
        # Values that a layer assigns to its variables stay in the scope.
        with keras.StatelessScope(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about our numbers
            values = function(ops.convert_to_tensor(numbers))
        return np.asarray(ops.convert_to_numpy(values), float)
    except Exception:  # a custom operation, made for other numbers
        return None


def _link(
    function: Callable[[np.ndarray], np.ndarray | None], scores: np.ndarray
) -> tuple[str, bool] | None:
    values = function(scores)
    fits = [name for name, link in ENDS.items() if _same(values, link(scores))]
    return fits[0] if fits else None


def _same(values: np.ndarray | None, expected: np.ndarray | None) -> bool:
    """Whether these are the same numbers, to float16, in any shape."""
    if values is None or expected is None or values.size != expected.size:
        return False
    return np.allclose(values.ravel(), expected.ravel(), rtol=0.01, atol=0.01)


def _numbers(shape: Any) -> np.ndarray:
    """Numbers around 0, of this shape; unknown sizes become two."""
    sizes = [2 if size is None else size for size in shape]
    count = np.arange(np.prod(sizes), dtype="float32")
    return (2 * np.sin(1 + 1.7 * count)).reshape(sizes)
