"""How does a traced train step see a new hyperparameter?

Keras bakes `momentum`, `beta_1` or `weight_decay` into the compiled step as
constants. Here the step reads them from a table instead:

1. `table` is a variable, a row a batch, two columns a hyperparameter: value
   and 1 - value, of which float32 would lose digits. What is not scheduled has
   the optimizer's own number there, or `OWN` for its own variable. `position`,
   another variable, says which row is next. A new schedule is new data in the
   table, never a new trace.
2. `apply` of this one optimizer instance is shadowed. For the time of the
   call it puts the row's values into the instance's `__dict__`, in the place
   of the plain numbers, and takes them back. So outside of the update the
   optimizer, its `get_config()` and its files are those that Keras made.
3. `position` advances after every attempted update. A `LossScaleOptimizer`
   that skips one does not call the optimizer within, so it counts itself.
4. The table is short; `load` turns the page between two executions.
5. JAX hands all state of a step through `optimizer.variables`. There the two
   variables are tracked, behind Keras's own, and hidden from saved files.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast._loan import OWN, choose
from keras_fast._unwrap import chain, innermost, scope, stateless

__all__ = [
    "ROWS",
    "TRACED",
    "Live",
    "attach",
    "detach",
    "one_after",
    "trace_anew",
    "trace_with",
    "values",
]

# Rows of the table: 128 KiB at most, and a new page every few seconds at most.
ROWS = 4096

# The attributes that can be scheduled, the first that an optimizer has.
ATTRIBUTES = {
    "learning_rate": ("_learning_rate",),
    "momentum": ("momentum", "beta_1"),
    "beta_2": ("beta_2", "rho"),
    "weight_decay": ("weight_decay",),
}
# Under this key a model keeps its last train function and what is in it.
TRACED = "_keras_fast_traced"
HOOKS = ("apply", "stateless_apply", "save_own_variables", "load_own_variables")


class Live:
    """The hyperparameters of one optimizer, as its train step sees them."""

    def __init__(self, optimizer: keras.optimizers.Optimizer):
        self.optimizer = optimizer
        self.columns = {
            name: attribute
            for name in ATTRIBUTES
            if (attribute := _attribute(optimizer, name))
            and _schedulable(optimizer.__dict__[attribute])
        }
        self.schedules: dict[str, Callable[[int, int], np.ndarray]] = {}
        self.counts = True  # False: a LossScaleOptimizer does
        self.start = 0  # the batch of row 0
        self._borrowers = 0  # one a replica
        empty = np.zeros((ROWS, 2 * len(self.columns)))
        with scope(optimizer):
            self.table = _variable(empty, "schedule", "float32")
            self.position = _variable(0, "schedule_position", "int")
            self.load(0)

    def load(self, batch: int) -> None:
        """Fill the table with what is scheduled from this batch on."""
        table = np.empty((ROWS, 2, len(self.columns)))
        for column, (name, attribute) in enumerate(self.columns.items()):
            value = self.optimizer.__dict__[attribute]
            if isinstance(value, keras.Variable):
                value = OWN
            if name in self.schedules:
                value = self.schedules[name](batch, batch + ROWS)
            table[:, 0, column] = value
            table[:, 1, column] = 1 - value
        self.table.assign(table.reshape(ROWS, -1))
        self.position.assign(0)
        self.start = batch

    def turn_page(self) -> None:
        self.load(self.start + int(self.position.numpy()))

    def watch(self, model: keras.Model) -> None:
        """Let go when the next `fit()` starts, should this one never end.

        Callbacks do not hear of an exception. Every `fit()` asks for its train
        function first, so that is where the next one is met.
        """

        def make_train_function(force: bool = False) -> Any:
            if not force:
                self.release(model)
            return type(model).make_train_function(model, force)

        model.__dict__["make_train_function"] = make_train_function

    def release(self, model: keras.Model) -> None:
        """Give the optimizer its own hyperparameters back."""
        model.__dict__.pop("make_train_function", None)
        self.schedules = {}
        self.load(0)

    def advance(self) -> None:
        updated: Any = self.optimizer._trainable_variables[0].value
        first = updated[(0,) * len(updated.shape)]
        self.position.assign_add(one_after(first))

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        with self._lent():
            plain = type(self.optimizer).apply
            plain(self.optimizer, grads, trainable_variables)
        if self.counts:
            self.advance()

    @contextlib.contextmanager
    def _lent(self) -> Iterator[None]:
        attributes = self.optimizer.__dict__
        # Replicas take turns within this block: only the first of them finds
        # the plain values, and only the last gives them back.
        if not self._borrowers:
            self._plain = {a: attributes[a] for a in self.columns.values()}
        self._borrowers += 1
        row = ops.take(self.table, ops.minimum(self.position, ROWS - 1), axis=0)
        cells = ops.unstack(row, 2 * len(self.columns))
        for i, attribute in enumerate(self.columns.values()):
            value, rest = cells[i], cells[i + len(self.columns)]
            attributes[attribute] = choose(value, rest, self._plain[attribute])
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
        for variable in (live.table, live.position):
            live.optimizer._untrack_variable(variable)


def one_after(scalar: Any) -> Any:
    """1, to count with: TensorFlow begins a step before it looks for data."""
    return ops.maximum(ops.cast(ops.isnan(scalar), "int32"), 1)


def trace_with(model: keras.Model, hook: object) -> None:
    """Have the train step traced anew, unless it was with this hook in it."""
    function, *hooks = model.__dict__.get(TRACED, (None,))
    known = any(each is hook for each in hooks)
    if function is model.train_function is not None and known:
        return
    type(model).make_train_function(model, force=True)
    hooks += [] if known else [hook]
    model.__dict__[TRACED] = (model.train_function, *hooks)


def trace_anew(model: keras.Model) -> None:
    """Have the train step traced anew, for what was changed around it."""
    if stateless():
        # JAX takes the same method for the same trace: give it a new one.
        step = getattr(model.train_step, "__wrapped__", model.train_step)

        @functools.wraps(step)
        def train_step(*args: Any) -> Any:
            return step(*args)

        model.__dict__["train_step"] = train_step
    model.train_function = None


def values(optimizer: Any, name: str, start: int, stop: int) -> np.ndarray:
    """What the updates of these batches use, NaN for no such thing."""
    live = optimizer.__dict__.get("_live")
    if live is not None and name in live.schedules:
        return live.schedules[name](start, stop)
    own = optimizer.__dict__.get(_attribute(optimizer, name), np.nan)
    if callable(own):  # a LearningRateSchedule
        own = optimizer.learning_rate
    own = own.numpy() if isinstance(own, keras.Variable) else own
    return np.full(stop - start, float(own))


def _hook(optimizer: Any, live: Live) -> None:
    hooks = {"_live": live}
    if optimizer is live.optimizer:
        hooks["apply"] = live.apply
        if stateless():
            optimizer._track_variable(live.table)
            optimizer._track_variable(live.position)
    elif isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        live.counts = False
        hooks["apply"] = _counting_apply(optimizer, live)
        hooks["stateless_apply"] = _counting_stateless_apply(optimizer, live)
    if stateless():
        for name in ("save_own_variables", "load_own_variables"):
            hooks[name] = _without_table(optimizer, live, name)
    # Not setattr: Keras would track them as state of the optimizer.
    optimizer.__dict__.update(hooks)


def _counting_apply(optimizer: Any, live: Live) -> Callable[..., None]:
    def apply(grads: Any, trainable_variables: Any = None) -> None:
        type(optimizer).apply(optimizer, grads, trainable_variables)
        live.advance()

    return apply


def _counting_stateless_apply(optimizer: Any, live: Live) -> Callable[..., Any]:
    def stateless_apply(
        optimizer_variables: Any, grads: Any, trainable_variables: Any
    ) -> Any:
        trained, state = type(optimizer).stateless_apply(
            optimizer, optimizer_variables, grads, trainable_variables
        )
        index = [v is live.position for v in optimizer.variables].index(True)
        state = list(state)
        state[index] = optimizer_variables[index] + 1
        return trained, state

    return stateless_apply


def _without_table(optimizer: Any, live: Live, name: str) -> Callable[..., Any]:
    def method(store: Any) -> Any:
        tracked = live.optimizer._variables
        shown, hidden = tracked[:], (live.table, live.position)
        tracked[:] = [v for v in shown if not any(v is h for h in hidden)]
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


def _variable(value: Any, name: str, dtype: str) -> keras.Variable:
    return keras.Variable(
        value,
        name=name,
        dtype=dtype,
        trainable=False,
        autocast=False,
        aggregation="only_first_replica",
    )
