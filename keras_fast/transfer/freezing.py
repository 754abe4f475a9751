"""Which layers train?"""

import itertools

import keras

from keras_fast._checks import model as checked_model
from keras_fast._checks import whole
from keras_fast._keras.layers import layers_of, note_what_trains
from keras_fast._keras.rebind import check_rebindable, rebind
from keras_fast._keras.train_step import trace_anew
from keras_fast.transfer.groups import (
    Groups,
    can_train,
    checked_groups,
    default_groups,
    frozen_by_lora,
    say_head,
)

__all__ = ["NORMALIZATION", "free_from", "freeze", "freeze_to", "unfreeze"]

NORMALIZATION = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


def freeze_to(
    model: keras.Model,
    group: int,
    groups: Groups | None = None,
    *,
    train_batchnorm: bool = False,
) -> None:
    """Freeze all groups before `group` and let the others train.

    Takes effect at once, also on a compiled and trained model; the optimizer
    keeps its state, including that of frozen layers. Weights frozen by
    `enable_lora` stay frozen.

    Args:
        model: The model.
        group: Index of the first group that trains; negative ones count from
            the end, as in `freeze_to(model, -1)`.
        groups: Groups of layers, all of them; if None, `layer_groups(model)`,
            in three groups or as many as possible.
        train_batchnorm: Whether normalization layers in frozen groups continue
            to train, including their statistics. Otherwise they run as in
            inference.

    Raises:
        ValueError: There is no such group, or the optimizer is one that can't
            be rebuilt: a `MultiOptimizer` that has trained, or one whose state
            can't be found.

    Examples:
        >>> keras_fast.freeze_to(model, -1)
        >>> len(model.trainable_variables)
        2
    """
    groups = default_groups(model) if groups is None else groups
    groups = checked_groups(model, groups)
    group = whole("group", group, -len(groups))
    if group >= len(groups):
        raise ValueError(
            f"`group` must be below the number of groups, {len(groups)}. "
            f"Pass {len(groups) - 1} for the last. Received: group={group}"
        )
    _open(model)
    _shut(groups[: group % len(groups)], train_batchnorm)
    _take_effect(model)


def freeze(model: keras.Model, *, train_batchnorm: bool = False) -> None:
    """Freeze all groups except the last, the head.

    Args:
        model: The model.
        train_batchnorm: See `freeze_to`.

    Warns:
        UserWarning: Nothing marks a head, see `layer_groups`, and the last
            group, which has several layers, is taken for it.

    Examples:
        >>> keras_fast.freeze(model)
        >>> [layer.trainable for layer in model.layers]
        [False, False, True]
    """
    groups = default_groups(model)
    say_head(model, groups[-1], stacklevel=2)
    freeze_to(model, -1, groups, train_batchnorm=train_batchnorm)


def unfreeze(model: keras.Model, *, train_batchnorm: bool = True) -> None:
    """Let every layer train.

    Weights frozen by `enable_lora` stay frozen.

    Args:
        model: The model.
        train_batchnorm: Whether batch normalization before the last group
            trains too. Otherwise it keeps its pretrained statistics, which
            small batches and a few epochs can't replace.

    Examples:
        >>> keras_fast.freeze(model)
        >>> keras_fast.unfreeze(model)
        >>> len(model.trainable_variables)
        6
    """
    checked_model(model)
    groups = [] if train_batchnorm else default_groups(model)
    free_from(model, 0, groups, train_batchnorm=train_batchnorm)


def free_from(
    model: keras.Model, first: int, groups: Groups, *, train_batchnorm: bool
) -> None:
    """Unfreeze the groups from `first` on, as recipes do.

    Batch normalization before the last group trains in all groups or in none.
    """
    _open(model)
    _shut(groups[:first], train_batchnorm)
    if not train_batchnorm:
        for layer in itertools.chain(*groups[first:-1]):
            for part in layers_of(layer):
                if isinstance(part, keras.layers.BatchNormalization):
                    part.trainable = False
    _take_effect(model)


def _shut(groups: Groups, train_batchnorm: bool) -> None:
    """Freeze groups, with or without their normalization layers."""
    for layer in itertools.chain(*groups):
        layer.trainable = False
        for part in layers_of(layer):
            if train_batchnorm and isinstance(part, NORMALIZATION):
                part.trainable = True


def _open(model: keras.Model) -> None:
    """Mark all layers as trainable, if the optimizer can follow."""
    if model.compiled and model.optimizer is not None:
        check_rebindable(model.optimizer, can_train(model))
    # If a model's own flag is True, setting it changes no layer: set each one.
    # Skip trainable layers, which may hold parts frozen by themselves.
    for layer in layers_of(model):
        if not layer.trainable:
            layer.trainable = True
    for variable in frozen_by_lora(model):
        variable.trainable = False


def _take_effect(model: keras.Model) -> None:
    """Make a compiled model train the layers marked as trainable."""
    if not model.compiled:
        return
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
    note_what_trains(model)
    optimizer = model.optimizer
    if optimizer is not None:
        rebind(optimizer, model.trainable_variables, can_train(model))
    if model.train_function is not None:
        trace_anew(model)
