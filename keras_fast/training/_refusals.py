"""What does `fine_tune` refuse, before anything has trained?"""

from typing import Any

import keras

from keras_fast._batches import is_endless
from keras_fast._live import attach
from keras_fast._rebind import check_rebindable
from keras_fast._unwrap import chain
from keras_fast.callbacks.one_cycle import OneCycle
from keras_fast.callbacks.param_scheduler import check_schedulable
from keras_fast.callbacks.resumable_checkpoint import ResumableCheckpoint
from keras_fast.layer_groups import UnknownOrder, can_train, default_groups
from keras_fast.optimizers.discriminative_optimizer import check_scalable
from keras_fast.training._phases import listed

__all__ = ["check_callbacks", "check_length", "check_model", "check_optimizer"]


def check_model(model: keras.Model) -> None:
    """Refuse a model whose head can't be known, or can't train alone."""
    try:
        default_groups(model)
    except UnknownOrder as error:
        raise ValueError(
            "`model` must be functional or Sequential, or its head can't be "
            "known. Build it that way, or train in parts: `freeze_to(model, "
            "-1, groups)`, `fit()`, `unfreeze(model)`, `fit()`. Received: "
            f"model={model.name} ({type(model).__name__})"
        ) from error
    check_rebindable(model.optimizer, can_train(model))


def check_callbacks(callbacks: Any, plan: Any) -> None:
    """Refuse what would go on with a training and lose a part of it."""
    for each in listed(callbacks):
        backup = isinstance(each, keras.callbacks.BackupAndRestore)
        if backup and plan.average:
            raise ValueError(
                "`callbacks` must not have a BackupAndRestore where weights "
                "are averaged: it would go on from the averages. Use "
                "`keras_fast.callbacks.ResumableCheckpoint`, or pass "
                f"`average=0`. Received: average={plan.average}"
            )
        if plan.frozen and (backup or isinstance(each, ResumableCheckpoint)):
            raise ValueError(
                f"`freeze_epochs` must be 0 with a {type(each).__name__}: it "
                "goes on with one `fit()`, not with two. Leave out one of "
                f"them. Received: freeze_epochs={plan.frozen}"
            )


def check_length(x: Any, fit_kwargs: dict[str, Any]) -> None:
    if is_endless(x) and not fit_kwargs.get("steps_per_epoch"):
        raise ValueError(
            "`steps_per_epoch` must be given, the data has no end. Pass the "
            "number of batches in an epoch, or leave out its repeat(). "
            "Received: steps_per_epoch=None"
        )


def check_optimizer(
    optimizer: keras.optimizers.Optimizer, momentums: Any
) -> None:
    """Refuse before the head has trained what the schedule would refuse."""
    for each in chain(optimizer):
        if not isinstance(each, keras.optimizers.LossScaleOptimizer):
            check_scalable("optimizer", each)
    cycle = OneCycle(1.0, momentums=momentums)
    check_schedulable(attach(optimizer), cycle.curve(1))
