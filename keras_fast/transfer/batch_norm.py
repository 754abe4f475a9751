"""Which statistics of BatchNormalization belong to these weights?"""

import contextlib
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast._checks import model as checked_model
from keras_fast._keras.batches import batches
from keras_fast._keras.compiled import compiled
from keras_fast._keras.held import variables_of
from keras_fast._keras.layers import forget_losses, layers_of
from keras_fast._keras.versions import has_renorm

__all__ = ["batch_norms", "update_batch_norm"]


def update_batch_norm(
    model: keras.Model,
    x: Any,
    *,
    batch_size: int | None = None,
    steps_per_epoch: int | None = None,
) -> None:
    """Re-estimate the statistics of all BatchNormalization layers.

    Each moving mean and variance becomes the mean over the batches, computed
    with the current weights; within a batch, all calls of a layer count
    equally. Everything else in the model, including frozen layers, is left
    unchanged. Use it if the weights did not come from training, such as after
    averaging, or if statistics are no longer numbers. It runs compiled, unless
    the model is compiled with `run_eagerly=True`.

    Args:
        model: A built model.
        x: Training data, as accepted by `fit()`. Targets are not needed.
        batch_size: Samples in a batch, if `x` is an array.
        steps_per_epoch: Batches to take, if `x` is endless.

    Raises:
        ValueError: There is no data, or the model is not built.

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
    layers = batch_norms(_built(model))
    if not layers:
        return
    variables = [*model.variables, *model.metrics_variables]
    more = [variable for _, variable in variables_of(model)[1]]
    before = [(v, np.array(v.numpy())) for v in variables + more]
    estimated: set[int] = set()
    try:
        given = batches(x, batch_size=batch_size, steps=steps_per_epoch)
        means = _means(model, layers, given, variables)
        for variable, value in means:
            variable.assign(value)
        estimated = {id(variable) for variable, _ in means}
    finally:
        forget_losses(model)  # they would keep the compiled graph alive
        for variable, value in before:
            if id(variable) not in estimated:
                variable.assign(value)


def batch_norms(model: keras.Model) -> list[Any]:
    """The layers whose statistics are updated in training."""
    return [
        layer
        for layer in layers_of(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
    ]


def _means(
    model: keras.Model, layers: list[Any], given: Any, variables: list[Any]
) -> list[tuple[keras.Variable, np.ndarray]]:
    """Statistics and their means over the batches."""
    moving = [v for n in layers for v in (n.moving_mean, n.moving_variance)]
    for variable in moving:  # NaN and infinity would never go away
        variable.assign(np.nan_to_num(variable.numpy(), posinf=0, neginf=0))
    with contextlib.ExitStack() as stack:
        ofs = [stack.enter_context(_OfOneBatch(layer)) for layer in layers]

        def statistics(inputs: Any) -> Any:
            for each in ofs:
                each.calls = 0
            model(inputs, training=True)
            return ops.concatenate(moving)

        run = compiled(statistics, model, variables)
        total: Any = np.zeros(sum(v.shape[0] for v in moving))
        count = 0
        for inputs, _ in given:
            total += ops.convert_to_numpy(run(inputs))
            count += 1
    ends = np.cumsum([v.shape[0] for v in moving])
    means = list(zip(moving, np.split(total / count, ends[:-1]), strict=True))
    for layer, (_, variance) in zip(layers, means[1::2], strict=True):
        if has_renorm(layer):  # training continues from there
            deviation = np.sqrt(variance + layer.epsilon)
            means.append((layer.moving_stddev, deviation))
    return means


class _OfOneBatch:
    """Makes the moving statistics of a layer those of the last batch."""

    def __init__(self, layer: Any) -> None:
        self._layer, self._plain = layer, layer.call
        self.calls = 0  # in this batch

    def __enter__(self) -> "_OfOneBatch":
        own = vars(self._layer)
        self._own = {k: own[k] for k in ("call", "momentum") if k in own}
        self._layer.call = self._call
        return self

    def __exit__(self, *_: object) -> None:
        del self._layer.call
        for name, value in self._own.items():
            setattr(self._layer, name, value)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        # The mean over several calls. Momentum is a constant in compiled code:
        # it can't depend on the number of the batch.
        self._layer.momentum = self.calls / (self.calls + 1)
        self.calls += 1
        return self._plain(*args, **kwargs)


def _built(model: Any) -> keras.Model:
    if not checked_model(model).built:
        raise ValueError(
            "`model` must be built. Give it an `Input`, or call it on a batch "
            f"first. Received: model={model.name} (not built)"
        )
    return model
