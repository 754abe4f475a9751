"""What was the loss of each batch?

`logs["loss"]` is the mean since the epoch began. The tape records the loss
where `compute_loss()` returns it, in the compiled step, and keeps the last
`ROWS` of them. If the user's own train step has another loss, the tape uses
the one that the step returns; if that is a running mean, it is undone.
"""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast._keras.held import optimizers_of
from keras_fast._keras.live import attach, own, step_variable
from keras_fast._keras.train_step import follow, followers, one_after
from keras_fast._keras.unwrap import chain, replicas, scope, stateless

__all__ = ["LossTape", "by_update"]

ROWS = 1024


class LossTape:
    """Records the loss of every batch that a model trains on.

    Args:
        model: The compiled model whose losses are recorded.
        loss: Name of the loss in the logs of its train step.
    """

    def __init__(self, model: keras.Model, loss: str):
        self.loss = loss
        self.returned: list[str] = []  # by the user's own train step
        self.momentums: dict[int, Any] = {}  # of optimizers, as traced
        self._model = model
        self._leaves: list[Any] = []
        self._replicas = replicas(model)
        self._steps = 0  # under way: one per replica
        self._places = ops.arange(ROWS, dtype="int32")
        with scope(model):
            # Replicas hold shares of one loss, to be summed; all of them count.
            here = partial(step_variable, synchronization="on_read")
            nothing = np.zeros(ROWS)
            self.losses = here(nothing, "losses", "float32", aggregation="sum")
            self.count = here(0, "count", "int32")
            # The count when this step began, to see if it has a loss yet.
            self.begun = here(0, "begun", "int32")

    @classmethod
    def of(cls, model: keras.Model, loss: str = "loss") -> "LossTape":
        """The tape of this model, created if there is none."""
        known = [f for f in followers(model) if isinstance(f, cls)]
        tape = next((t for t in known if t.loss == loss), None)
        if tape is None:
            tape = cls(model, loss)
        tape._leaves = [chain(each)[-1] for each in optimizers_of(model)]
        live = attach(model.optimizer)
        live.carry([tape.losses, tape.count, tape.begun])
        follow(model, tape)
        return tape

    def check(self, start: int) -> None:
        """Refuse a train step that has recorded no loss since then."""
        if self.end() == start:
            raise ValueError(
                "`loss` must be one of what `train_step()` returns, where that "
                "does not call `compute_loss()`. Pass the name of one, a "
                f"number for each batch. Received: loss={self.loss!r}, "
                f"returned={self.returned}"
            )

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        if not self._steps:
            self._heard: Any = None
            self._listen()
        self._steps += 1
        try:
            yield
        finally:
            self._steps -= 1
            if not self._steps and self._listens_to is not None:
                self._listens_to.__dict__.pop(self._method, None)

    def before(self, model: keras.Model) -> list[tuple[Any, Any]]:
        """Sum and count of each running mean in the user's own step."""
        for leaf in self._leaves:
            self.momentums[id(leaf)] = own(leaf, "momentum")
        if not self._is_own():
            return []
        self.begun.assign(self.count)
        return [_sum_and_count(mean) for mean in _means(model)]

    def after(self, logs: Any, before: Any, seen: Any) -> None:
        if stateless():
            self.begun.assign(self.count)
        if stateless() and self._heard is not None:
            self._write(self._heard)
        elif self._is_own():
            self.returned = sorted(logs) if isinstance(logs, dict) else []
            if self.loss in self.returned:
                loss = self._of_batch(logs[self.loss], before)
                self._write(loss / self._replicas)

    def follows(self, model: keras.Model) -> bool:
        return True

    def end(self) -> int:
        """The number of losses so far."""
        if stateless():
            self._model.jax_state_sync()
        return int(self.count.numpy())

    def since(self, start: int) -> np.ndarray:
        """The losses from number `start` on, (n,) float64."""
        rows = np.arange(max(start, self.end() - ROWS), self.end()) % ROWS
        losses = np.asarray(self.losses.numpy())
        return losses[rows].astype("float64")

    def _is_own(self) -> bool:
        """Whether the train step is the user's own."""
        return type(self._model).train_step is not keras.Model.train_step

    def _listen(self) -> None:
        """Record the loss where it is computed."""
        model = self._model
        # JAX computes it within a function that no value can leave, and then
        # passes it to the metric.
        self._listens_to, self._method = (
            (model._loss_tracker, "update_state")
            if stateless()
            else (model, "compute_loss")
        )
        if self.loss != "loss":
            self._listens_to = None
        if self._listens_to is None:
            return
        plain = getattr(self._listens_to, self._method)

        def compute_loss(*args: Any, **kwargs: Any) -> Any:
            loss = plain(*args, **kwargs)
            # Immediately: this may be inside the user's own `tf.function`.
            if loss is not None:
                self._write(loss)
            return loss

        def update_state(loss: Any, *args: Any, **kwargs: Any) -> Any:
            self._heard = loss if self._heard is None else self._heard
            return plain(loss, *args, **kwargs)

        # Not setattr: Keras would track it as state.
        self._listens_to.__dict__[self._method] = (
            update_state if stateless() else compute_loss
        )

    def _of_batch(self, logged: Any, before: list[tuple[Any, Any]]) -> Any:
        """The loss of a batch, if the mean since the epoch began is logged."""
        loss = logged = ops.cast(logged, "float32")
        means = _means(self._model) if before else []
        for mean, (old_sum, old_count) in zip(means, before, strict=True):
            total, count = _sum_and_count(mean)
            new = ops.divide_no_nan(total - old_sum, count - old_count)
            is_logged = ops.equal(logged, ops.divide_no_nan(total, count))
            loss = ops.where(is_logged, new, loss)
        return loss

    def _write(self, loss: Any) -> None:
        """Record a loss, if it is the first of its step."""
        here = ops.equal(self._places, ops.mod(self.count, ROWS))
        loss = ops.cast(ops.stop_gradient(loss), self.losses.dtype)
        losses = ops.convert_to_tensor(self.losses)
        more = one_after(loss)
        if self._is_own():
            # The step decides, not its trace: an inner `tf.function` may be
            # traced twice, or not now.
            first = ops.equal(self.count, self.begun)
            here = ops.logical_and(here, first)
            more = ops.where(first, more, 0)
        self.losses.assign(ops.where(here, loss, losses))
        self.count.assign(ops.add(self.count, more))


def by_update(losses: np.ndarray, size: int, phase: int = 0) -> np.ndarray:
    """Mean loss of the batches of each complete update.

    Args:
        losses: The loss of each batch, (n,).
        size: Batches in an update.
        phase: Batches of the first update that came before these losses.
    """
    if size == 1:
        return losses
    update = (phase + np.arange(len(losses))) // size
    whole = (phase + len(losses)) // size
    kept = update < whole
    sums = np.bincount(update[kept], losses[kept], whole)
    return sums / np.bincount(update[kept], minlength=whole)


def _means(model: keras.Model) -> list[keras.metrics.Mean]:
    return [m for m in model.metrics if isinstance(m, keras.metrics.Mean)]


def _sum_and_count(mean: keras.metrics.Mean) -> tuple[Any, Any]:
    return ops.copy(mean.total), ops.copy(mean.count)
