"""What does an image network compute at each resolution?

A level is the number of times the image was halved: level 3 of 256 pixels has
32. The levels are found on a graph of one static size, as networks take any.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras

from keras_fast._keras.graph import run_through, specified

__all__ = ["features_by_level"]

SIZE = 256  # of the images on which levels are found, in pixels
# Layers that add nothing that deserves a connection.
PASSING = (
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.ZeroPadding2D,
)


class _Call(NamedTuple):
    operation: Any
    taken: list[Any]  # symbolic tensors
    made: list[Any]


def features_by_level(network: keras.Model, images: Any) -> dict[int, Any]:
    """Apply a network to images and take its features at each resolution.

    At each level this is the last tensor that all paths to the output go
    through, such as the sum at the end of residual blocks, or the last tensor
    if there is none. Nested models are opened.

    Args:
        network: A functional model, or a built Sequential one, from images to
            feature maps, for any size.
        images: Symbolic tensor (batch, height, width, channels).

    Returns:
        Symbolic tensors by level, ascending. The last is the output, or its
        padded or dropped-out version.

    Raises:
        ValueError: The network can't be applied to 256 x 256 pixels.
    """
    probed: list[_Call] = []
    probe = keras.KerasTensor((None, SIZE, SIZE, images.shape[-1]))
    try:
        run_through(network, probe, _recorder(probed, specified))
    except ValueError as error:
        raise ValueError(
            "`backbone` must take images of any size. Pass one that takes "
            f"{SIZE} x {SIZE} pixels. Received: backbone={network.name} "
            f"({error})"
        ) from error
    calls: list[_Call] = []
    run_through(network, images, _recorder(calls, _called))
    found = _levels(probed)
    return {level: calls[found[level]].made[0] for level in sorted(found)}


def _called(operation: Any, *args: Any, **kwargs: Any) -> Any:
    return operation(*args, **kwargs)


def _recorder(calls: list[_Call], call: Any) -> Any:
    def record(operation: Any, *args: Any, **kwargs: Any) -> Any:
        made = call(operation, *args, **kwargs)
        given = keras.tree.flatten((args, kwargs))
        taken = [x for x in given if isinstance(x, keras.KerasTensor)]
        calls.append(_Call(operation, taken, keras.tree.flatten(made)))
        return made

    return record


def _levels(calls: Sequence[_Call]) -> dict[int, int]:
    """The index of the call that makes the features of each level."""
    levels = [_level(call) for call in calls]
    deepest = levels[-1]
    if deepest is None:
        return {}
    crossed = _crossed(calls)
    kernels = (i for i, call in enumerate(calls) if _has_kernel(call))
    begin = next(kernels, len(calls))
    found: dict[int, int] = {}
    for i in range(begin, len(calls)):
        level = levels[i]
        if level is None or level > deepest:
            continue  # squeezed, as in squeeze and excitation
        if isinstance(calls[i].operation, PASSING):
            continue
        if crossed[i] or not crossed[found.get(level, i)]:
            found[level] = i
    return found


def _level(call: _Call) -> int | None:
    """How often the images were halved; None if it is not a feature map."""
    if len(call.made) != 1 or len(call.made[0].shape) != 4:
        return None
    _, height, width, _ = call.made[0].shape
    if not height or height != width or height > SIZE:
        return None
    return round(math.log2(SIZE / height))


def _crossed(calls: Sequence[_Call]) -> list[bool]:
    """Whether everything before a call reaches the output only through it."""
    last_use = {id(x): i for i, call in enumerate(calls) for x in call.taken}
    crossed, until = [], 0
    for i, call in enumerate(calls):
        until = max([until, *(last_use[id(x)] for x in call.taken)])
        crossed.append(until <= i)
        until = max([until, *(last_use.get(id(x), 0) for x in call.made)])
    return crossed


def _has_kernel(call: _Call) -> bool:
    weights = getattr(call.operation, "weights", [])
    return any(len(weight.shape) == 4 for weight in weights)
