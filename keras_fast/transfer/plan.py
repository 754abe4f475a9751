"""What will train, and how?"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras

from keras_fast._keras.layers import layers_of
from keras_fast._keras.live import values
from keras_fast._keras.optimizers import decays
from keras_fast._keras.rebind import place
from keras_fast._keras.unwrap import chain, innermost
from keras_fast.plots.table import as_html, as_text
from keras_fast.transfer.groups import (
    Groups,
    can_train,
    check_built,
    checked_groups,
    default_groups,
    has_head,
)

__all__ = ["TrainingPlan", "training_plan"]


@dataclass(frozen=True, repr=False)
class TrainingPlan:
    """The training plan: a row per group, printed as a table."""

    rows: tuple[dict[str, Any], ...]

    def __repr__(self) -> str:
        return as_text(self.rows)

    def _repr_html_(self) -> str:
        return as_html(self.rows)


def training_plan(
    model: keras.Model, groups: Groups | None = None
) -> TrainingPlan:
    """Return a table of what will train: print it or show it in a notebook.

    Args:
        model: A built model.
        groups: Groups of layers; if None, `layer_groups(model)`, in three
            groups or as many as possible.

    Returns:
        A `TrainingPlan`. Its columns are group, layers, parameters, trainable
        parameters, learning rate, weight decay and the state of
        BatchNormalization. The layers of the head are labeled; if no group
        is, nothing marks a head, see `layer_groups`.
        marks a head, see `layer_groups`.

    Examples:
        >>> print(keras_fast.training_plan(model))
        group  layers...parameters  trains  rate...decay  batchnorm
        0      ...
    """
    known = groups is None and has_head(model)
    groups = default_groups(model) if groups is None else groups
    groups = checked_groups(model, groups)
    check_built(model, itertools.chain(*groups))
    how = _how(model) if model.compiled and model.optimizer else None
    rows = [_row(i, group, how) for i, group in enumerate(groups)]
    if known:
        rows[-1]["layers"] = f"head: {rows[-1]['layers']}"
    return TrainingPlan(tuple(rows))


def _how(model: keras.Model) -> dict[int, tuple[float, float]]:
    """The rate and the weight decay of each trained variable."""
    optimizer, trained = model.optimizer, model.trainable_variables
    leaf: Any = innermost(optimizer, "a plan shows its rate")
    # An optimizer that needs the model's order is given it here.
    place(optimizer, can_train(model), strict=False)
    multipliers = [1.0] * len(trained)
    for each in chain(optimizer):
        if hasattr(each, "multipliers_of"):
            multipliers = each.multipliers_of(trained)
    rate = values(leaf, "learning_rate", 0, 1)[0]
    decay = leaf.weight_decay or 0
    return {
        id(variable): (
            rate * multiplier,
            decay if decays(leaf, variable) else 0,
        )
        for variable, multiplier in zip(trained, multipliers, strict=True)
    }


def _row(index: int, layers: Any, how: Any) -> dict[str, Any]:
    names = [layer.name for layer in layers]
    shown = " … ".join(dict.fromkeys([*names[:1], *names[-1:]])) or "-"
    parameters = sum(layer.count_params() for layer in layers)
    # A frozen layer with layers of its own may contain trainable ones.
    able = [v for layer in layers for v in can_train(layer)]
    trained = [v for v in able if v.trainable]
    rates, decays = "-", "-"
    if how is not None:
        used = [how[id(v)] for v in trained if id(v) in how]
        rates = _range(rate for rate, _ in used)
        decays = _range(decay for _, decay in used)
    return {
        "group": index,
        "layers": f"{shown} ({len(names)})",
        "parameters": f"{parameters:,}",
        "trains": f"{sum(math.prod(v.shape) for v in trained):,}",
        "rate": rates,
        "decay": decays,
        "batchnorm": _batchnorm(layers),
    }


def _range(numbers: Iterable[float]) -> str:
    return " to ".join(f"{n:.3g}" for n in sorted({*numbers})) or "0"


def _batchnorm(layers: Any) -> str:
    modes = {
        "trains" if part.trainable else "frozen"
        for layer in layers
        for part in layers_of(layer)
        if isinstance(part, keras.layers.BatchNormalization)
    }
    return " and ".join(sorted(modes)) or "-"
