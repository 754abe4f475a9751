"""When should training in cycles stop?"""

from typing import Any

import keras
import numpy as np

from keras_fast._checks import non_negative, one_of, string, whole
from keras_fast._keras.fit import callbacks_of_this_fit, is_validated
from keras_fast.callbacks._neighbours import check_ends
from keras_fast.callbacks.sgdr import SGDR


class CycleStopping(keras.callbacks.EarlyStopping):
    """Stops at the end of a cycle of `SGDR`, and keeps the best cycle.

    Train until the model overfits: give `fit()` more epochs than it needs, and
    it ends when a cycle has not improved on the best one so far. Within a
    cycle the loss rises and falls with the learning rate, so its changes mean
    little. Keras's `EarlyStopping` judges them too, and may end a cycle before
    its rate is low.

    Use it together with `SGDR`, whose cycles must end with epochs. With
    `ResumableCheckpoint` after it, training resumes after an interruption.

    Args:
        monitor: Name of the epoch log to monitor.
        min_delta: A smaller change does not count as an improvement.
        patience: Number of cycles without improvement after which to stop.
        mode: `"min"` or `"max"`, whether less or more is better; `"auto"`
            lets Keras decide.
        restore_best_weights: Whether the model gets the weights of the best
            cycle when training ends, with the statistics of
            BatchNormalization.

    Raises:
        ValueError: An argument is out of range. When `fit()` starts: there is
            no `SGDR`, a cycle ends within an epoch, there is no
            `validation_data` to monitor, another callback decides which
            weights training ends with, or a `BackupAndRestore` would forget
            the best cycle. At the end of a cycle: `monitor` is not in the
            logs.

    Examples:
        >>> from keras_fast.callbacks import SGDR, CycleStopping
        >>> stopping = CycleStopping()
        >>> history = model.fit(
        ...     x,
        ...     y,
        ...     epochs=SGDR.num_epochs(5, cycle_mult=2),
        ...     validation_data=(x, y),
        ...     verbose=0,
        ...     callbacks=[SGDR(0.01, cycle_mult=2), stopping],
        ... )
        >>> 0 <= stopping.best_cycle < 5
        True
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        min_delta: float = 0,
        patience: int = 1,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ):
        super().__init__(
            string("monitor", monitor),
            min_delta=non_negative("min_delta", min_delta),
            patience=whole("patience", patience),
            mode=one_of("mode", mode, ("auto", "min", "max")),
            restore_best_weights=restore_best_weights,
        )
        self.best_epoch = 0

    @property
    def best_cycle(self) -> int:
        """The cycle that was best so far; cycles count from 0."""
        return self.best_epoch

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        given = callbacks_of_this_fit()
        cycles = next((c for c in given if isinstance(c, SGDR)), None)
        if cycles is None:
            raise ValueError(
                "`CycleStopping` must be used with `SGDR`, whose cycles it "
                "follows. Pass `callbacks=[SGDR(...), CycleStopping(...)]`. "
                "Received: callbacks without SGDR"
            )
        for end in cycles._cycle_ends(self.params["epochs"]):
            if abs(end - round(end)) > 1e-9:
                raise ValueError(
                    "Cycles must end with epochs for `CycleStopping`, which "
                    "watches the logs of an epoch. Pass whole numbers as "
                    "`cycle_len` and `cycle_mult`. Received: a cycle that "
                    f"ends after {end:.6g} epochs"
                )
        check_ends(given, teller=cycles)
        if any(isinstance(c, keras.callbacks.BackupAndRestore) for c in given):
            raise ValueError(
                "`callbacks` must not have a BackupAndRestore beside "
                "`CycleStopping`: it would forget the best cycle. Use "
                "`keras_fast.callbacks.ResumableCheckpoint`. Received: "
                "callbacks with BackupAndRestore"
            )
        if self.monitor.startswith("val_") and not is_validated():
            raise ValueError(
                f"`fit()` must have `validation_data` for {self.monitor!r} to "
                "be monitored. Pass them, or another `monitor`. Received: "
                "validation_data=None"
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Do nothing: the end of a cycle is judged instead."""

    def on_cycle_end(self, cycle: int, logs: Any = None) -> None:
        """`SGDR` calls this at the end of each cycle."""
        if self.monitor not in (logs or {}):
            raise ValueError(
                "`monitor` must be in the logs at the end of a cycle. Pass "
                f"one of {', '.join(logs or {})}, or `validation_freq=1` to "
                "`fit()`. "
                f"Received: monitor={self.monitor!r}"
            )
        super().on_epoch_end(cycle, logs)

    def save_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """Store the state that `ResumableCheckpoint` saves."""
        if self.best is not None:
            numbers = (self.best, self.best_epoch, self.wait)
            store["numbers"] = np.array(numbers, "float64")
        for i, weight in enumerate(self.best_weights or []):
            store[f"weight/{i}"] = weight

    def load_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """Restore the state that `save_own_variables` stored."""
        if "numbers" not in store:
            return
        self.best, best_cycle, wait = store["numbers"].tolist()
        self.best_epoch, self.wait = int(best_cycle), int(wait)
        if self.restore_best_weights:
            count = len(store) - 1
            self.best_weights = [store[f"weight/{i}"] for i in range(count)]
