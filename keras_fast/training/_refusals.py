"""What do fine-tuning recipes refuse before any training?"""

from typing import Any

import keras

from keras_fast._checks import compiled
from keras_fast._keras.batches import is_one_shot
from keras_fast._keras.fit import flattened
from keras_fast._keras.live import attach
from keras_fast._keras.rebind import check_rebindable
from keras_fast._keras.unwrap import chain
from keras_fast.callbacks._neighbours import restores_best
from keras_fast.callbacks._schedulable import check_schedulable
from keras_fast.callbacks._scheduler import Scheduler
from keras_fast.callbacks.weight_averaging import WeightAveraging
from keras_fast.optimizers.discriminative_optimizer import check_scalable
from keras_fast.transfer.groups import (
    Groups,
    UnknownOrder,
    can_train,
    default_groups,
)

__all__ = ["check_ends", "check_model", "check_optimizer"]


def check_model(model: keras.Model) -> Groups:
    """Refuse a model whose head is unknown, or can't train alone.

    Returns:
        Its groups of layers.
    """
    try:
        groups = default_groups(model)
    except UnknownOrder as error:
        raise ValueError(
            "`model` must be functional or Sequential, or its head can't be "
            "known. Build it that way, or train in parts: `freeze_to(model, "
            "-1, groups)` with lists of its layers from input to output, "
            "`fit()`, `unfreeze(model)`, `fit()`. Received: "
            f"model={model.name} ({type(model).__name__})"
        ) from error
    check_rebindable(model.optimizer, can_train(model))
    return groups


def check_ends(recipe: str, fit_kwargs: dict[str, Any]) -> None:
    """Refuse callbacks that also decide which weights the model ends with."""
    validation = fit_kwargs.get("validation_data")
    share = fit_kwargs.get("validation_split")
    # Data that can be read only once is not looked at, see `validated`.
    read = validation is not None and not is_one_shot(validation)
    best = share or read
    for each in flattened(fit_kwargs.get("callbacks")):
        ends = restores_best(each) or isinstance(each, WeightAveraging)
        swaps = isinstance(each, keras.callbacks.SwapEMAWeights)
        if swaps or (best and ends):
            raise ValueError(
                f"`callbacks` must leave it to `{recipe}` which weights the "
                "model ends with: averages, and the best ones if there are "
                "validation data. Leave it out, or pass "
                "`restore_best_weights=False`. Received: callbacks with "
                f"{type(each).__name__}"
            )


def check_optimizer(model: keras.Model, cycle: Scheduler) -> None:
    """Refuse early, before any training, what the schedule would refuse."""
    optimizer = compiled(model).optimizer
    for each in chain(optimizer):
        if not isinstance(each, keras.optimizers.LossScaleOptimizer):
            check_scalable("optimizer", each)
    check_schedulable(attach(optimizer), cycle.curve(1, 1))
