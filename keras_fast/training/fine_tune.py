"""The head first, then everything: fine-tuning in one call."""

import contextlib
import functools
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from keras_fast._checks import (
    at_least,
    between,
    given,
    positive,
    whole,
)
from keras_fast._keras.rebind import averaged_updates
from keras_fast._keras.train_step import trace_anew
from keras_fast._keras.unwrap import innermost
from keras_fast.callbacks import OneCycle
from keras_fast.training._averages import Averages
from keras_fast.training._features import NoFeatures
from keras_fast.training._group_rates import group_rates
from keras_fast.training._head import train_head, validated
from keras_fast.training._phases import (
    Between,
    OneTraining,
    check_callbacks,
    check_fit_kwargs,
    check_length,
    without_split,
)
from keras_fast.training._refusals import (
    check_ends,
    check_model,
    check_optimizer,
)
from keras_fast.training.fine_tune_history import FineTuneHistory
from keras_fast.transfer.freezing import freeze_to, unfreeze
from keras_fast.transfer.groups import Groups, can_train, say_head

__all__ = ["fine_tune"]

Momentums = tuple[float, float, float] | None


class _Plan(NamedTuple):
    """The epochs on the data itself."""

    groups: Groups
    epochs: int
    frozen: int  # epochs before these
    base_lr: float
    lr_mult: float
    momentums: Momentums
    train_batchnorm: bool
    average: float


def fine_tune(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    *,
    epochs: int,
    base_lr: float = 8e-4,
    head_epochs: int = 30,
    num_views: int = 4,
    freeze_epochs: int = 0,
    lr_mult: float = 1.0,
    momentums: Momentums = (0.95, 0.85, 0.95),
    train_batchnorm: bool = False,
    average: float = 0.3,
    **fit_kwargs: Any,
) -> FineTuneHistory:
    """Train the head of a pretrained model, then all of it.

    1. The frozen base computes its features once, and the head trains on them
       for `head_epochs`, its last layer starting at zero. It ends up where a
       well-regularized linear model would be.
    2. Everything trains for `epochs` with 1cycle, at rates that don't undo
       that. BatchNormalization in the base runs as in inference: a few hundred
       images can't give better moving averages.
    3. The model ends with a moving average of its weights. With
       `validation_data`, these averages are validated, and the model ends with
       the best of them: by accuracy if the model is compiled with that metric,
       otherwise by loss. The weights from step 1 compete too. So keep other
       data for a final test.

    Callbacks see one training run: `freeze_epochs`, if any, then `epochs`. The
    head's epochs on features come before it. With `ResumableCheckpoint` among
    them training resumes after an interruption, bit for bit; the head's epochs
    on features run again. Afterwards all layers are trainable, except
    BatchNormalization in the base unless `train_batchnorm` is True.

    The defaults were chosen on photographs, see the benchmarks. fastai's own
    `fine_tune` is

        fine_tune(model, x, y, epochs=4, head_epochs=0, freeze_epochs=1,
                  base_lr=2e-3, lr_mult=100, train_batchnorm=True, average=0)

    With a few hundred images it loses to a linear model.

    Args:
        model: A compiled model.
        x: Data, as accepted by `fit()`. If it is augmented, so that each pass
            differs, features are computed for `num_views` passes.
        y: Labels, as accepted by `fit()`.
        epochs: Epochs in which everything trains.
        base_lr: Peak learning rate of the frozen epochs; when everything
            trains, the peak is half of it. The default was measured with
            Adam; SGD needs a much higher rate.
        head_epochs: Epochs of the head on features; 0 for none.
        num_views: Number of augmented views of each image to compute features
            for.
        freeze_epochs: Epochs in which only the head trains on the data itself,
            after those on features.
        lr_mult: Ratio of the last group's learning rate to that of the first,
            when everything trains.
        momentums: See `keras_fast.callbacks.OneCycle`.
        train_batchnorm: Whether BatchNormalization trains too, as in fastai.
        average: Length of the moving average of the weights, as a share of
            `epochs` from 0 to 1; 0 for none. An optimizer with `use_ema` keeps
            its own.
        **fit_kwargs: Other arguments of `fit()`.

    Returns:
        A `FineTuneHistory`, which is a History. With `validation_data`, its
        `linear` has the metrics of a linear model on the same features, None
        if these are maps or the model does not end in a `Dense`; and `kept`
        those of the weights that the model ends with.

    Raises:
        ValueError: An argument is out of range, the model is not compiled or
            not built, its optimizer already has a rate for each group, or a
            callback would have no effect, or replace the averages or the best
            weights.

    Warns:
        UserWarning: The features can't be computed once: the data can be read
            only once or has no labels, there is no base before the head, the
            model has several outputs, no compiled loss or its own
            `train_step` or `compute_loss`, or the features would take over
            2 GiB. The head trains for one frozen epoch instead. Or nothing
            marks a head, see `freeze`.

    Examples:
        >>> history = keras_fast.fine_tune(model, x, y, epochs=2, verbose=0)
        >>> history.epoch
        [0, 1]

    Reference:

    - [Kumar et al., 2022](https://arxiv.org/abs/2202.10054)
    - [Howard and Gugger, 2020](https://arxiv.org/abs/2002.04688)
    - fastai 2.8, `fine_tune`
    """
    check_optimizer(model, OneCycle(1.0, momentums=momentums))
    groups = check_model(model)
    say_head(model, groups[-1], stacklevel=2)
    check_length("fine_tune", given(x), fit_kwargs)
    head_epochs = whole("head_epochs", head_epochs, 0)
    num_views = whole("num_views", num_views)
    plan = _Plan(
        groups,
        whole("epochs", epochs),
        whole("freeze_epochs", freeze_epochs, 0),
        positive("base_lr", base_lr),
        at_least("lr_mult", lr_mult, 1),
        momentums,
        train_batchnorm,
        between("average", average, 0, 1),
    )
    check_fit_kwargs(fit_kwargs, ["initial_epoch"])
    check_callbacks(fit_kwargs.get("callbacks"))
    check_ends("fine_tune", fit_kwargs)
    data = without_split({"x": x, "y": y, **fit_kwargs})
    history = FineTuneHistory()
    if head_epochs:
        plan = _head_first(model, data, history, plan, head_epochs, num_views)
    return _train(model, data, history, plan)


def _head_first(
    model: keras.Model,
    data: dict[str, Any],
    history: FineTuneHistory,
    plan: _Plan,
    head_epochs: int,
    num_views: int,
) -> _Plan:
    """Train the head on features, or plan a frozen epoch instead."""
    try:
        found = train_head(model, data, head_epochs, num_views)
        history.head, history.linear = found
    except NoFeatures as reason:
        plan = plan._replace(frozen=max(plan.frozen, 1))
        _warn(reason, plan.frozen)
    return plan


def _train(
    model: keras.Model,
    data: dict[str, Any],
    history: FineTuneHistory,
    plan: _Plan,
) -> FineTuneHistory:
    """Train only the head for the frozen epochs, if any, then everything."""
    frozen, last = plan.frozen, plan.frozen + plan.epochs
    callbacks = data.pop("callbacks", None)
    verbose = data.get("verbose", "auto")
    training = OneTraining(model, callbacks, history, last, verbose)
    cycle = functools.partial(OneCycle, momentums=plan.momentums)
    try:
        if frozen and not training.is_past(frozen):
            bn = {"train_batchnorm": plan.train_batchnorm}
            freeze_to(model, -1, plan.groups, **bn)
            head = cycle(plan.base_lr, pct_start=0.99)
            training.fit(0, frozen, Between(head, 0, frozen), **data)
    finally:
        unfreeze(model, train_batchnorm=plan.train_batchnorm)
    if training.ended:
        return history
    rate, before = plan.base_lr / 2, validated(model, data)
    up_and_down = Between(
        cycle(rate, pct_start=0.3, div_factor=5.0), frozen, last
    )
    rates = slice(rate / plan.lr_mult, rate)
    users = innermost(model.optimizer).use_ema
    length = None if users else plan.average * plan.epochs
    averaged = _averaged(model, length)
    with group_rates(model, plan.groups, rates), averaged as averages:
        end = Averages(averages, length, before)
        training.fit(frozen, last, up_and_down, end, **data)
    history.kept = end.kept or None
    return history


def _warn(reason: NoFeatures, frozen: int) -> None:
    warnings.warn(
        "The head can't be trained on features that are computed once, so it "
        f"trains on the data itself, with the base frozen, for {frozen} "
        "epochs. Pass `head_epochs=0`, for a U-Net for one, and as many "
        "`freeze_epochs` as you like; or data that can be read again and a "
        "model with a head. "
        f"Received: {reason}",
        stacklevel=4,
    )


@contextlib.contextmanager
def _averaged(model: keras.Model, num_epochs: float | None) -> Iterator[Any]:
    """Average the trainable variables for a while; None for 0 epochs."""
    if num_epochs == 0:
        yield None
        return
    variables = model.trainable_variables, can_train(model)
    try:
        with averaged_updates(model.optimizer, *variables) as averages:
            trace_anew(model)
            yield averages
    finally:
        trace_anew(model)
