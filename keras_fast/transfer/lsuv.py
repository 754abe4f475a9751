"""Which weights should a new network start from?"""

import contextlib
from typing import Any

import keras
import numpy as np

from keras_fast._checks import model as checked
from keras_fast._checks import positive
from keras_fast._keras.batches import batches
from keras_fast._keras.layers import forget_losses, layers_of
from keras_fast._keras.recorded import lent, recorded

__all__ = ["lsuv_init"]

ops = keras.ops
KERNELS = ("kernel", "pointwise_kernel")
MOST_ATTEMPTS = 10
ROWS = 256


def lsuv_init(
    model: keras.Model, x: Any, *, tolerance: float = 0.1
) -> dict[str, tuple[float, float]]:
    """Scale the weights of a new network, layer by layer, to fit its data.

    In a deep network without normalization, signals vanish or explode from
    layer to layer, and so do gradients. Here each layer with a kernel, dense
    or convolutional, is scaled so that its outputs have a standard deviation
    of 1 on a batch of data, before its activation; if it has a bias, their
    mean becomes 0. The layers are scaled in the order in which data passes
    through them.

    Call it before training. Frozen layers are left alone, and so are those
    without a kernel, recurrent ones, and those in a `SpectralNormalization`,
    which sets their scale itself. If it fails, all weights are restored.

    Args:
        model: A model that has not been trained, compiled or not.
        x: Data, as accepted by `fit()`; only the first batch is used, or the
            first 256 rows of arrays.
        tolerance: Largest deviation from 1.

    Returns:
        The standard deviation of each layer's outputs, before and after, by
        the path of the layer.

    Raises:
        ValueError: No layer can be scaled, or all outputs of a layer are equal
            or some are not finite.

    Examples:
        >>> network = keras.Sequential(
        ...     [keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
        ... )
        >>> found = keras_fast.lsuv_init(network, 100 * x)
        >>> [round(after) for before, after in found.values()]
        [1, 1]

    Reference:

    - [Mishkin and Matas, 2015](https://arxiv.org/abs/1511.06422)
    - fastai 0.7, `apply_lsuv_init`
    """
    checked(model)
    tolerance = positive("tolerance", tolerance)
    inputs, _ = next(batches(x, batch_size=ROWS, steps=1))
    inputs = keras.tree.map_structure(ops.convert_to_tensor, inputs)
    _run(model, inputs)  # builds it
    layers = _in_turn(model, inputs)
    changed = [
        v for layer in layers for v in _variables(layer) if v is not None
    ]
    before = [ops.convert_to_numpy(v) for v in changed]
    try:
        return {
            layer.path: _scaled(model, inputs, layer, tolerance)
            for layer in layers
        }
    except BaseException:
        for variable, value in zip(changed, before, strict=True):
            variable.assign(value)
        raise


def _run(model: keras.Model, inputs: Any) -> None:
    # Values that a layer assigns to its variables stay in the scope.
    if not model.built:
        model(inputs, training=False)
    with keras.StatelessScope():
        model(inputs, training=False)
    forget_losses(model)


def _variables(layer: Any) -> tuple[Any, Any]:
    """The trainable kernel and bias, or None."""

    def trained(name: str) -> Any:
        value = getattr(layer, name, None)
        trains = isinstance(value, keras.Variable) and value.trainable
        return value if trains else None

    kernels = [v for v in map(trained, KERNELS) if v is not None]
    return (kernels[0] if kernels else None), trained("bias")


def _in_turn(model: keras.Model, inputs: Any) -> list[Any]:
    """The layers that can be scaled, in the order data passes through them."""
    places: dict[Any, int] = {}
    left_alone = _left_alone(model)
    candidates = [
        layer
        for layer in layers_of(model)
        if _variables(layer)[0] is not None and id(layer) not in left_alone
    ]

    def noting(layer: Any) -> Any:
        call = layer.call

        def noted(*args: Any, **kwargs: Any) -> Any:
            places.setdefault(id(layer), len(places))
            return call(*args, **kwargs)

        return noted

    with contextlib.ExitStack() as stack:
        for layer in candidates:
            stack.enter_context(lent(layer, "call", noting(layer)))
        _run(model, inputs)
    if not places:
        raise ValueError(
            "`model` must have layers with a kernel that train, such as "
            "`Dense` and `Conv2D`. Unfreeze it, if it is frozen; do it before "
            "LoRA or quantization. Received: "
            f"model={model.name}"
        )
    return sorted(
        (x for x in candidates if id(x) in places), key=lambda x: places[id(x)]
    )


def _left_alone(model: keras.Model) -> set[int]:
    """Recurrent layers, whose outputs feed back, and normalized layers."""
    wrappers = [
        layer
        for layer in layers_of(model)
        if isinstance(layer, keras.layers.SpectralNormalization)
    ]
    recurrent = [x for x in layers_of(model) if hasattr(x, "recurrent_kernel")]
    inside = [wrapper.layer for wrapper in wrappers]
    return {id(layer) for layer in (*wrappers, *inside, *recurrent)}


def _scaled(
    model: keras.Model, inputs: Any, layer: Any, tolerance: float
) -> tuple[float, float]:
    """The standard deviation of its outputs before and after."""
    kernel, bias = _variables(layer)
    deviation, mean = _statistics(model, inputs, layer)
    first = deviation
    for _ in range(MOST_ATTEMPTS):
        if abs(deviation - 1) <= tolerance:
            break
        kernel.assign(kernel / deviation)
        deviation, mean = _statistics(model, inputs, layer)
    if bias is not None:
        bias.assign(bias - mean)
    return first, deviation


def _statistics(
    model: keras.Model, inputs: Any, layer: Any
) -> tuple[float, float]:
    """Standard deviation and mean of its outputs, before its activation."""
    with contextlib.ExitStack() as stack:
        if hasattr(layer, "activation"):
            linear = keras.activations.linear
            stack.enter_context(lent(layer, "activation", linear))
        seen = stack.enter_context(recorded(layer))
        _run(model, inputs)
    values = [
        ops.convert_to_numpy(ops.cast(s, "float32")).ravel() for s in seen
    ]
    numbers = np.concatenate(values).astype("float64")
    deviation, mean = float(numbers.std()), float(numbers.mean())
    if not 0 < deviation < np.inf:
        raise ValueError(
            "The outputs of each layer must be finite and differ. Pass other "
            "`x`, and look at what comes before this layer. Received: outputs "
            f"of {layer.path} with a standard deviation of {deviation:.3g}"
        )
    return deviation, mean
