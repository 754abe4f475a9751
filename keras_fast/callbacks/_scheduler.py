"""How do hyperparameters follow functions of progress, update by update?"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_fast._checks import finite, known_length, not_empty, whole
from keras_fast._keras.live import ROWS, attach
from keras_fast._keras.optimizers import batches_applied
from keras_fast._keras.train_step import follow, leave, unwatch, watch
from keras_fast._keras.unwrap import batches_per_update, is_eager
from keras_fast.callbacks._neighbours import check_neighbours
from keras_fast.callbacks._schedulable import (
    check_schedulable,
    optimizer_of,
    refuse_twice,
)
from keras_fast.callbacks._used_rates import check_used
from keras_fast.plots import plot_schedule

Schedule = Callable[[float], float]
# Attributes that a copy does not need.
OF_A_FIT = ("_live", "_rows_of", "_tape", "_listeners")


class Scheduler(keras.callbacks.Callback):
    """The base of all scheduling callbacks.

    `ParamScheduler` documents what they guarantee.

    Args:
        optimizer: The optimizer to schedule; if None, the model's own.
        **schedules: A function of progress for each hyperparameter.
    """

    def __init__(
        self,
        optimizer: keras.optimizers.Optimizer | None,
        **schedules: Schedule,
    ):
        super().__init__()
        self.optimizer = optimizer
        self._schedules = schedules
        self._trained: Any = None  # the model, while it trains

    def curve(
        self, num_updates: int, epochs: float | None = None
    ) -> dict[str, np.ndarray]:
        """The values of the schedule in a run of this many updates.

        Args:
            num_updates: Updates of the run.
            epochs: Epochs of the run, if the schedule depends on them.

        Returns:
            An array (num_updates,) of float64 for each hyperparameter.
        """
        num_updates = whole("num_updates", num_updates)
        progress = np.arange(num_updates) / num_updates
        functions = self._functions(num_updates, epochs)
        return {
            name: np.array([schedule(p) for p in progress], "float64")
            for name, schedule in functions.items()
        }

    def plot(
        self,
        num_updates: int = 1000,
        epochs: float | None = None,
        ax: Any = None,
    ) -> Any:
        """Draw `curve` and return the matplotlib `Axes`."""
        return plot_schedule(self.curve(num_updates, epochs), ax=ax)

    def __getstate__(self) -> dict[str, Any]:
        """The attributes except those of a running `fit()`."""
        state = {**self.__dict__, "_model": None, "_trained": None}
        return {k: v for k, v in state.items() if k not in OF_A_FIT}

    def on_train_begin(self, logs: Any = None) -> None:
        model = self.model
        refuse_twice(self)
        if self._trained is not None:
            self._end(broken=True)
        not_empty(self.params["steps"])
        optimizer = optimizer_of(model, self.optimizer)
        self._live = live = attach(optimizer)
        self._batches_per_update = batches_per_update(optimizer)
        self._steps_per_execution = model.steps_per_execution
        self._seen, self._phase = None, 0
        self._num_batches = self._count_batches()
        names = self._functions(1, self.params["epochs"]).keys()
        self._check(names)
        check_neighbours(names if optimizer is model.optimizer else ())
        self._rows_of = {name: self._rows(name) for name in names}
        live.schedules |= self._rows_of
        self._trained = model
        watch(model, self, self._on_other_training)
        follow(model, live)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch
        count = self._count_batches()
        if count != self._num_batches:
            # Another stage of a recipe, with epochs of another length.
            self._num_batches, self._seen = count, None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        first = self._seen is None  # batch of this fit
        if first:
            self._begin_at(self._epoch * (self.params["steps"] or 0) + batch)
        # Missing: another training, within a callback, has ended.
        if first or not self._rows_of.keys() <= self._live.schedules.keys():
            self._live.schedules |= self._rows_of
            self._live.load(self._seen)
        self._seen += self._steps_per_execution
        if self._seen > self._live.start + ROWS:
            self.model  # noqa: B018  on JAX this brings the variables up to date
            self._live.turn_page()
            self._seen = self._live.start + self._steps_per_execution

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if not self._live.used and not is_eager(self._model):
            self._refuse_unused()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if not self._live.used:
            self._refuse_unused()

    def on_train_end(self, logs: Any = None) -> None:
        self.model  # noqa: B018  on JAX this brings the variables up to date
        self._end()

    def _on_other_training(self, within: bool) -> None:
        self.model  # noqa: B018  as above
        if within:
            self._live.release()
        else:  # Ctrl-C or an error ended the `fit()` of this callback
            self._end(broken=True)

    def _end(self, broken: bool = False) -> None:
        """Leave the model that was trained, whichever model trains now."""
        model, self._trained = self._trained, None
        self._live.release()
        unwatch(model, self)
        if broken:
            leave(model, self._live)

    def _begin_at(self, batch: int) -> None:
        self._seen = batch
        self._phase = self._accumulated(batch)
        try:
            self._check_run()
        except ValueError:
            self._end(broken=True)
            raise

    def _check_run(self) -> None:
        """Before the first update, refuse rates that updates would not use."""
        rates = self._rows_of.get("learning_rate")
        if rates is not None:
            leaf = self._live.optimizer
            check_used(leaf, rates, self._seen, self._num_batches)

    def _refuse_unused(self) -> None:
        model = self.model
        if not model.trainable_variables:
            return  # nothing to update
        self.on_train_end()
        raise ValueError(
            "The optimizer that is scheduled must update in `train_step()`. "
            "Pass `optimizer=` to schedule another that the model has, such as "
            "`optimizer=model.generator_optimizer`. If this one is used within "
            "a compiled function, make that a method of the model. Received: "
            "train_step() that does not use "
            f"{type(self._live.optimizer).__name__}"
        )

    def _functions(
        self, num_updates: int, epochs: float | None
    ) -> dict[str, Schedule]:
        """The schedules of a run of this length."""
        return self._schedules

    def _count_batches(self) -> int:
        steps = known_length(type(self).__name__, self.params["steps"])
        return steps * self.params["epochs"]

    def _accumulated(self, batch: int) -> int:
        """Batches that await an update when this run begins."""
        batches = batches_applied(self._live.optimizer)
        return (batches - batch) % self._batches_per_update

    def _rows(self, name: str) -> Callable[[int, int], np.ndarray]:
        def rows(start: int, stop: int) -> np.ndarray:
            size = self._batches_per_update
            total = max((self._phase + self._num_batches) // size, 1)
            schedule = self._functions(total, self.params["epochs"])[name]
            updates = (self._phase + np.arange(start, stop)) // size
            # Rows beyond the end are never used: one value does for them.
            updates = np.minimum(updates, total)
            first = updates[0]
            values = [
                finite(name, schedule(k / total))
                for k in range(first, updates[-1] + 1)
            ]
            return np.array(values)[updates - first]

        return rows

    def _check(self, names: Iterable[str]) -> None:
        for name in names:
            if name in self._live.schedules:
                raise ValueError(
                    f"`{name}` must be scheduled by one callback. Remove one. "
                    f"Received: callbacks with two schedules for {name}"
                )
        others = self.model if self.optimizer is None else None
        check_schedulable(self._live, names, others)
