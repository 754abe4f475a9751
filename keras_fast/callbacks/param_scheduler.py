"""Hyperparameters that follow functions of progress."""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

from keras_fast._checks import finite, function, not_empty, whole
from keras_fast._live import ROWS, Live, attach, trace_with
from keras_fast._unwrap import batches_per_update
from keras_fast.plots import plot_schedule

Schedule = Callable[[float], float]
NAMES = ("learning_rate", "momentum", "beta_2", "weight_decay")


class ParamScheduler(keras.callbacks.Callback):
    """Sets hyperparameters of the optimizer anew at every update.

    Each hyperparameter follows a function of progress: update k of n is at
    k / n. The values are read inside of the compiled train step, so they are
    exact with `steps_per_execution`, `jit_compile`, gradient accumulation,
    `mixed_float16` and `tf.distribute`. After `fit()` the optimizer has its
    own hyperparameters back.

    An epoch must have a known length; where Keras can't know it, pass
    `steps_per_epoch` to `fit()`. With `initial_epoch` and after
    `BackupAndRestore` the schedule goes on where that epoch starts.

    Args:
        **schedules: `learning_rate`, `momentum`, `beta_2` or `weight_decay`,
            each a function of progress that returns a float. `momentum` is
            `momentum` of SGD and RMSprop, and `beta_1` of the Adam family;
            `beta_2` is `rho` of RMSprop and Adadelta.

    Raises:
        ValueError: No schedule, or an unknown name. When `fit()` starts: the
            optimizer has no such hyperparameter, its learning rate is a
            `LearningRateSchedule`, or the length of an epoch is unknown.
        TypeError: A schedule that can't be called.

    Examples:
        >>> from functools import partial
        >>> from keras_fast.callbacks import ParamScheduler
        >>> from keras_fast.schedules import linear
        >>> scheduler = ParamScheduler(
        ...     learning_rate=partial(linear, start=1e-2, end=0.0)
        ... )
        >>> history = model.fit(x, y, verbose=0, callbacks=[scheduler])
        >>> scheduler.curve(4)["learning_rate"]
        array([0.01  , 0.0075, 0.005 , 0.0025])

    Reference:

    - fastai 2.8, `ParamScheduler`
    """

    def __init__(self, **schedules: Schedule):
        super().__init__()
        unknown = sorted(set(schedules) - set(NAMES))
        if unknown or not schedules:
            raise ValueError(
                f"Schedules must be given for some of {', '.join(NAMES)}. "
                "Pass each as a function of progress, such as "
                "`learning_rate=lambda progress: 0.1 * (1 - progress)`. "
                f"Received: schedules={unknown or schedules}"
            )
        for name, schedule in schedules.items():
            function(name, schedule)
        self._schedules = schedules

    def curve(
        self, num_updates: int, epochs: float | None = None
    ) -> dict[str, np.ndarray]:
        """What the schedule gives in a run of this many updates.

        Args:
            num_updates: Updates of the run.
            epochs: Epochs of the run, where the schedule asks for them.

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

    def on_train_begin(self, logs: Any = None) -> None:
        model = self.model
        not_empty(self.params["steps"])
        self._live = live = attach(model.optimizer)
        self._batches_per_update = batches_per_update(model.optimizer)
        self._steps_per_execution = model.steps_per_execution
        self._seen, self._phase = None, 0
        self._num_batches = self._count_batches()
        functions = self._functions(
            max(self._num_batches // self._batches_per_update, 1),
            self.params["epochs"],
        )
        self._check(functions)
        live.watch(model)
        for name, schedule in functions.items():
            live.schedules[name] = self._rows(name, schedule)
        trace_with(model, live)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._seen is None:  # the first batch of this fit
            self._seen = self._epoch * (self.params["steps"] or 0) + batch
            self._phase = self._accumulated(self._seen)
            self._live.load(self._seen)
        self._seen += self._steps_per_execution
        if self._seen > self._live.start + ROWS:
            self.model  # noqa: B018  on JAX this brings the variables up to date
            self._live.turn_page()
            self._seen = self._live.start + self._steps_per_execution

    def on_train_end(self, logs: Any = None) -> None:
        self._live.release(self.model)

    def _functions(
        self, num_updates: int, epochs: float | None
    ) -> dict[str, Schedule]:
        """The schedules of a run of this length."""
        return self._schedules

    def _count_batches(self) -> int:
        steps = self.params["steps"]
        if steps is None:
            raise ValueError(
                "The length of an epoch must be known for "
                f"{type(self).__name__}. Pass `steps_per_epoch` to `fit()`, "
                "or data with a length. Received: steps_per_epoch=None"
            )
        return steps * self.params["epochs"]

    def _accumulated(self, batch: int) -> int:
        """Batches that wait for an update where this run begins."""
        batches = int(self._live.optimizer._iterations.numpy())
        return (batches - batch) % self._batches_per_update

    def _rows(
        self, name: str, schedule: Schedule
    ) -> Callable[[int, int], np.ndarray]:
        def rows(start: int, stop: int) -> np.ndarray:
            size = self._batches_per_update
            total = max((self._phase + self._num_batches) // size, 1)
            updates = (self._phase + np.arange(start, stop)) // size
            # Rows behind the end are never used: one value does for them.
            updates = np.minimum(updates, total)
            first = updates[0]
            values = [
                finite(name, schedule(k / total))
                for k in range(first, updates[-1] + 1)
            ]
            return np.array(values)[updates - first]

        return rows

    def _check(self, functions: dict[str, Schedule]) -> None:
        for name in functions:
            if name in self._live.schedules:
                raise ValueError(
                    f"`{name}` must be scheduled by one callback. Remove one. "
                    f"Received: callbacks with two schedules for {name}"
                )
        check_schedulable(self._live, functions)


def check_schedulable(live: Live, names: Iterable[str]) -> None:
    """Refuse an optimizer that lacks one of these hyperparameters."""
    for name in names:
        if name not in live.columns:
            raise ValueError(_missing(name, live.optimizer))


def _missing(name: str, optimizer: keras.optimizers.Optimizer) -> str:
    kind = type(optimizer).__name__
    if name == "learning_rate":
        return (
            "The optimizer's learning rate must be a number to be scheduled. "
            f"Compile with a float, such as `{kind}(learning_rate=1e-3)`: the "
            "callback is the schedule. Received: learning_rate="
            f"{optimizer._learning_rate!r}"
        )
    received = f"Received: optimizer={kind}"
    if name == "momentum":
        if hasattr(optimizer, "momentum"):
            received += f" with momentum={optimizer.momentum!r}"
        return (
            "The optimizer must have a momentum to be scheduled. Give it one, "
            "such as `SGD(learning_rate, momentum=0.9)`, or pass "
            f"`momentums=None` to leave it alone. {received}"
        )
    return (
        f"The optimizer must have a `{name}` other than 0 to be scheduled. "
        f"Give it one, or leave `{name}` out. {received}"
    )
