"""How does a built optimizer take other variables, or another rate for each?

An optimizer is built on the variables that train. Freezing changes that set,
so the optimizer is built again, in place: its counters and every slot that a
variable ever had are kept, also while the variable is frozen.

A rate per variable is the learning rate times its multiplier. It is applied
where the optimizer updates one variable and where it decays it, so nothing is
copied and averages of the weights see what was done.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops
from keras.src.utils.tracking import DotNotTrackScope

from keras_fast._live import carried
from keras_fast._unwrap import chain, innermost, scope

__all__ = ["averaged_updates", "rebind", "scale_updates", "scaled_updates"]

# Where Keras keeps the means of `use_ema`.
AVERAGE = "_model_variables_moving_average"


def rebind(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    everything: Sequence[keras.Variable],
) -> None:
    """Build the optimizer on these variables, and keep what it knows.

    Args:
        optimizer: An optimizer, with others around it or not. One that is
            not built yet will be, on what then trains.
        variables: Those that train from now on.
        everything: All that might, for an optimizer that has to place them.
    """
    optimizers = chain(optimizer)
    for each in optimizers:
        if hasattr(each, "place"):
            each.place(everything)
    if not optimizer.built:
        return
    scalars = [_stash(each) for each in optimizers]
    for each in optimizers:
        _clear(each)
    with scope(innermost(optimizer)), keras.name_scope(optimizer.name):
        optimizer.build(list(variables))
    for each, values in zip(optimizers, scalars, strict=True):
        _restore(each, values)


def scale_updates(
    optimizer: keras.optimizers.Optimizer,
    multiplier_of: Callable[[keras.Variable], float],
) -> None:
    """Make the optimizer multiply its learning rate for each variable.

    Args:
        optimizer: An optimizer that does the updates itself.
        multiplier_of: The multiplier of a variable.
    """
    scaled = _ScaledUpdates(optimizer, multiplier_of)
    hooks = {
        "_multiplier_of": multiplier_of,
        "update_step": scaled.update_step,
        "_apply_weight_decay": scaled.decay,
    }
    if hasattr(type(optimizer), "_parallel_update_step"):  # PyTorch
        hooks["_parallel_update_step"] = scaled.update_at_once
    # Not setattr: Keras would track them as state of the optimizer.
    optimizer.__dict__.update(hooks)


@contextlib.contextmanager
def scaled_updates(
    optimizer: keras.optimizers.Optimizer,
    multiplier_of: Callable[[keras.Variable], float],
) -> Iterator[None]:
    """As `scale_updates`, and plain again at the end."""
    before = set(optimizer.__dict__)
    scale_updates(optimizer, multiplier_of)
    added = set(optimizer.__dict__) - before
    try:
        yield
    finally:
        for name in added:
            del optimizer.__dict__[name]


@contextlib.contextmanager
def averaged_updates(
    optimizer: keras.optimizers.Optimizer,
    variables: Sequence[keras.Variable],
    everything: Sequence[keras.Variable],
) -> Iterator[list[keras.Variable]]:
    """Have the optimizer average the weights, as with `use_ema`, for a while.

    Args:
        optimizer: An optimizer, with others around it or not. Its
            `ema_momentum` may be set until the step is traced.
        variables: Those that train.
        everything: All that might.

    Yields:
        The averages, one for each of `variables`: those of the user if the
        optimizer has `use_ema` anyway.
    """
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


class _ScaledUpdates:
    """The steps of an optimizer that depend on the learning rate."""

    def __init__(self, optimizer: Any, multiplier_of: Callable[..., float]):
        self.optimizer = optimizer
        self.plain: Any = type(optimizer)
        self.multiplier_of = multiplier_of
        self._own: Any = None  # the learning rate while decay scales it
        self._borrowers = 0  # one a replica

    def update_step(
        self, gradient: Any, variable: Any, learning_rate: Any
    ) -> None:
        rate = _scaled(learning_rate, self.multiplier_of(variable))
        self.plain.update_step(self.optimizer, gradient, variable, rate)

    def decay(self, variables: Sequence[Any]) -> None:
        attributes = self.optimizer.__dict__
        # Replicas take turns within this block, at each call of Keras: all
        # scale the rate that the first of them found.
        if not self._borrowers:
            self._own = attributes["_learning_rate"]
        self._borrowers += 1
        try:
            for multiplier, places in self._groups(variables).items():
                group = [variables[i] for i in places]
                # PyTorch's fused decay does not take an empty list.
                if not any(map(self.optimizer._use_weight_decay, group)):
                    continue
                attributes["_learning_rate"] = self._own
                rate = self.optimizer.learning_rate
                attributes["_learning_rate"] = _scaled(rate, multiplier)
                self.plain._apply_weight_decay(self.optimizer, group)
        finally:
            self._borrowers -= 1
            attributes["_learning_rate"] = self._own

    def update_at_once(
        self, grads: Sequence[Any], variables: Sequence[Any], rate: Any
    ) -> None:
        shared = _scalars(self.optimizer)
        before = [ops.copy(v.value) for v in shared]
        for multiplier, places in self._groups(variables).items():
            # Nadam moves a scalar at each call: once is right.
            for variable, value in zip(shared, before, strict=True):
                variable.assign(value)
            self.plain._parallel_update_step(
                self.optimizer,
                [grads[i] for i in places],
                [variables[i] for i in places],
                _scaled(rate, multiplier),
            )

    def _groups(self, variables: Sequence[Any]) -> dict[float, list[int]]:
        groups: dict[float, list[int]] = {}
        for i, variable in enumerate(variables):
            groups.setdefault(self.multiplier_of(variable), []).append(i)
        return groups


def _scaled(rate: Any, multiplier: float) -> Any:
    return rate if multiplier == 1 else rate * multiplier


def _slots(optimizer: Any) -> dict[str, list[Any]]:
    """The lists that hold one variable, or None, for each trained one."""
    size = len(optimizer._trainable_variables)
    return {
        name: value
        for name, value in optimizer.__dict__.items()
        if isinstance(value, list)
        and name not in ("_variables", "_trainable_variables")
        and len(value) == size > 0
        and all(v is None or isinstance(v, keras.Variable) for v in value)
    }


def _scalars(optimizer: Any) -> list[keras.Variable]:
    """What `build` makes once, such as Nadam's product or a loss scale."""
    own = (optimizer._iterations, optimizer._learning_rate)
    return [
        value
        for value in optimizer.__dict__.values()
        if isinstance(value, keras.Variable)
        and not any(value is v for v in own)
    ]


def _stash(optimizer: Any) -> list[Any]:
    """Take down all slots, for as long as the optimizer lives."""
    stash = optimizer.__dict__.setdefault("_slots_of_variables", {})
    for name, slots in _slots(optimizer).items():
        if name == AVERAGE and int(optimizer.iterations) == 0:
            continue  # it begins with the first update
        pairs = zip(optimizer._trainable_variables, slots, strict=True)
        for variable, slot in pairs:
            if slot is not None:
                # A copy: JAX gives away the memory of what it trains.
                key = (optimizer._var_key(variable), name)
                stash[key] = ops.copy(slot.value)
    return [ops.copy(v.value) for v in _scalars(optimizer)]


def _clear(optimizer: Any) -> None:
    kept = [optimizer._iterations, optimizer._learning_rate]
    kept += carried(optimizer)
    known = [v for v in optimizer._variables if any(v is k for k in kept)]
    for variable in list(optimizer._variables):
        if not any(variable is v for v in known):
            optimizer._untrack_variable(variable)
    # A new list: TensorFlow saves none from which something was taken.
    with DotNotTrackScope():
        optimizer._variables = known
    test, _ = optimizer._tracker.config["variables"]
    optimizer._tracker.config["variables"] = (test, optimizer._variables)
    optimizer._trainable_variables_indices = {}
    optimizer.built = False


def _restore(optimizer: Any, scalars: list[Any]) -> None:
    for variable, value in zip(_scalars(optimizer), scalars, strict=True):
        variable.assign(value)
    stash = optimizer.__dict__["_slots_of_variables"]
    for name, slots in _slots(optimizer).items():
        pairs = zip(optimizer._trainable_variables, slots, strict=True)
        for variable, slot in pairs:
            value = stash.pop((optimizer._var_key(variable), name), None)
            if slot is None:
                continue
            if value is None and name == AVERAGE:
                value = ops.copy(variable.value)  # a mean starts with a value
            if value is not None:
                slot.assign(value)
