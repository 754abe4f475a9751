"""Train the last group of layers first, then one more at a time."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras

from keras_fast._checks import (
    at_least,
    compiled,
    function,
    given,
    positive,
    several,
    shown,
    whole,
)
from keras_fast._keras.rebind import check_rebindable
from keras_fast.callbacks import OneCycle
from keras_fast.callbacks._scheduler import Scheduler
from keras_fast.training._averages import Averages
from keras_fast.training._group_rates import group_rates
from keras_fast.training._head import validated
from keras_fast.training._phases import (
    Between,
    OneTraining,
    check_callbacks,
    check_fit_kwargs,
    check_length,
    without_split,
)
from keras_fast.training._refusals import check_ends, check_optimizer
from keras_fast.transfer.freezing import free_from
from keras_fast.transfer.groups import (
    Groups,
    can_train,
    checked_groups,
    default_groups,
)

__all__ = ["gradual_unfreeze"]


class _Stage(NamedTuple):
    """The first group that trains, the epochs, and the learning rate."""

    group: int
    first: int
    last: int
    rate: float


def gradual_unfreeze(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    *,
    epochs: int | Sequence[int],
    learning_rates: float | Sequence[float],
    groups: Groups | None = None,
    lr_decay: float = 2.6,
    schedule: Callable[[float], Any] = OneCycle,
    train_batchnorm: bool = False,
    **fit_kwargs: Any,
) -> keras.callbacks.History:
    """Train the last group of layers, then unfreeze one more group at a time.

    In each stage one more group of layers trains, from the head towards the
    input, under its own schedule; in the last stage everything trains. Each
    group's learning rate is `lr_decay` times lower than that of the next group.
    So a pretrained network is not damaged while its head is still random.

    With `validation_data`, each stage continues from the best weights so far,
    and the model ends with the best: by accuracy if it is compiled with that
    metric, otherwise by loss. So keep other data for a final test.

    Callbacks see one training run over all stages. With `ResumableCheckpoint`
    among them it resumes after an interruption, bit for bit. Afterwards all
    layers are trainable, except BatchNormalization before the last group
    unless `train_batchnorm` is True.

    Args:
        model: A compiled model.
        x: Data, as accepted by `fit()`.
        y: Labels, as accepted by `fit()`.
        epochs: Epochs of each stage, or a number for each.
        learning_rates: Peak rate of the last group, or one for each stage.
            With a list of either there are as many stages, and the last one
            unfreezes the rest; otherwise there is one for each group.
        groups: Groups of layers, from input to output; if None,
            `layer_groups(model)`.
        lr_decay: Ratio of each group's learning rate to that of the group
            before it; 1 for one rate.
        schedule: Function that returns the callback of a stage for its peak
            rate, such as `keras_fast.callbacks.SlantedTriangular`.
        train_batchnorm: Whether BatchNormalization trains too while its
            group is frozen, and afterwards.
        **fit_kwargs: Other arguments of `fit()`. Epochs are numbered across
            stages.

    Returns:
        One History over all stages. Besides the metrics it has `max_lr` and
        `first_group`, the index of the first group that trained, for each
        epoch.

    Raises:
        ValueError: An argument is out of range, there are more stages than
            groups, the optimizer lacks what the schedule changes, such as
            momentum, or a callback would have no effect or replace the best
            weights.
        TypeError: `schedule` is not a function, or returns no scheduler.

    Examples:
        >>> history = keras_fast.gradual_unfreeze(
        ...     model, x, y, epochs=1, learning_rates=[1e-2, 5e-3], verbose=0
        ... )
        >>> history.history["first_group"]
        [2, 0]

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    """
    groups = _checked(model, groups)
    check_length("gradual_unfreeze", given(x), fit_kwargs)
    lr_decay = at_least("lr_decay", lr_decay, 1)
    stages = _stages(epochs, learning_rates, len(groups))
    _check_schedule(model, schedule, stages[0].rate)
    check_fit_kwargs(fit_kwargs, ["initial_epoch"])
    check_callbacks(fit_kwargs.get("callbacks"))
    check_ends("gradual_unfreeze", fit_kwargs)
    data = without_split({"x": x, "y": y, **fit_kwargs})
    callbacks, history = data.pop("callbacks", None), keras.callbacks.History()
    verbose = data.get("verbose", "auto")
    training = OneTraining(model, callbacks, history, stages[-1].last, verbose)
    best = Averages(None, None, validated(model, data))
    bn = {"train_batchnorm": train_batchnorm}
    try:
        for stage in stages:
            if training.ended or training.is_past(stage.last):
                continue
            free_from(model, stage.group, groups, **bn)
            lowest = stage.rate / lr_decay ** (len(groups) - 1)
            cycle = Between(schedule(stage.rate), stage.first, stage.last)
            with group_rates(model, groups, slice(lowest, stage.rate)):
                training.fit(stage.first, stage.last, cycle, best, **data)
            training.record(max_lr=stage.rate, first_group=stage.group)
    finally:
        free_from(model, 0, groups, **bn)
    return history


def _checked(model: keras.Model, groups: Groups | None) -> Groups:
    """Groups of a model that can be frozen and trained one by one."""
    optimizer = compiled(model).optimizer
    groups = default_groups(model) if groups is None else groups
    groups = checked_groups(model, groups)
    check_rebindable(optimizer, can_train(model))
    return groups


def _check_schedule(model: keras.Model, schedule: Any, rate: float) -> None:
    """Refuse a schedule that `fit()` would refuse, before freezing anything."""
    cycle = function("schedule", schedule)(rate)
    if not isinstance(cycle, Scheduler):
        raise TypeError(
            "`schedule` must return a callback that schedules. Pass one of "
            "`keras_fast.callbacks`, such as SlantedTriangular, or a function "
            "from a rate to one. Received: "
            f"schedule({rate!r})={shown(cycle)}"
        )
    check_optimizer(model, cycle)


def _stages(epochs: Any, learning_rates: Any, num_groups: int) -> list[_Stage]:
    """The stages, from the last group to all of them."""
    given = {"epochs": epochs, "learning_rates": learning_rates}
    listed = {
        name: several(name, value)
        for name, value in given.items()
        if hasattr(value, "__len__")
    }
    counts = {len(values) for values in listed.values()} or {num_groups}
    count = counts.pop()
    if counts or not 1 <= count <= num_groups:
        raise ValueError(
            "`epochs` and `learning_rates` must be one number for all stages "
            f"or one for each, and stages at most {num_groups}, the number of "
            f"groups. Pass as many. Received: epochs={epochs!r}, "
            f"learning_rates={learning_rates!r}"
        )
    lengths = listed.get("epochs", [epochs] * count)
    rates = listed.get("learning_rates", [learning_rates] * count)
    stages, first = [], 0
    for k, (length, rate) in enumerate(zip(lengths, rates, strict=True), 1):
        last = first + whole("epochs", length)
        group = num_groups - k if k < count else 0
        stages.append(
            _Stage(group, first, last, positive("learning_rates", rate))
        )
        first = last
    return stages
