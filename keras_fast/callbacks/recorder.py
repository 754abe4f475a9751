"""What happened at every update?"""

from typing import Any

import keras
import numpy as np

from keras_fast._keras.fit import callbacks_of_this_fit
from keras_fast._keras.live import attach, values
from keras_fast._keras.loss_tape import ROWS, LossTape, by_update
from keras_fast._keras.optimizers import batches_applied, given_rate
from keras_fast._keras.tensorboard import let_logs_count
from keras_fast._keras.train_step import leave, trace_anew, unwatch, watch
from keras_fast._keras.unwrap import batches_per_update, innermost, stateless
from keras_fast.callbacks._schedulable import optimizer_of, refuse_twice
from keras_fast.callbacks._used_rates import used_rates
from keras_fast.plots import plot_losses, plot_schedule

LearningRateSchedule = keras.optimizers.schedules.LearningRateSchedule
NAMES = ("learning_rate", "momentum")


class Recorder(keras.callbacks.Callback):
    """Records the learning rate, momentum and true loss of every update.

    Keras's `logs["loss"]` is a running mean over the epoch; these are the
    losses themselves. At the end of an epoch the learning rate and momentum
    of its last update are also added to `logs`, so `History` shows them, and so
    do `CSVLogger` and `TensorBoard` placed after this callback. Without it
    `TensorBoard` shows the optimizer's own rate, which no update used.

    Args:
        loss: Which loss to record if `train_step()` is your own and does not
            call `compute_loss()`: the name under which it returns the loss. A
            running mean, as metrics return, is converted to batch losses.
        optimizer: The optimizer to record, if the model has several; None
            takes the one it is compiled with.

    Raises:
        ValueError: When the first batch ends: `train_step()` returns no such
            loss.

    Examples:
        >>> from keras_fast.callbacks import OneCycle, Recorder
        >>> recorder = Recorder()
        >>> callbacks = [OneCycle(0.01), recorder]
        >>> history = model.fit(
        ...     x, y, batch_size=8, verbose=0, callbacks=callbacks
        ... )
        >>> recorder.learning_rates.round(4)
        array([0.0004, 0.01  , 0.0075, 0.0025])
        >>> recorder.losses.shape
        (4,)
    """

    def __init__(
        self,
        *,
        loss: str = "loss",
        optimizer: keras.optimizers.Optimizer | None = None,
    ):
        super().__init__()
        self.loss = loss
        self.optimizer = optimizer
        self._tape: Any = None
        self._trained: Any = None  # the model, while it trains
        self._clear()

    @property
    def learning_rates(self) -> np.ndarray:
        """The learning rate of each update, (n,) float64.

        If the optimizer caps the rate or warms it up, as `Adafactor` and
        `ScheduleFreeAdamW` do, this is the resulting rate. It is NaN if the
        train step does not use the optimizer, or if the optimizer's class
        overrides how Keras's optimizers determine the rate.
        """
        return self._by_update("learning_rate")

    @property
    def momentums(self) -> np.ndarray:
        """`momentum` or `beta_1` of each update, NaN if there is none."""
        return self._by_update("momentum")

    @property
    def losses(self) -> np.ndarray:
        """The loss of each update, (n,) float64."""
        return self._by_update("loss")

    def plot(self, ax: Any = None) -> Any:
        """Draw the losses and return the matplotlib `Axes`."""
        return plot_losses(self.losses, ax=ax)

    def plot_schedule(self, ax: Any = None) -> Any:
        """Draw learning rate and momentum and return the `Axes`."""
        recorded = {name: self._by_update(name) for name in NAMES}
        drawn = {
            name: array
            for name, array in recorded.items()
            if not np.isnan(array).all()
        }
        return plot_schedule(drawn, ax=ax)

    def __getstate__(self) -> dict[str, Any]:
        """The attributes except those of a running `fit()`."""
        self._take()
        kept = {
            "_model": None,
            "_tape": None,
            "_live": None,
            "_optimizer": None,
        }
        return self.__dict__ | kept | {"_trained": None}

    def on_train_begin(self, logs: Any = None) -> None:
        model = self.model
        refuse_twice(self)
        if self._tape is not None:  # an exception ended that `fit()`
            self._end()
        optimizer = optimizer_of(model, self.optimizer)
        self._trained, self._optimizer = model, innermost(optimizer)
        known = "_live" in self._optimizer.__dict__
        self._live = attach(optimizer)
        self._tape = LossTape.of(model, self.loss)
        if not known:
            trace_anew(model)
        self._start = self._read = self._tape.end()
        self._size = batches_per_update(self._optimizer)
        self._steps_per_execution = model.steps_per_execution
        self._clear()
        for each in callbacks_of_this_fit():
            if isinstance(each, keras.callbacks.TensorBoard):
                let_logs_count(each, NAMES)
        watch(model, self, self._on_other_training, first=True)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        before, self._steps = self._steps, self.params["steps"]
        if self._batch is not None and self._steps != before:
            # Another stage of a recipe: its schedules begin here.
            self._batch = epoch * self._steps
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        if self._batch is None:  # the first of this fit
            self._batch = self._epoch * (self.params["steps"] or 0) + batch
            done = batches_applied(self._optimizer)
            self._phase = done % self._size
        if self._is_away:
            self._read = self._tape.end()
            self._is_away = False
        # On JAX the optimizer has its variables only at the first batch.
        if not (stateless() and self._rates):
            self._rate = self._own_rate()
        self._rates += [self._rate] * self._steps_per_execution

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._start is not None:
            self._tape.check(self._start)
            self._start = None
        self._waiting += self._steps_per_execution
        if self._waiting + self._steps_per_execution > ROWS:
            self._take()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._take()
        if logs is None:
            return
        for name in NAMES:
            last = self._batches[name][-1:]
            if len(last) and not np.isnan(last[0]):
                logs[name] = float(last[0])

    def on_train_end(self, logs: Any = None) -> None:
        self._take()
        self._end()

    def _on_other_training(self, within: bool) -> None:
        self._take()
        self._is_away = True  # from now on the tape is of that training
        if not within:
            leave(self._trained, self._tape)
            self._end()

    def _end(self) -> None:
        unwatch(self._trained, self)
        self._tape = self._trained = None

    def _clear(self) -> None:
        self._batch = self._steps = None
        self._is_away = False
        self._waiting = self._phase = 0
        self._rates: list[float] = []
        self._batches = {name: np.empty(0) for name in (*NAMES, "loss")}

    def _take(self) -> None:
        if self._tape is None or self._batch is None or self._is_away:
            return
        self.model  # noqa: B018  on JAX this brings the variables up to date
        losses = self._tape.since(self._read)
        if not len(losses):
            return
        start, stop = self._batch, self._batch + len(losses)
        new = {name: self._used(name, start, stop) for name in NAMES}
        for name, array in (new | {"loss": losses}).items():
            self._batches[name] = np.append(self._batches[name], array)
        self._batch, self._waiting = stop, 0
        self._read, self._rates = self._tape.end(), []

    def _used(self, name: str, start: int, stop: int) -> np.ndarray:
        """The values that the updates of these batches used."""
        count = stop - start
        if not self._live.called:
            return np.full(count, np.nan)
        scheduled = name in self._live.schedules
        if name == "momentum" and not scheduled:
            # As traced: a value set later does not reach the step.
            return np.full(count, self._tape.momentums[id(self._optimizer)])
        done = batches_applied(self._optimizer)
        batches = np.arange(done - count, done)
        if scheduled:
            given = values(self._optimizer, name, start, stop)
        elif isinstance(given_rate(self._optimizer), keras.Variable):
            given = np.array(self._rates[:count])
        else:
            schedule = given_rate(self._optimizer)
            given = np.array([_at(schedule, k) for k in batches])
        if name == "momentum":
            return given
        return used_rates(self._optimizer, given, batches // self._size)

    def _own_rate(self) -> float:
        rate = given_rate(self._optimizer)
        return float(rate.numpy()) if isinstance(rate, keras.Variable) else 0.0

    def _by_update(self, name: str) -> np.ndarray:
        self._take()
        if self._batch is None:
            return self._batches[name]
        return by_update(self._batches[name], self._size, self._phase)


def _at(schedule: Any, iteration: int) -> float:
    """The value of a `LearningRateSchedule` or of a plain function."""
    takes = isinstance(schedule, LearningRateSchedule)
    return float(schedule(iteration) if takes else schedule())
