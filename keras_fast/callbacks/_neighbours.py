"""Which callbacks can't be used together?"""

from collections.abc import Iterable, Sequence
from typing import Any

import keras

from keras_fast._keras.fit import callbacks_of_this_fit

__all__ = ["check_ends", "check_neighbours", "check_rates", "restores_best"]

# They set the optimizer's own rate, which no update uses with a schedule.
SETS_RATE = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ReduceLROnPlateau,
)


def check_neighbours(names: Iterable[str]) -> None:
    """Refuse callbacks that schedules of these hyperparameters make useless.

    Args:
        names: Hyperparameters of the optimizer the model is compiled with.
    """
    callbacks = callbacks_of_this_fit()
    if "learning_rate" in names:
        check_rates(callbacks)
    check_ends(callbacks)


def check_rates(callbacks: Iterable[Any]) -> None:
    """Refuse another callback's rates next to a schedule of the rate."""
    for each in callbacks:
        if isinstance(each, SETS_RATE):
            name = type(each).__name__
            raise ValueError(
                "The learning rate must be set by one callback: beside a "
                f"schedule no update would use that of {name}. Leave one of "
                f"them out. Received: callbacks with {name}"
            )


def check_ends(
    callbacks: Sequence[Any], averaging: Any = None, teller: Any = None
) -> None:
    """Refuse two callbacks that decide which weights training ends with.

    Args:
        callbacks: Those of a `fit()`.
        averaging: A `WeightAveraging` among them.
        teller: One among them that makes another look at the weights.
    """
    last = [c for c in callbacks if restores_best(c) or c is averaging]
    swaps = [
        (place, each)
        for place, each in enumerate(callbacks)
        if isinstance(each, keras.callbacks.SwapEMAWeights)
    ]
    # Placed before callbacks that look at the weights, it may show its own.
    looking = [*last, teller]
    for place, each in swaps:
        behind = any(c is o for c in callbacks[:place] for o in looking)
        if behind or not each.swap_on_epoch:
            last.append(each)
    if len(last) > 1:
        names = " and ".join(type(each).__name__ for each in last)
        first = "put `SwapEMAWeights(swap_on_epoch=True)` first, "
        raise ValueError(
            "One callback must decide which weights training ends with. "
            f"Leave the others out, {first if swaps else ''}or pass "
            f"`restore_best_weights=False`. Received: callbacks with {names}"
        )


def restores_best(callback: Any) -> bool:
    """Whether training ends with the best weights it found."""
    stops = isinstance(callback, keras.callbacks.EarlyStopping)
    return stops and bool(callback.restore_best_weights)
