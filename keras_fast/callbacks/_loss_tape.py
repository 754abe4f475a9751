"""What was the loss of each batch?

`logs["loss"]` is the mean since the epoch began. The tape takes the loss where
`compute_loss()` returns it, in the compiled step, and keeps the last `ROWS` of
them. Where a train step of the user's own has another loss, the tape goes by
what that step returns; the mean that may be is undone.
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast._live import attach
from keras_fast._train_step import follow, followers, one_after
from keras_fast._unwrap import replicas, scope, stateless

__all__ = ["LossTape", "by_update"]

ROWS = 1024


class LossTape:
    """Records the loss of every batch that a model trains on.

    Args:
        model: The compiled model whose losses are recorded.
        loss: Which of the logs of its train step is the loss.
    """

    def __init__(self, model: keras.Model, loss: str):
        self.loss = loss
        self.returned: list[str] | None = None  # by a step without that loss
        self._model = model
        self._replicas = replicas(model)
        self._steps = 0  # that are under way: one a replica
        self._of_step = threading.local()  # a thread each
        self._places = ops.arange(ROWS, dtype="int32")
        with scope(model):
            # Replicas hold shares of one loss, to be added up; they all count.
            self.losses = _variable(np.zeros(ROWS), "losses", "float32", "sum")
            self.count = _variable(0, "count", "int32", "only_first_replica")
            # Losses that were taken off the tape.
            self.read = _variable(0, "read", "int32", "only_first_replica")

    @classmethod
    def of(cls, model: keras.Model, loss: str = "loss") -> "LossTape":
        """The tape of this model, put in where there is none."""
        known = [f for f in followers(model) if isinstance(f, cls)]
        tape = next((t for t in known if t.loss == loss), None)
        if tape is None:
            tape = cls(model, loss)
        live = attach(model.optimizer)
        live.carry([tape.losses, tape.count, tape.read])
        follow(model, tape)
        return tape

    def check(self) -> None:
        """Refuse a train step that has told no loss."""
        if self.returned is not None:
            raise ValueError(
                "`loss` must be one of what `train_step()` returns, where that "
                "does not call `compute_loss()`. Pass the name of one, a "
                f"number for each batch. Received: loss={self.loss!r}, "
                f"returned={self.returned}"
            )

    @contextlib.contextmanager
    def during(self) -> Iterator[None]:
        self._of_step.loss, self._of_step.is_written = None, False
        if not self._steps:
            self._listen()
        self._steps += 1
        try:
            yield
        finally:
            self._steps -= 1
            if not self._steps:
                self._listens_to.__dict__.pop(self._method, None)

    def before(self, model: keras.Model) -> list[tuple[Any, Any]]:
        """Sum and number in each running mean of a step of the user's own."""
        if type(model).train_step is keras.Model.train_step:
            return []
        return [_sum_and_count(mean) for mean in _means(model)]

    def after(self, logs: Any, before: Any, seen: Any) -> None:
        if self._of_step.is_written:
            return
        loss = self._of_step.loss
        if loss is None:
            names = sorted(logs) if isinstance(logs, dict) else []
            if self.loss not in names:
                self.returned = names
                return
            loss = self._of_batch(logs[self.loss], before) / self._replicas
        self._write(loss)

    def follows(self, model: keras.Model) -> bool:
        return True

    def take(self) -> np.ndarray:
        """The losses since the last call, (n,) float64."""
        count = int(self.count.numpy())
        read = int(self.read.numpy())
        rows = np.arange(max(read, count - ROWS), count) % ROWS
        self.read.assign(count)
        losses = np.asarray(self.losses.numpy())
        return losses[rows].astype("float64")

    def _listen(self) -> None:
        """Hear of the loss where it is computed."""
        model = self._model
        # JAX computes it within a function that no value leaves, and then
        # tells the metric.
        self._listens_to, self._method = (
            (model._loss_tracker, "update_state")
            if stateless()
            else (model, "compute_loss")
        )
        plain = getattr(self._listens_to, self._method)

        def compute_loss(*args: Any, **kwargs: Any) -> Any:
            loss = plain(*args, **kwargs)
            # At once: a `tf.function` of the user's may be around it.
            if not self._is_known() and loss is not None:
                self._of_step.is_written = True
                self._write(loss)
            return loss

        def update_state(loss: Any, *args: Any, **kwargs: Any) -> Any:
            if not self._is_known():
                self._of_step.loss = loss
            return plain(loss, *args, **kwargs)

        if self.loss == "loss" and self._listens_to is not None:
            # Not setattr: Keras would track it as state.
            self._listens_to.__dict__[self._method] = (
                update_state if stateless() else compute_loss
            )

    def _is_known(self) -> bool:
        return self._of_step.is_written or self._of_step.loss is not None

    def _of_batch(self, logged: Any, before: list[tuple[Any, Any]]) -> Any:
        """The loss of a batch, where a mean since the epoch began is logged."""
        loss = logged = ops.cast(logged, "float32")
        means = _means(self._model) if before else []
        for mean, (old_sum, old_count) in zip(means, before, strict=True):
            total, count = _sum_and_count(mean)
            new = ops.divide_no_nan(total - old_sum, count - old_count)
            is_logged = ops.equal(logged, ops.divide_no_nan(total, count))
            loss = ops.where(is_logged, new, loss)
        return loss

    def _write(self, loss: Any) -> None:
        here = ops.equal(self._places, ops.mod(self.count, ROWS))
        loss = ops.cast(ops.stop_gradient(loss), self.losses.dtype)
        losses = ops.convert_to_tensor(self.losses)
        self.losses.assign(ops.where(here, loss, losses))
        self.count.assign(ops.add(self.count, one_after(loss)))


def by_update(losses: np.ndarray, size: int, phase: int = 0) -> np.ndarray:
    """Mean loss of the batches of each update, whole updates alone.

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


def _variable(
    value: Any, name: str, dtype: str, aggregation: str
) -> keras.Variable:
    return keras.Variable(
        value,
        name=name,
        dtype=dtype,
        trainable=False,
        autocast=False,
        aggregation=aggregation,
        synchronization="on_read",
    )
