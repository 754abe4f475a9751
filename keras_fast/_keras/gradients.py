"""What is the gradient on this backend?"""

from collections.abc import Callable
from typing import Any

import keras

__all__ = ["gradients"]


def gradients(function: Callable[[Any], Any], inputs: Any) -> tuple[Any, Any]:
    """The value of a function at `inputs`, and its derivative there.

    Args:
        function: From a tensor to a scalar tensor.
        inputs: A tensor of floats.

    Returns:
        The scalar, and a tensor of the shape of `inputs`.
    """
    match keras.backend.backend():
        case "tensorflow":
            return _tensorflow(function, inputs)
        case "jax":
            return _jax(function, inputs)
        case "torch":
            return _torch(function, inputs)
    raise NotImplementedError(
        "The backend must be TensorFlow, JAX or PyTorch: no other has "
        "gradients. Set KERAS_BACKEND. Received: "
        f"backend={keras.backend.backend()!r}"
    )


def _tensorflow(function: Callable[[Any], Any], inputs: Any) -> Any:
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        value = function(inputs)
    return value, tape.gradient(value, inputs)


def _jax(function: Callable[[Any], Any], inputs: Any) -> Any:
    import jax  # pyright: ignore[reportMissingImports]

    return jax.value_and_grad(function)(inputs)


def _torch(function: Callable[[Any], Any], inputs: Any) -> Any:
    import torch  # pyright: ignore[reportMissingImports]

    inputs = inputs.detach().requires_grad_()
    with torch.enable_grad():
        value = function(inputs)
    (gradient,) = torch.autograd.grad(value, inputs)
    return value.detach(), gradient
