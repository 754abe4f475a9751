"""What was the loss of each batch?

`logs["loss"]` is the mean since the epoch began. The tape takes the loss
where it is computed, in the compiled step, and keeps the last `ROWS` of them.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast._live import one_after, trace_with
from keras_fast._unwrap import scope, stateless

__all__ = ["LossTape"]

ROWS = 1024
# Under this key a model keeps its tape.
TAPE = "_keras_fast_loss_tape"


class LossTape(keras.metrics.Metric):
    """Records the loss of every batch that a model trains on.

    It is a metric, so that JAX carries its state through the step, without a
    result, so that nobody sees it.

    Args:
        model: The compiled model whose losses are recorded from now on.
    """

    def __init__(self, model: keras.Model):
        super().__init__(name="loss_tape")
        # Replicas hold shares of one loss, to be added up; they all count.
        self.losses = self.add_variable((ROWS,), "zeros", name="losses")
        self.count = self.add_variable(
            (),
            "zeros",
            dtype="int32",
            aggregation="only_first_replica",
            name="count",
        )
        # Losses that were taken off the tape: a variable, so that `lr_find`
        # puts it back together with `count`.
        self.read = self.add_variable(
            (),
            "zeros",
            dtype="int32",
            aggregation="only_first_replica",
            name="read",
        )
        self._compute_loss = model.compute_loss
        self._train_step = model.train_step
        self._waits = False  # for the loss of the step that is traced
        self._places = ops.arange(ROWS, dtype="int32")

    @classmethod
    def of(cls, model: keras.Model) -> "LossTape":
        """The tape of this model, put in where there is none."""
        tape = model.__dict__.get(TAPE)
        if tape is None:
            with scope(model):
                tape = cls(model)
            # Not setattr: Keras would track it as state of the model.
            model.__dict__[TAPE] = tape
            model.__dict__["compute_loss"] = tape.compute_loss
            model.__dict__["train_step"] = tape.train_step
        if stateless() and not any(m is tape for m in model._metrics):
            model._metrics.append(tape)
        trace_with(model, tape)
        return tape

    def train_step(self, *args: Any) -> Any:
        self._waits = True
        try:
            logs = self._train_step(*args)
            missed = self._waits
        finally:
            self._waits = False
        if missed:
            raise ValueError(
                "`train_step()` must call `self.compute_loss()` for the loss "
                "of each update to be recorded. Compute the loss with it, in "
                "`train_step()`. Received: a `train_step()` that does not"
            )
        return logs

    def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
        loss = self._compute_loss(*args, **kwargs)
        if self._waits and loss is not None:
            self._waits = False
            self.update_state(loss)
        return loss

    def update_state(self, loss: Any) -> None:
        here = ops.equal(self._places, ops.mod(self.count, ROWS))
        loss = ops.cast(ops.stop_gradient(loss), self.losses.dtype)
        losses = ops.convert_to_tensor(self.losses)
        self.losses.assign(ops.where(here, loss, losses))
        self.count.assign(ops.add(self.count, one_after(loss)))

    def result(self) -> dict:
        return {}

    def reset_state(self) -> None:
        """An epoch's end is none for the tape."""

    def take(self) -> np.ndarray:
        """The losses since the last call, (n,) float64."""
        count = int(self.count.numpy())
        read = int(self.read.numpy())
        rows = np.arange(max(read, count - ROWS), count) % ROWS
        self.read.assign(count)
        losses = np.asarray(self.losses.numpy())
        return losses[rows].astype("float64")


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
