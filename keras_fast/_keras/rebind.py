"""How does a built optimizer switch to other variables?

An optimizer is built on the trainable variables. Freezing changes that set,
so the optimizer is rebuilt in place: its counters and every slot that a
variable ever had are kept, even while the variable is frozen.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import keras
from keras import ops
from keras.src.utils.tracking import DotNotTrackScope

from keras_fast._keras.live import carried
from keras_fast._keras.unwrap import chain, innermost, scope

__all__ = ["averaged_updates", "check_rebindable", "place", "rebind", "scalars"]

# Where Keras keeps the moving averages of `use_ema`.
AVERAGE = "_model_variables_moving_average"


def rebind(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    everything: Sequence[keras.Variable],
) -> None:
    """Build the optimizer on these variables, and keep its state.

    Args:
        optimizer: An optimizer, wrapped in others or not. One that is not
            built yet will be, on the variables that then train.
        variables: The variables that train from now on.
        everything: All that might, for an optimizer that must place them.
    """
    check_rebindable(optimizer, everything)
    # An optimizer that is not built may wrap one that is.
    optimizers = [each for each in chain(optimizer) if each.built]
    if not optimizers:
        return
    kept = [_stash(each) for each in optimizers]
    for each in optimizers:
        _clear(each)
    with scope(innermost(optimizer)), keras.name_scope(optimizer.name):
        optimizer.build(list(variables))
    for each, values in zip(optimizers, kept, strict=True):
        _restore(each, values)


def check_rebindable(
    optimizer: keras.optimizers.Optimizer, everything: Sequence[keras.Variable]
) -> None:
    """Refuse, before anything changes, an optimizer that `rebind` refuses."""
    if optimizer.built:
        innermost(optimizer, "freezing builds it again, in place")
    for each in chain(optimizer):
        if each.built and (lost := _lost(each)):
            raise ValueError(
                "The optimizer must keep what belongs to a variable in a list "
                "with an entry for each variable, or in a dict by `_var_key`: "
                "freezing would lose it elsewhere. Change its `build`. "
                f"Received: optimizer={type(each).__name__} with the variable "
                f"{lost[0].path}"
            )
    place(optimizer, everything)


def place(
    optimizer: keras.optimizers.Optimizer,
    everything: Sequence[keras.Variable],
    strict: bool = True,
) -> None:
    """Tell an optimizer that needs it which variables might train.

    Args:
        optimizer: An optimizer, wrapped in others or not.
        everything: All variables that might train.
        strict: Whether to refuse one that was made for fewer of them.
    """
    for each in chain(optimizer):
        if not hasattr(each, "place"):
            continue
        if strict or len(each.multipliers) == len(everything):
            each.place(everything)


@contextlib.contextmanager
def averaged_updates(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    everything: Sequence[keras.Variable],
) -> Iterator[list[keras.Variable]]:
    """Have the optimizer average the weights, as with `use_ema`, for a while.

    Args:
        optimizer: An optimizer, wrapped in others or not. Its
            `ema_momentum` may be set until the step is traced.
        variables: The variables that train.
        everything: All that might.

    Yields:
        The averages, one for each of `variables`: the user's own if the
        optimizer has `use_ema` anyway.
    """
    check_rebindable(optimizer, everything)
    leaf: Any = innermost(optimizer)
    own, momentum = leaf.use_ema, leaf.ema_momentum
    leaf.use_ema = True
    if not leaf.built:
        with scope(leaf), keras.name_scope(optimizer.name):
            optimizer.build(list(variables))
    elif not own:
        rebind(optimizer, variables, everything)
    try:
        yield getattr(leaf, AVERAGE)
    finally:
        if not own:
            leaf.use_ema, leaf.ema_momentum = False, momentum
            rebind(optimizer, variables, everything)
            stash = leaf.__dict__["_slots_of_variables"]
            for key in [key for key in stash if key[1] == AVERAGE]:
                del stash[key]
            leaf.__dict__.pop(AVERAGE, None)


def scalars(optimizer: Any) -> list[keras.Variable]:
    """Variables that `build` makes once, such as Nadam's product."""
    own = (optimizer._iterations, optimizer._learning_rate)
    return [
        value
        for value in optimizer.__dict__.values()
        if isinstance(value, keras.Variable)
        and not any(value is v for v in own)
    ]


def _slots(optimizer: Any) -> dict[tuple[Any, str, int], keras.Variable]:
    """The slots of each trained variable, by its key and their location."""
    keys = [optimizer._var_key(v) for v in optimizer._trainable_variables]
    tracked = {id(variable) for variable in optimizer._variables}
    found = {}
    for name, value in optimizer.__dict__.items():
        if name in ("_variables", "_trainable_variables"):
            continue
        if isinstance(value, list | tuple) and len(value) == len(keys):
            entries = dict(zip(keys, value, strict=True))
        elif isinstance(value, dict):
            entries = {key: value[key] for key in keys if key in value}
        else:
            continue
        for key, entry in entries.items():
            for i, slot in enumerate(keras.tree.flatten(entry)):
                if id(slot) in tracked:
                    found[key, name, i] = slot
    return found


def _kept(optimizer: Any) -> list[keras.Variable]:
    """The variables that exist before `build`."""
    own = [optimizer._iterations, optimizer._learning_rate]
    return [*own, *carried(optimizer)]


def _lost(optimizer: Any) -> list[keras.Variable]:
    """Variables of the optimizer whose purpose is unknown."""
    known = [*_kept(optimizer), *scalars(optimizer)]
    known += _slots(optimizer).values()
    ids = {id(variable) for variable in known}
    return [v for v in optimizer._variables if id(v) not in ids]


def _stash(optimizer: Any) -> list[Any]:
    """Store all slots, for as long as the optimizer lives."""
    stash = optimizer.__dict__.setdefault("_slots_of_variables", {})
    for key, slot in _slots(optimizer).items():
        if key[1] == AVERAGE and int(optimizer.iterations) == 0:
            continue  # the average begins with the first update
        # A copy: JAX donates the memory of trained variables.
        stash[key] = ops.copy(slot.value)
    return [ops.copy(v.value) for v in scalars(optimizer)]


def _clear(optimizer: Any) -> None:
    for key, name, _ in _slots(optimizer):
        if isinstance(optimizer.__dict__[name], dict):
            optimizer.__dict__[name].pop(key, None)
    kept = _kept(optimizer)
    known = [v for v in optimizer._variables if any(v is k for k in kept)]
    for variable in list(optimizer._variables):
        if not any(variable is v for v in known):
            optimizer._untrack_variable(variable)
    # A new list: TensorFlow can't save one from which items were removed.
    with DotNotTrackScope():
        optimizer._variables = known
    test, _ = optimizer._tracker.config["variables"]
    optimizer._tracker.config["variables"] = (test, optimizer._variables)
    optimizer._trainable_variables_indices = {}
    optimizer.built = False


def _restore(optimizer: Any, kept: list[Any]) -> None:
    tracked = {id(variable) for variable in optimizer._variables}
    for variable, value in zip(scalars(optimizer), kept, strict=True):
        variable.assign(value)
        if id(variable) not in tracked:  # made by its constructor
            optimizer._track_variable(variable)
    stash = optimizer.__dict__["_slots_of_variables"]
    trained = {optimizer._var_key(v): v for v in optimizer._trainable_variables}
    for key, slot in _slots(optimizer).items():
        value = stash.pop(key, None)
        if value is None and key[1] == AVERAGE:
            # An average starts with a value.
            value = ops.copy(trained[key[0]].value)
        if value is not None:
            slot.assign(value)
