"""How does a traced train step see a new hyperparameter?

Keras bakes `momentum`, `beta_1` or `weight_decay` into the compiled step as
constants. Here the step reads them from a table instead:

1. `table` is a variable, one row per batch, two columns per hyperparameter:
   value and 1 - value, for which float32 would lose digits. Unscheduled
   entries are `OWN`: the step uses the optimizer's value at tracing time, as
   in Keras. `position`, another variable, is the index of the next row. A new
   schedule is new data in the table, never a new trace.
2. `apply` of this one optimizer instance is shadowed. Within a train step that
   it follows, and for the duration of the call, it puts the row's values into
   the instance's `__dict__`, in place of the plain numbers, and restores them.
   So outside of the update, and in a loop of the user's own, the optimizer,
   its `get_config()` and its files are the ones that Keras made.
3. `position` advances after every train step, whatever happened within: no
   update, several, one that a `LossScaleOptimizer` skipped.
4. The table is short; `load` turns the page between two executions.
5. JAX passes all state of a step through `optimizer.variables`. There the
   variables are tracked, after Keras's own, and hidden from saved files.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast._keras.held import optimizers_of
from keras_fast._keras.loan import OWN, choose
from keras_fast._keras.train_step import one_after
from keras_fast._keras.unwrap import chain, innermost, scope, stateless

__all__ = [
    "ROWS",
    "Live",
    "attach",
    "carried",
    "detach",
    "own",
    "step_variable",
    "values",
]

# Rows of the table: 128 KiB at most, and a new page every few seconds at most.
ROWS = 4096

# The attributes that can be scheduled; the first that an optimizer has counts.
ATTRIBUTES = {
    "learning_rate": ("_learning_rate",),
    "momentum": ("momentum", "beta_1"),
    "beta_2": ("beta_2", "rho"),
    "weight_decay": ("weight_decay",),
}
HOOKS = ("apply", "save_own_variables", "load_own_variables")


class Live:
    """The hyperparameters of one optimizer, as its train step sees them."""

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.optimizer = optimizer
        self.columns = {
            name: attribute
            for name in ATTRIBUTES
            if (attribute := _attribute(optimizer, name))
        }
        self.schedules: dict[str, Callable[[int, int], np.ndarray]] = {}
        self.start = 0  # the batch of row 0
        self.used = False  # by a train step that it follows
        self.called = False  # by anyone
        self._steps = 0  # under way: one per replica
        self._borrowers = 0  # one per replica
        empty = np.zeros((ROWS, 2 * len(self.columns)))
        with scope(optimizer):
            self.table = step_variable(empty, "schedule", "float32")
            self.position = step_variable(0, "schedule_position", "int")
        # Variables that travel through a step on JAX.
        self.carried = [self.table, self.position]
        self.load(0)

    def can_schedule(self, name: str) -> bool:
        attribute = self.columns.get(name)
        return attribute is not None and _schedulable(
            self.optimizer.__dict__[attribute]
        )

    def load(self, batch: int) -> None:
        """Fill the table with the scheduled values from this batch on."""
        table = np.full((ROWS, 2, len(self.columns)), OWN)
        for column, name in enumerate(self.columns):
            if name in self.schedules:
                value = self.schedules[name](batch, batch + ROWS)
                table[:, 0, column] = value
                table[:, 1, column] = 1 - value
        self.table.assign(table.reshape(ROWS, -1))
        self.position.assign(0)
        self.start = batch

    def turn_page(self) -> None:
        self.load(self.start + int(self.position.numpy()))

    def release(self) -> None:
        """Return its own hyperparameters to the optimizer."""
        self.schedules = {}
        self.load(0)

    def carry(self, variables: Sequence[keras.Variable]) -> None:
        """Make these variables travel through a step on JAX too."""
        new = [v for v in variables if not any(v is c for c in self.carried)]
        self.carried += new
        if stateless():
            for variable in new:
                self.optimizer._track_variable(variable)

    def put_away(self) -> Callable[[], None]:
        """Clear all schedules; the returned function restores them.

        `preserved` restores the variables.
        """
        schedules, start, number = self.schedules, self.start, len(self.carried)
        self.schedules = {}

        def restore() -> None:
            self.schedules, self.start = schedules, start
            for variable in self.carried[number:] if stateless() else ():
                self.optimizer._untrack_variable(variable)
            del self.carried[number:]

        return restore

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        self._steps += 1
        try:
            yield
        finally:
            self._steps -= 1

    def before(self, model: keras.Model) -> None:
        """Do nothing: the row is read where it is used."""
        return

    def after(self, logs: Any, before: Any, seen: Any) -> None:
        self.position.assign_add(one_after(seen))

    def follows(self, model: keras.Model) -> bool:
        leaves = [chain(each)[-1] for each in optimizers_of(model)]
        return any(self.optimizer is leaf for leaf in leaves)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        plain = type(self.optimizer).apply
        self.called = True
        if not self._steps:
            return plain(self.optimizer, grads, trainable_variables)
        self.used = True
        with self._lent():
            return plain(self.optimizer, grads, trainable_variables)

    @contextlib.contextmanager
    def _lent(self) -> Iterator[None]:
        attributes = self.optimizer.__dict__
        # Replicas take turns within this block: only the first one finds the
        # plain values, and only the last one restores them.
        if not self._borrowers:
            self._plain = {a: attributes[a] for a in self.columns.values()}
        self._borrowers += 1
        row = ops.take(self.table, ops.minimum(self.position, ROWS - 1), axis=0)
        cells = ops.unstack(row, 2 * len(self.columns))
        for i, attribute in enumerate(self.columns.values()):
            value, rest = cells[i], cells[i + len(self.columns)]
            if _schedulable(self._plain[attribute]):
                attributes[attribute] = choose(
                    attribute, value, rest, self._plain[attribute]
                )
        try:
            yield
        finally:
            self._borrowers -= 1
            if not self._borrowers:
                attributes.update(self._plain)


def attach(
    optimizer: keras.optimizers.Optimizer, kept: Live | None = None
) -> Live:
    """Make the hyperparameters of this optimizer instance live, once."""
    leaf = innermost(optimizer)
    live: Live = leaf.__dict__.get("_live") or kept or Live(leaf)
    for each in chain(optimizer):
        if each.__dict__.get("_live") is not live:
            _hook(each, live)
    return live


def detach(optimizer: keras.optimizers.Optimizer) -> None:
    """Leave the optimizer as `attach` found it."""
    live = innermost(optimizer).__dict__.get("_live")
    for each in chain(optimizer):
        for name in (*HOOKS, "_live"):
            each.__dict__.pop(name, None)
    if live is None:
        return
    live.schedules = {}
    if stateless():
        for variable in live.carried:
            live.optimizer._untrack_variable(variable)


def carried(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Our variables among the optimizer's; no file has them."""
    live = chain(optimizer)[-1].__dict__.get("_live")
    return live.carried if live is not None else []


def values(optimizer: Any, name: str, start: int, stop: int) -> np.ndarray:
    """The values that the updates of these batches use, NaN if none."""
    live = optimizer.__dict__.get("_live")
    if live is not None and name in live.schedules:
        return live.schedules[name](start, stop)
    return np.full(stop - start, own(optimizer, name))


def own(optimizer: Any, name: str) -> float:
    """The optimizer's own hyperparameter now, NaN if there is none."""
    live = optimizer.__dict__.get("_live")
    # While a replica updates, the attribute's value is on loan.
    lent = live is not None and live._borrowers
    attributes = live._plain if lent else optimizer.__dict__
    number = attributes.get(_attribute(optimizer, name))
    if callable(number):  # a LearningRateSchedule
        number = optimizer.learning_rate
    if isinstance(number, keras.Variable):
        number = number.numpy()
    return np.nan if number is None else float(number)


def _hook(optimizer: Any, live: Live) -> None:
    hooks: dict[str, Any] = {"_live": live}
    if optimizer is live.optimizer:
        hooks["apply"] = live.apply
        if stateless():
            for variable in live.carried:
                optimizer._track_variable(variable)
    if stateless():
        for name in ("save_own_variables", "load_own_variables"):
            hooks[name] = _without_carried(optimizer, live, name)
    # Not setattr: Keras would track them as state of the optimizer.
    optimizer.__dict__.update(hooks)


def _without_carried(
    optimizer: Any, live: Live, name: str
) -> Callable[..., Any]:
    def method(store: Any) -> Any:
        tracked = live.optimizer._variables
        shown = tracked[:]
        tracked[:] = [v for v in shown if not any(v is c for c in live.carried)]
        try:
            return getattr(type(optimizer), name)(optimizer, store)
        finally:
            tracked[:] = shown

    return method


def _attribute(optimizer: Any, name: str) -> str | None:
    present = [a for a in ATTRIBUTES[name] if a in optimizer.__dict__]
    return present[0] if present else None


def _schedulable(value: Any) -> bool:
    number = isinstance(value, float | int) and not isinstance(value, bool)
    return isinstance(value, keras.Variable) or (number and value != 0)


def step_variable(value: Any, name: str, dtype: str, **how: Any) -> Any:
    """A variable for a step to read and write; the first replica's counts."""
    how = {"aggregation": "only_first_replica", **how}
    fixed = {"trainable": False, "autocast": False}
    return keras.Variable(value, name=name, dtype=dtype, **fixed, **how)
