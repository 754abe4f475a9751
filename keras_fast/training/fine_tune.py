"""The head first, then everything: fast.ai's fine-tuning in one call."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_fast._checks import at_least, compiled, positive, whole
from keras_fast._live import trace_anew
from keras_fast._rebind import scaled_updates
from keras_fast._unwrap import chain, innermost
from keras_fast.freezing import freeze, unfreeze
from keras_fast.layer_groups import default_groups, layer_multipliers
from keras_fast.optimizers.discriminative_optimizer import (
    check_scalable,
)
from keras_fast.training._phases import OneCycleFrom, check_not_given, joined

__all__ = ["fine_tune"]

Momentums = tuple[float, float, float] | None


def fine_tune(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    epochs: int,
    base_lr: float = 2e-3,
    freeze_epochs: int = 1,
    lr_mult: float = 100.0,
    momentums: Momentums = (0.95, 0.85, 0.95),
    train_batchnorm: bool = True,
    **fit_kwargs: Any,
) -> keras.callbacks.History:
    """Train the head of a pretrained model, then all of it.

    First all groups of layers but the last are frozen, and the last trains
    for `freeze_epochs` with its rate rising to `base_lr`. Then everything
    trains for `epochs` with 1cycle: the last group at half of `base_lr`, the
    first at `lr_mult` times less, those between spread geometrically.
    Afterwards all layers can train, and the optimizer has one learning rate
    for all again, its own.

    Args:
        model: A compiled model.
        x: Data, as `fit()` takes it.
        y: Labels, as `fit()` takes them.
        epochs: Epochs of the second part.
        base_lr: Learning rate of the first part.
        freeze_epochs: Epochs of the first part; 0 leaves it out.
        lr_mult: How many times lower the rate of the first group is than that
            of the last, in the second part.
        momentums: See `keras_fast.callbacks.OneCycle`.
        train_batchnorm: Whether batch normalization before the last group
            trains, in both parts, as in fastai. Otherwise it runs as in
            inference in both.
        **fit_kwargs: What else `fit()` takes. Epochs count on from the first
            part to the second.

    Returns:
        One History over both parts.

    Raises:
        ValueError: An argument is out of its range, the model is not
            compiled, or its optimizer has a rate for each group already.

    Examples:
        >>> history = keras_fast.fine_tune(model, x, y, epochs=2, verbose=0)
        >>> history.epoch
        [0, 1, 2]

    Reference:

    - [Howard and Gugger, 2020](https://arxiv.org/abs/2002.04688)
    - fastai 2.8, `fine_tune`
    """
    _check_optimizer(compiled(model).optimizer)
    epochs = whole("epochs", epochs)
    first = whole("freeze_epochs", freeze_epochs, 0)
    rate = positive("base_lr", base_lr) / 2
    rates = slice(rate / at_least("lr_mult", lr_mult, 1), rate)
    check_not_given(fit_kwargs, "initial_epoch")
    head = OneCycleFrom(0, base_lr, pct_start=0.99, momentums=momentums)
    everything = OneCycleFrom(
        first, rate, pct_start=0.3, div_factor=5.0, momentums=momentums
    )

    def fit(cycle: OneCycleFrom, **epochs: int) -> keras.callbacks.History:
        callbacks = [cycle, *(fit_kwargs.get("callbacks") or ())]
        arguments = fit_kwargs | epochs | {"callbacks": callbacks}
        return model.fit(x, y, **arguments)

    histories = []
    try:
        freeze(model, train_batchnorm=train_batchnorm)
        if first:
            histories.append(fit(head, epochs=first))
    finally:
        unfreeze(model, train_batchnorm=train_batchnorm)
    with _rates(model, rates):
        last = first + epochs
        histories.append(fit(everything, initial_epoch=first, epochs=last))
    return joined(model, histories)


def _check_optimizer(optimizer: keras.optimizers.Optimizer) -> None:
    for each in chain(optimizer):
        if not isinstance(each, keras.optimizers.LossScaleOptimizer):
            check_scalable("optimizer", each)


@contextlib.contextmanager
def _rates(model: keras.Model, rates: slice) -> Iterator[None]:
    """A learning rate for each group, for a while."""
    groups = default_groups(model)
    multipliers = layer_multipliers(model, rates, groups)
    leaf: Any = innermost(model.optimizer)
    by_key = {
        leaf._var_key(variable): multiplier
        for variable, multiplier in zip(
            multipliers.variables, multipliers, strict=True
        )
    }
    try:
        with scaled_updates(leaf, lambda v: by_key[leaf._var_key(v)]):
            trace_anew(model)
            yield
    finally:
        trace_anew(model)
