"""How do several fits look like one training run to callbacks?"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import keras

from keras_fast._checks import known_length, shown
from keras_fast._keras.batches import has_length, without_validation
from keras_fast._keras.fit import batches_of_this_fit, flattened
from keras_fast.callbacks._neighbours import check_rates
from keras_fast.callbacks._scheduler import Schedule, Scheduler
from keras_fast.callbacks.resumable_checkpoint import ResumableCheckpoint

__all__ = [
    "Between",
    "OneTraining",
    "check_callbacks",
    "check_fit_kwargs",
    "check_length",
    "without_split",
]


class Between(Scheduler):
    """A scheduler for the epochs from `first` to `last` of a training run."""

    def __init__(self, scheduler: Scheduler, first: int, last: int):
        super().__init__(scheduler.optimizer)
        self._scheduler, self._between = scheduler, (first, last)

    def _functions(
        self, num_updates: int, epochs: float | None
    ) -> dict[str, Schedule]:
        start, end = (epoch / (epochs or 1) for epoch in self._between)

        def within(schedule: Schedule) -> Schedule:
            def shifted(progress: float) -> float:
                share = (progress - start) / (end - start)
                return schedule(min(max(share, 0.0), 1.0))

            return shifted

        first, last = self._between
        part = max(round((end - start) * num_updates), 1)
        inner = self._scheduler._functions(part, last - first)
        return {name: within(schedule) for name, schedule in inner.items()}


class OneTraining(keras.callbacks.CallbackList):
    """The user's callbacks, which see several fits as one training run.

    They are told of the beginning of the first fit and of the end of the last.
    Each fit also has its own callbacks, which run before them.

    Args:
        model: The model.
        callbacks: The user's `callbacks`, as in `fit()`.
        history: Records all fits.
        epochs: Epochs of all fits.
        verbose: As in `fit()`.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Any,
        history: keras.callbacks.History,
        epochs: int,
        verbose: Any,
    ):
        given = flattened(callbacks)
        super().__init__(
            [*given, history],
            add_history=True,
            add_progbar=verbose != 0,
            model=model,
            epochs=epochs,
            steps=None,
            verbose=verbose,
        )
        self._given, self._history = self.callbacks, history
        self._checkpoints = [
            each for each in given if isinstance(each, ResumableCheckpoint)
        ]
        self._own: list[keras.callbacks.Callback] = []
        self._epochs = epochs
        self._begun = self._last = self.ended = False

    def fit(
        self,
        first: int,
        last: int,
        *own: keras.callbacks.Callback,
        **fit_kwargs: Any,
    ) -> None:
        """Train from epoch `first` to `last`, with callbacks for this stage."""
        self._own, self._last = list(own), last == self._epochs
        self.callbacks = [*own, *self._given]
        for callback in own:
            callback.set_model(self.model)
        self.model.fit(
            initial_epoch=first, epochs=last, callbacks=self, **fit_kwargs
        )

    def record(self, **values: float) -> None:
        """Add columns to the History, for the epochs of the last stage."""
        for name, value in values.items():
            column = self._history.history.setdefault(name, [])
            column += [value] * (len(self._history.epoch) - len(column))

    @property
    def goes_on(self) -> bool:
        """Whether training has begun and not ended, even between fits."""
        return self._begun and not self.ended

    def is_past(self, epoch: int) -> bool:
        """Whether a checkpoint resumes after the last epoch of this stage.

        At the very end of a stage, the stage runs once more with no epoch
        left: the file has the variables of this stage.
        """
        return any(each._place() > (epoch, 0) for each in self._checkpoints)

    def on_train_begin(self, logs: Any = None) -> None:
        # Keras gives `steps` only to a list that it makes itself.
        steps = batches_of_this_fit()
        self.set_params({**self.params, "steps": steps})
        self._tell(super().on_train_begin, logs, not self._begun)
        if self._begun:
            for each in self._checkpoints:
                each._go_on()
        self._begun = True

    def on_train_end(self, logs: Any = None) -> None:
        self.ended = self._last or self.model.stop_training
        self._tell(super().on_train_end, logs, self.ended)

    def _tell(self, hook: Callable[[Any], None], logs: Any, all_: bool) -> None:
        everyone = self.callbacks
        self.callbacks = everyone if all_ else self._own
        try:
            hook(logs)
        finally:
            self.callbacks = everyone


def check_fit_kwargs(
    fit_kwargs: dict[str, Any],
    refused: Iterable[str],
    why: str = "the recipe sets it for each of its fits",
) -> None:
    """Refuse arguments that `fit()` lacks, and those that a recipe sets."""
    known = inspect.signature(keras.Model.fit).parameters
    for name, value in fit_kwargs.items():
        if name in refused:
            raise ValueError(
                f"`{name}` must not be given: {why}. Leave it out. "
                f"Received: {name}={shown(value)}"
            )
        if name not in known:
            raise TypeError(
                f"`{name}` must be an argument of this function or of `fit()`. "
                f"Check its spelling. Received: {name}={shown(value)}"
            )


def check_callbacks(callbacks: Any) -> None:
    """Refuse callbacks that several fits would make useless or wrong."""
    given = flattened(callbacks)
    check_rates(given)
    if any(isinstance(c, keras.callbacks.BackupAndRestore) for c in given):
        raise ValueError(
            "`callbacks` must not have a BackupAndRestore: it resumes "
            "one `fit()`, and this training has several. Use "
            "`keras_fast.callbacks.ResumableCheckpoint`. Received: callbacks "
            "with BackupAndRestore"
        )


def check_length(recipe: str, x: Any, fit_kwargs: dict[str, Any]) -> None:
    """Refuse data of unknown length, for which no schedule can be made."""
    if not has_length(x):
        known_length(f"`{recipe}`", fit_kwargs.get("steps_per_epoch"))


def without_split(data: dict[str, Any]) -> dict[str, Any]:
    """Arguments of `fit()`, with `validation_data` for `validation_split`.

    Otherwise the head would train on them, and each fit would split again.
    """
    share = data.pop("validation_split", 0)
    if share and data.get("validation_data") is None:
        given = (data["x"], data["y"], data.get("sample_weight"))
        train, data["validation_data"] = without_validation(*given, share)
        data["x"], data["y"], data["sample_weight"] = train
    return data
