"""How is a run of several fits still one run?"""

from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_fast.callbacks.one_cycle import OneCycle
from keras_fast.schedules import join

__all__ = ["OneCycleFrom", "check_not_given", "joined"]

Schedule = Callable[[float], float]


class OneCycleFrom(OneCycle):
    """One cycle over the epochs from `first_epoch` to the last.

    With `initial_epoch=first_epoch` a fit counts its epochs on from the one
    before it, and still has a whole cycle to itself.
    """

    def __init__(self, first_epoch: int, max_lr: float, **kwargs: Any):
        super().__init__(max_lr, **kwargs)
        self._first_epoch = first_epoch

    def _functions(
        self, num_updates: int, epochs: float | None
    ) -> dict[str, Schedule]:
        cycle = super()._functions(num_updates, epochs)
        before = self._first_epoch / (epochs or 1)
        if not before:
            return cycle
        shares = (before, 1 - before)
        return {name: join(shares, (f, f)) for name, f in cycle.items()}


def check_not_given(fit_kwargs: dict[str, Any], *names: str) -> None:
    """Refuse what a recipe says to `fit()` itself."""
    for name in names:
        if name in fit_kwargs:
            raise ValueError(
                f"`{name}` must not be given: the recipe sets it for each of "
                f"its fits. Leave it out. Received: {name}={fit_kwargs[name]!r}"
            )


def joined(
    model: keras.Model, histories: Iterable[keras.callbacks.History]
) -> keras.callbacks.History:
    """One History over all; it becomes the model's."""
    whole = keras.callbacks.History()
    whole.set_model(model)
    whole.on_train_begin()
    for history in histories:
        whole.set_params(history.params)
        whole.epoch += history.epoch
        for name, values in history.history.items():
            whole.history.setdefault(name, []).extend(values)
    model.history = whole
    return whole
