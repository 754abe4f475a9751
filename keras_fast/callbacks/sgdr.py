"""Warm restarts: the rate falls along a cosine, then jumps back up."""

import math
from collections.abc import Sequence
from functools import partial
from itertools import accumulate, count, takewhile
from typing import Any

import keras

from keras_fast._checks import at_least, positive, whole
from keras_fast._keras.fit import batches_done, callbacks_of_this_fit
from keras_fast.callbacks._scheduler import Schedule, Scheduler
from keras_fast.schedules import sgdr


class SGDR(Scheduler):
    """Anneals the learning rate along cosines, with warm restarts.

    At the end of each cycle it calls `on_cycle_end(cycle, logs)` of every
    callback of the same `fit()` that has this method; cycles count from 0. If
    the cycle ends with an epoch, `logs` are the epoch's. `CycleStopping` and
    `SnapshotEnsemble` have the method. Keras's `EarlyStopping` judges each
    epoch instead, and may end a cycle before its rate is low.

    Args:
        max_lr: Learning rate at the start of each cycle.
        cycle_len: Epochs in the first cycle; may be a fraction.
        cycle_mult: Factor by which each cycle is longer than the one before.
        min_lr: Learning rate at the end of each cycle.
        optimizer: The optimizer to schedule, if the model has several; None
            takes the one it is compiled with.

    Raises:
        ValueError: An argument is out of range. When `fit()` starts: the
            learning rate is a `LearningRateSchedule`, the length of an epoch
            is unknown, or a callback has `on_cycle_end` and a cycle ends
            within an execution (`steps_per_execution`) or an update
            (`gradient_accumulation_steps`).

    Examples:
        >>> from keras_fast.callbacks import SGDR
        >>> scheduler = SGDR(0.1, cycle_len=1, cycle_mult=2)
        >>> epochs = SGDR.num_epochs(3, cycle_len=1, cycle_mult=2)
        >>> epochs
        7
        >>> history = model.fit(
        ...     x, y, epochs=epochs, verbose=0, callbacks=[scheduler]
        ... )

    Reference:

    - [Loshchilov and Hutter, 2017](https://arxiv.org/abs/1608.03983)
    - fastai 2.8, `fit_sgdr`
    """

    def __init__(
        self,
        max_lr: float,
        *,
        cycle_len: float = 1,
        cycle_mult: float = 1,
        min_lr: float = 0.0,
        optimizer: keras.optimizers.Optimizer | None = None,
    ):
        self.cycle_len = positive("cycle_len", cycle_len)
        self.cycle_mult = at_least("cycle_mult", cycle_mult, 1)
        self._sgdr = partial(
            sgdr,
            max_lr=positive("max_lr", max_lr),
            cycle_mult=self.cycle_mult,
            min_lr=min_lr,
        )
        self._sgdr(0.0)  # the bounds must be in order
        super().__init__(optimizer, learning_rate=self._sgdr)

    @staticmethod
    def num_epochs(
        num_cycles: int, cycle_len: float = 1, cycle_mult: float = 1
    ) -> int:
        """Number of epochs in this many cycles, to pass to `fit()`.

        Raises:
            ValueError: An argument is out of range, or the last cycle
                ends within an epoch.
        """
        num_cycles = whole("num_cycles", num_cycles)
        cycle_len = positive("cycle_len", cycle_len)
        cycle_mult = at_least("cycle_mult", cycle_mult, 1)
        epochs = _epochs(num_cycles, cycle_len, cycle_mult)
        if abs(epochs - round(epochs)) > 1e-9:
            raise ValueError(
                "`num_cycles` must end with an epoch, as `fit()` does. Take "
                "another number of cycles, or another `cycle_len`. Received: "
                f"num_cycles={num_cycles} with cycle_len={cycle_len} and "
                f"cycle_mult={cycle_mult}, which are {epochs:.6g} epochs"
            )
        return round(epochs)

    def on_train_begin(self, logs: Any = None) -> None:
        listeners = [
            callback
            for callback in callbacks_of_this_fit()
            if hasattr(callback, "on_cycle_end")
        ]
        self._listeners = [each.on_cycle_end for each in listeners]
        self._cycle = 0
        self._ends = self._cycle_ends(self.params["epochs"])
        if listeners and self.params["steps"]:
            self._check_executions(listeners)
        super().on_train_begin(logs)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._seen is None:  # the first batch of this fit
            done = self._epoch + batch / self.params["steps"]
            self._cycle = sum(end <= done + 1e-9 for end in self._ends)
        super().on_train_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch, logs)
        # on_epoch_end decides whether a cycle ends with the epoch.
        batches = batches_done(batch, self._model)
        done = self._epoch + batches / self.params["steps"]
        self._end_cycles(min(done, self._epoch + 1 - 1e-6), logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, logs)
        self._end_cycles(epoch + 1, logs)

    def _end_cycles(self, epochs: float, logs: Any) -> None:
        ends = self._ends
        while self._cycle < len(ends) and ends[self._cycle] <= epochs + 1e-9:
            for on_cycle_end in self._listeners:
                on_cycle_end(self._cycle, logs)
            self._cycle += 1

    def _cycle_ends(self, epochs: float) -> list[float]:
        """End times, in epochs, of the cycles within this many epochs."""
        lengths = (self.cycle_len * self.cycle_mult**i for i in count())
        ends = accumulate(lengths)
        return list(takewhile(lambda end: end <= epochs + 1e-9, ends))

    def _check_executions(self, listeners: Sequence[Any]) -> None:
        """Refuse ends of cycles at which Keras calls no callback."""
        steps = self.params["steps"]
        size = self.model.steps_per_execution
        for cycle, end in enumerate(self._ends):
            batches = math.ceil((end - 1e-9) * steps)
            if batches % steps % size:
                names = ", ".join(type(each).__name__ for each in listeners)
                raise ValueError(
                    f"A cycle must end with an execution for {names}, or the "
                    "next one has begun. Compile with `steps_per_execution=1`, "
                    "or one that divides the batches of a cycle. Received: "
                    f"steps_per_execution={size}, and cycle {cycle} ends "
                    f"after {batches % steps} of {steps} batches of an epoch"
                )

    def _check_run(self) -> None:
        """Refuse ends of cycles at which an update is still pending."""
        super()._check_run()
        size, phase = self._batches_per_update, self._phase
        total = (phase + self._num_batches) // size
        for cycle, end in enumerate(self._ends if self._listeners else ()):
            batches = math.ceil((end - 1e-9) * self.params["steps"])
            updates = math.ceil((end - 1e-9) / self.params["epochs"] * total)
            if (phase + batches) // size != updates:
                raise ValueError(
                    "A cycle must end with an update for callbacks that "
                    "follow it, or its last update is still to come. Compile "
                    "with `gradient_accumulation_steps` that divide the "
                    "batches of a cycle, or without. Received: "
                    f"gradient_accumulation_steps={size}, and cycle {cycle} "
                    f"ends after {batches} batches"
                )

    def _functions(
        self, num_updates: int, epochs: float | None
    ) -> dict[str, Schedule]:
        # Without a run, three cycles show what a restart looks like.
        epochs = epochs or _epochs(3, self.cycle_len, self.cycle_mult)
        schedule = partial(self._sgdr, cycle_len=self.cycle_len / epochs)
        return {"learning_rate": schedule}


def _epochs(num_cycles: int, cycle_len: float, cycle_mult: float) -> float:
    """Epochs in this many cycles; may be a fraction."""
    return sum(cycle_len * cycle_mult**i for i in range(num_cycles))
