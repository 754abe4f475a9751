"""What happens around a model's train step?

Keras takes `model.train_step` when it makes its train function. Here that is
a function around the model's own, and followers of the step are part of it:
they know when a step is under way, and what it returned. So a batch is a batch,
whatever the user's own step does within it.

1. A traced step keeps what it saw. To have it traced again, it is installed
   again, as JAX reuses the trace of the same function; and each `tf.function`
   that is a method of the model drops its own trace.
2. On JAX a step sees the state that it is handed. The variables of followers
   travel in that of the compiled optimizer, see `Live.carry`.
3. Callbacks are not told of an exception, nor of another training within a
   callback. Every training asks for its train function first, so watchers are
   told at that point.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import keras
from keras import ops

from keras_fast._keras.first_trace import built_outside
from keras_fast._keras.fit import is_within_a_fit
from keras_fast._keras.unwrap import stateless

__all__ = [
    "Follower",
    "TrainStep",
    "follow",
    "followers",
    "leave",
    "one_after",
    "trace_anew",
    "unwatch",
    "watch",
]

WATCHERS = "_keras_fast_watchers"


class Follower(Protocol):
    """An object that follows a train step."""

    def during(self) -> contextlib.AbstractContextManager:
        """A context in which the step is under way."""
        ...

    def before(self, model: keras.Model) -> Any:
        """State before the step that `after` needs."""
        ...

    def after(self, logs: Any, before: Any, seen: Any) -> None:
        """Called after the step returned `logs`; `seen` is from its batch."""
        ...

    def follows(self, model: keras.Model) -> bool:
        """Whether there is anything left to follow in this model."""
        ...


class TrainStep:
    """A model's own train step, and its followers.

    Args:
        model: The model.
        own: A train step of this instance, if it differs from its class's.
        followers: The followers of the step.
    """

    def __init__(
        self,
        model: keras.Model,
        own: Callable[..., Any] | None,
        followers: Iterable[Follower],
    ):
        self.own = own
        self.followers = tuple(followers)
        self.function: Any = None  # the train function that contains it
        self._model = model

    @property
    def plain(self) -> Callable[..., Any]:
        kind: Any = type(self._model)
        return self.own or kind.train_step.__get__(self._model, kind)

    def run(self, *args: Any) -> Any:
        with contextlib.ExitStack() as stack:
            stack.enter_context(built_outside(self._model))
            for follower in self.followers:
                stack.enter_context(follower.during())
            if stateless():
                return self._run_stateless(*args)
            notes = [f.before(self._model) for f in self.followers]
            logs = self.plain(*args)
            self._tell(logs, notes, args)
            return logs

    def _run_stateless(self, state: Any, data: Any) -> Any:
        with self._state(state):
            notes = [f.before(self._model) for f in self.followers]
        logs, (*parts, metrics) = self.plain(state, data)
        with self._state((*parts, metrics)) as scope:
            self._tell(logs, notes, data)
        parts[2] = [
            scope.get_current_value(variable)
            for variable in self._model.optimizer.variables
        ]
        return logs, (*parts, metrics)

    def _tell(self, logs: Any, notes: list[Any], data: Any) -> None:
        seen = _number((logs, data))
        for follower, note in zip(self.followers, notes, strict=True):
            follower.after(logs, note, seen)

    def _state(self, state: Any) -> keras.StatelessScope:
        """The variables with the values in this state of a step."""
        model = self._model
        variables = (
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
            model.metrics_variables,
        )
        pairs = [
            pair
            for some, values in zip(variables, state, strict=True)
            for pair in zip(some, values, strict=True)
        ]
        return keras.StatelessScope(state_mapping=pairs)


def follow(model: keras.Model, follower: Follower) -> None:
    """Add a follower to the train step, traced again unless already there."""
    step = _current(model)
    if (
        step is None
        or not any(f is follower for f in followers(model))
        or step.function is not model.train_function
        or step.function is None
    ):
        trace_anew(model, follower)


def followers(model: keras.Model) -> tuple[Follower, ...]:
    """The followers of the model's train step."""
    step = _current(model)
    return step.followers if step is not None else ()


def leave(model: keras.Model, follower: Follower) -> None:
    """Remove this follower from the train step, whatever it met there."""
    if any(f is follower for f in followers(model)):
        _install(model, [f for f in followers(model) if f is not follower])


def trace_anew(model: keras.Model, *more: Follower) -> None:
    """Have the train step traced again, after changes around it."""
    those = [f for f in followers(model) if f.follows(model)]
    those += [f for f in more if not any(f is g for g in those)]
    _install(model, those)


def _install(model: keras.Model, those: list[Follower]) -> None:
    _forget_traces(model)
    old = _current(model)
    own = old.own if old else model.__dict__.get("train_step")
    step = TrainStep(model, own, those)
    # Not setattr: Keras would track it as state of the model.
    model.__dict__["train_step"] = step.run
    type(model).make_train_function(model, force=True)
    step.function = model.train_function


def _forget_traces(model: keras.Model) -> None:
    """Have each `tf.function` that is a method of the model traced again."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    traced = tf.types.experimental.PolymorphicFunction
    for part in model._flatten_layers():
        for name, value in vars(part).items():
            if isinstance(value, traced):
                part.__dict__[name] = value._clone(None)
        for kind in type(part).__mro__:
            if kind.__module__.startswith("keras.src"):
                continue
            for value in vars(kind).values():
                if isinstance(value, traced):
                    value._descriptor_cache.pop(part, None)


def watch(
    model: keras.Model,
    callback: keras.callbacks.Callback,
    told: Callable[[bool], None],
    *,
    first: bool = False,
) -> None:
    """Tell this callback when another training begins before its own ends.

    Args:
        model: The model that trains.
        callback: A callback of the `fit()` that begins.
        told: Called with True if the other training is within the `fit()` of
            this callback, which continues afterwards, and with False if that
            `fit()` has ended by an exception.
        first: Before the others, which may change what this one looks at.
    """
    watchers = model.__dict__.setdefault(WATCHERS, [])

    def make_train_function(force: bool = False) -> Any:
        if not force:
            training = inspect.currentframe().f_back
            for callback, told in list(watchers):
                told(is_within_a_fit(callback, training))
        return type(model).make_train_function(model, force)

    watchers.insert(0 if first else len(watchers), (callback, told))
    model.__dict__["make_train_function"] = make_train_function


def unwatch(
    model: keras.Model, callback: keras.callbacks.Callback | None = None
) -> None:
    """Stop telling this callback, or all of them."""
    watchers = model.__dict__.pop(WATCHERS, [])
    model.__dict__.pop("make_train_function", None)
    for other, told in watchers:
        if callback is not None and other is not callback:
            watch(model, other, told)


def one_after(number: Any) -> Any:
    """Always 1, but computed from the step's data.

    Otherwise TensorFlow may count a step whose batch never arrives.
    """
    if number is None:
        return 1
    return ops.maximum(ops.cast(ops.isnan(number), "int32"), 1)


def _current(model: keras.Model) -> TrainStep | None:
    step = getattr(model.__dict__.get("train_step"), "__self__", None)
    return step if isinstance(step, TrainStep) else None


def _number(values: Any) -> Any:
    """A number among the values, which exists only when the batch does."""
    for value in keras.tree.flatten(values):
        if keras.backend.is_float_dtype(getattr(value, "dtype", "string")):
            return ops.sum(value)
    return None
