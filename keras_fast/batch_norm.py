"""What are the statistics of BatchNormalization for these weights?"""

from typing import Any

import keras
import numpy as np

from keras_fast._batches import batches
from keras_fast._checks import model as checked_model

__all__ = ["batch_norms", "update_batch_norm"]


def update_batch_norm(
    model: keras.Model,
    x: Any,
    *,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
) -> None:
    """Estimate the statistics of all BatchNormalization layers anew.

    Each moving mean and variance becomes the mean of those of the batches,
    with the weights that the model has now. Everything else in the model, and
    layers that are frozen, stay as they are. Use it where weights did not come
    from training, as after averaging.

    Args:
        model: A built model.
        x: Training data, as `fit()` takes it. Targets are not needed.
        batch_size: Samples in a batch, where `x` is an array.
        steps_per_epoch: Batches to take, where `x` has no end.

    Raises:
        ValueError: There is no data.

    Examples:
        >>> model = keras.Sequential(
        ...     [keras.Input((4,)), keras.layers.BatchNormalization()]
        ... )
        >>> keras_fast.update_batch_norm(model, x, batch_size=32)
        >>> mean = model.layers[0].moving_mean.numpy()
        >>> bool(np.allclose(mean, x.mean(axis=0), atol=1e-6))
        True

    Reference:

    - [Izmailov et al., 2018](https://arxiv.org/abs/1803.05407)
    - fastai 0.7, `fix_batchnorm`
    """
    layers = batch_norms(checked_model(model))
    momentums = [layer.momentum for layer in layers]
    variables = [(v, np.array(v.numpy())) for v in model.variables]
    estimated: list[Any] = []
    try:
        given = batches(x, batch_size=batch_size, steps=steps_per_epoch)
        for seen, (inputs, _) in enumerate(given):
            for layer in layers:
                layer.momentum = seen / (seen + 1)
            model(inputs, training=True)
        estimated = [
            v for n in layers for v in (n.moving_mean, n.moving_variance)
        ]
    finally:
        for layer, momentum in zip(layers, momentums, strict=True):
            layer.momentum = momentum
        for variable, value in variables:
            if not any(variable is v for v in estimated):
                variable.assign(value)


def batch_norms(model: keras.Model) -> list[Any]:
    """The layers whose statistics training moves."""
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
    ]
