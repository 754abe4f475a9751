"""How does an optimizer update each variable at its own rate?

A rate per variable is the learning rate times its multiplier. It is applied
where the optimizer updates or decays one variable, so nothing is copied and
averages of the weights include the result.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

from keras_fast._keras.rebind import scalars

__all__ = ["scaled_updates"]

Multiplier = Callable[[keras.Variable], float]


@contextlib.contextmanager
def scaled_updates(
    optimizer: keras.optimizers.Optimizer, multiplier_of: Multiplier
) -> Iterator[None]:
    """Have the optimizer multiply its learning rate for each variable.

    Args:
        optimizer: An optimizer that does the updates itself.
        multiplier_of: The multiplier of a variable; one of 0 does not move.
    """
    # Not setattr: Keras would track them as state of the optimizer.
    attributes = optimizer.__dict__
    scaled = attributes.get("_scaled") or _Scaled(optimizer, multiplier_of)
    # Replicas take turns within this block: the last one restores the plain
    # steps.
    scaled.borrowers += 1
    attributes.update(scaled.hooks)
    try:
        yield
    finally:
        scaled.borrowers -= 1
        if not scaled.borrowers:
            for name in scaled.hooks:
                attributes.pop(name, None)


class _Scaled:
    """The steps of an optimizer that depend on the learning rate."""

    def __init__(self, optimizer: Any, multiplier_of: Multiplier):
        self.optimizer = optimizer
        self.plain: Any = type(optimizer)
        self.multiplier_of = multiplier_of
        self.borrowers = 0
        self.hooks = {
            "_scaled": self,
            "multipliers_of": self.multipliers_of,
            "update_step": self.update_step,
            "_apply_weight_decay": self.decay,
        }
        if hasattr(self.plain, "_parallel_update_step"):  # PyTorch
            self.hooks["_parallel_update_step"] = self.update_at_once
        self._own: Any = None  # the learning rate while decay scales it
        self._decays = 0  # number of replicas that are decaying

    def multipliers_of(self, variables: Sequence[Any]) -> list[float]:
        return [self.multiplier_of(variable) for variable in variables]

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        multiplier = self.multiplier_of(variable)
        # Not with a rate of 0: Ftrl divides by it.
        if multiplier:
            rate = _scaled(learning_rate, multiplier)
            self.plain.update_step(self.optimizer, gradient, variable, rate)

    def decay(self, variables: Sequence[Any]) -> None:
        attributes = self.optimizer.__dict__
        # Replicas take turns within this block, at each call of Keras: all
        # scale the rate that the first one found.
        if not self._decays:
            self._own = attributes["_learning_rate"]
        self._decays += 1
        try:
            for multiplier, places in self._groups(variables).items():
                group = [variables[i] for i in places]
                # PyTorch's fused decay does not accept an empty list.
                if not any(map(self.optimizer._use_weight_decay, group)):
                    continue
                attributes["_learning_rate"] = self._own
                rate = self.optimizer.learning_rate
                attributes["_learning_rate"] = _scaled(rate, multiplier)
                self.plain._apply_weight_decay(self.optimizer, group)
        finally:
            self._decays -= 1
            attributes["_learning_rate"] = self._own

    def update_at_once(
        self, grads: Sequence[Any], variables: Sequence[Any], rate: Any
    ) -> None:
        shared = scalars(self.optimizer)
        before = [ops.copy(v.value) for v in shared]
        for multiplier, places in self._groups(variables).items():
            # Nadam moves a scalar at each call, but must move it only once.
            for variable, value in zip(shared, before, strict=True):
                variable.assign(value)
            self.plain._parallel_update_step(
                self.optimizer,
                [grads[i] for i in places],
                [variables[i] for i in places],
                _scaled(rate, multiplier),
            )

    def _groups(self, variables: Sequence[Any]) -> dict[float, list[int]]:
        """Positions of the variables that move, by multiplier."""
        groups: dict[float, list[int]] = {}
        for i, multiplier in enumerate(self.multipliers_of(variables)):
            if multiplier:
                groups.setdefault(multiplier, []).append(i)
        return groups


def _scaled(rate: Any, multiplier: float) -> Any:
    return rate if multiplier == 1 else rate * multiplier
