"""Which optimizer does a callback follow, and can it be scheduled?"""

from collections.abc import Iterable

import keras

from keras_fast._keras.fit import trains_already
from keras_fast._keras.held import optimizers_of
from keras_fast._keras.live import Live
from keras_fast._keras.optimizers import given_rate
from keras_fast._keras.unwrap import chain, stateless
from keras_fast.callbacks._used_rates import makes_its_own, warms_up

__all__ = ["check_schedulable", "optimizer_of", "refuse_twice"]


def refuse_twice(callback: keras.callbacks.Callback) -> None:
    """Refuse a callback that an enclosing `fit()` has too."""
    if trains_already(callback):
        kind = type(callback).__name__
        raise ValueError(
            f"A {kind} must be in one `fit()` at a time. Make another for the "
            f"training within. Received: callbacks with a {kind} that is in "
            "the `fit()` around this one"
        )


def optimizer_of(
    model: keras.Model, optimizer: keras.optimizers.Optimizer | None
) -> keras.optimizers.Optimizer:
    """The optimizer to schedule, with all its wrappers."""
    if optimizer is None:
        return model.optimizer
    for each in optimizers_of(model):
        if not any(optimizer is part for part in chain(each)):
            continue
        if stateless() and each is not model.optimizer:
            raise ValueError(
                "`optimizer` must be the one that the model is compiled with "
                "on JAX, whose train step sees no other. Compile with it. "
                f"Received: optimizer={optimizer.name}"
            )
        return each
    raise ValueError(
        "`optimizer` must be one that the model has. Compile with it, or make "
        "it an attribute of the model. "
        f"Received: optimizer={optimizer!r}"
    )


def check_schedulable(
    live: Live, names: Iterable[str], model: keras.Model | None = None
) -> None:
    """Refuse an optimizer that lacks one of these, or would use other values.

    Args:
        live: The live values of that optimizer.
        names: Hyperparameters to schedule.
        model: The model, which may have other optimizers.
    """
    for name in names:
        if not live.can_schedule(name):
            message = _missing(name, live.optimizer)
            if model is not None and len(optimizers_of(model)) > 1:
                message = message.replace(
                    "Received:",
                    "The model has others: `optimizer=` says which one. "
                    "Received:",
                )
            raise ValueError(message)
        if name == "learning_rate":
            _refuse_own_rates(live.optimizer)


def _refuse_own_rates(optimizer: keras.optimizers.Optimizer) -> None:
    """Refuse an optimizer that derives its own rate from the given one."""
    kind = type(optimizer).__name__
    if makes_its_own(optimizer):
        raise ValueError(
            "The optimizer must use the learning rate that it is given to be "
            "scheduled. Leave its `learning_rate` and "
            "`_get_current_learning_rate` to Keras: the callback is the "
            f"schedule. Received: optimizer={kind}, which overrides them"
        )
    if warms_up(optimizer):
        raise ValueError(
            "The optimizer must be done with its own warm-up to be scheduled: "
            "it would scale the rates of the schedule. Compile with "
            f"`{kind}(warmup_steps=0)`: the callback is the schedule. "
            f"Received: warmup_steps={optimizer.warmup_steps}"
        )


def _missing(name: str, optimizer: keras.optimizers.Optimizer) -> str:
    kind = type(optimizer).__name__
    if name == "learning_rate":
        return (
            "The optimizer's learning rate must be a number to be scheduled. "
            f"Compile with a float, such as `{kind}(learning_rate=1e-3)`: the "
            "callback is the schedule. Received: learning_rate="
            f"{given_rate(optimizer)!r}"
        )
    received = f"Received: optimizer={kind}"
    if name == "momentum":
        if hasattr(optimizer, "momentum"):
            received += f" with momentum={optimizer.momentum!r}"
        return (
            "The optimizer must have a momentum to be scheduled. Give it one, "
            "such as `SGD(learning_rate, momentum=0.9)`, or pass "
            f"`momentums=None` to leave it alone. {received}"
        )
    return (
        f"The optimizer must have a `{name}` other than 0 to be scheduled. "
        f"Give it one, or leave `{name}` out. {received}"
    )
