"""By which multiple of one learning rate does each variable train?"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_fast._checks import non_negative, positive, several
from keras_fast.transfer.groups import (
    Groups,
    can_train,
    check_built,
    checked_groups,
    default_groups,
    layer_groups,
)

__all__ = ["Multipliers", "layer_multipliers"]


@dataclass(frozen=True)
class Multipliers(Sequence[float]):
    """A multiplier for each variable that can train.

    A sequence of numbers that also knows which variables they belong to: so
    they fit whichever of these are trained. For other numbers, use
    `dataclasses.replace(multipliers, values=[...])`.

    Args:
        values: The multipliers.
        variables: The variables, in the same order.

    Examples:
        >>> import dataclasses
        >>> multipliers = keras_fast.layer_multipliers(model, slice(1e-4, 1e-2))
        >>> doubled = [2 * value for value in multipliers]
        >>> dataclasses.replace(multipliers, values=doubled)
        Multipliers(values=(0.02, 0.02, 0.2, 0.2, 2.0, 2.0))
    """

    values: tuple[float, ...]
    variables: tuple[keras.Variable, ...] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        listed = several("values", self.values)
        values = tuple(non_negative("values", value) for value in listed)
        variables = tuple(several("variables", self.variables))
        if len(values) != len(variables):
            raise ValueError(
                "`values` must have one number for each variable. Pass "
                f"{len(variables)}. Received: values={list(values)}"
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "variables", variables)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]


def layer_multipliers(
    model: keras.Model,
    learning_rates: Sequence[float] | slice,
    groups: Groups | None = None,
) -> Multipliers:
    """Multipliers that give each group of layers its learning rate.

    They are relative to the highest rate. Pass that rate to the optimizer
    within `DiscriminativeOptimizer`, or to the schedule.

    Args:
        model: A built model.
        learning_rates: A rate for each group, `[1e-4, 1e-3, 1e-2]`;
            `slice(1e-4, 1e-2)`: spread geometrically over the groups;
            `slice(1e-2)`: a tenth of it for all groups but the last.
        groups: Groups of layers; if None, `layer_groups(model)`, for a list of
            rates with one group per rate.

    Returns:
        `Multipliers`, a number for each variable that can train, in the order
        of the model's variables.

    Raises:
        ValueError: A rate is not above 0, the number of rates is not that of
            the groups, there are more rates than layers, or a layer is not
            built.

    Examples:
        >>> keras_fast.layer_multipliers(model, slice(1e-4, 1e-2))
        Multipliers(values=(0.01, 0.01, 0.1, 0.1, 1.0, 1.0))

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    """
    if groups is None:
        groups = _a_group_a_rate(model, learning_rates)
    groups = checked_groups(model, groups)
    check_built(model, itertools.chain(*groups))
    rates = _rates(learning_rates, len(groups))
    of_variable = {
        id(variable): rate / max(rates)
        for rate, layers in zip(rates, groups, strict=True)
        for layer in layers
        for variable in can_train(layer)
    }
    variables = can_train(model)
    values = tuple(of_variable.get(id(v), 1.0) for v in variables)
    return Multipliers(values, tuple(variables))


def _a_group_a_rate(
    model: keras.Model, learning_rates: Sequence[float] | slice
) -> Groups:
    if isinstance(learning_rates, slice):
        return default_groups(model)
    listed = several("learning_rates", learning_rates)
    most = len(layer_groups(model, 1)[0])
    if not 1 <= len(listed) <= most:
        raise ValueError(
            f"`learning_rates` must have 1 to {most} rates, as many as layers "
            "with weights at most. Pass a rate for each group of layers, or a "
            f"slice. Received: learning_rates={learning_rates!r}"
        )
    return layer_groups(model, len(listed))


def _rates(
    learning_rates: Sequence[float] | slice, num_groups: int
) -> list[float]:
    if isinstance(learning_rates, slice):
        highest = positive("learning_rates.stop", learning_rates.stop)
        if learning_rates.start is None:
            return [highest / 10] * (num_groups - 1) + [highest]
        lowest = positive("learning_rates.start", learning_rates.start)
        return np.geomspace(lowest, highest, num_groups).tolist()
    listed = several("learning_rates", learning_rates)
    rates = [positive("learning_rates", rate) for rate in listed]
    if len(rates) != num_groups:
        raise ValueError(
            f"`learning_rates` must have a rate for each of {num_groups} "
            "groups. Pass as many rates as groups, or a slice. Received: "
            f"learning_rates={learning_rates!r}"
        )
    return rates
