"""Which weights does a recipe end with?"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_fast._unwrap import innermost

__all__ = ["Averages"]


class Averages(keras.callbacks.Callback):
    """Validates and ends with averages of the weights, the best if validated.

    The optimizer makes the averages, see `averaged_updates`. From the first
    batch of validation to the next epoch they are the model's weights, so that
    other callbacks save what was validated.

    Args:
        averages: One for each variable that trains; None for no averaging.
        num_epochs: Number of updates that an average is over, in epochs; None
            for averages that the user has asked the optimizer for.
        best: The lowest validation loss before, or None without validation.
    """

    def __init__(
        self,
        averages: Sequence[keras.Variable] | None,
        num_epochs: float | None,
        best: float | None = None,
    ):
        super().__init__()
        self._averages, self._num_epochs = averages, num_epochs
        self._hidden: list[np.ndarray] | None = None
        self._lowest, self._best = best, None

    def on_train_begin(self, logs: Any = None) -> None:
        model = self.model
        if self._averages is not None and self._num_epochs is not None:
            updates = max(self._num_epochs * self.params["steps"], 1)
            leaf: Any = innermost(model.optimizer)
            # Read when the step is traced, which is at its first batch.
            leaf.ema_momentum = 1 - 1 / updates
        if self._lowest is not None:
            self._best = model.get_weights()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._hidden is not None:
            _assign(self.model.trainable_variables, self._hidden)
            self._hidden = None

    def on_test_begin(self, logs: Any = None) -> None:
        self._show()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._show()
        loss = (logs or {}).get("val_loss")
        if loss is None or self._lowest is None:
            return
        if loss < self._lowest:
            self._lowest, self._best = loss, self.model.get_weights()

    def on_train_end(self, logs: Any = None) -> None:
        if self._best is not None:
            self.model.set_weights(self._best)

    def save_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """`ResumableCheckpoint` asks for what there is to save."""
        if self._lowest is not None:
            store["lowest"] = np.array(self._lowest)
        for name in ("hidden", "best"):
            for i, value in enumerate(getattr(self, f"_{name}") or []):
                store[f"{name}{i}"] = value

    def load_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """Take what `save_own_variables` gave."""
        if "lowest" in store:
            self._lowest = float(store["lowest"])
        for name in ("hidden", "best"):
            count = sum(key.startswith(name) for key in store)
            values = [np.array(store[f"{name}{i}"]) for i in range(count)]
            setattr(self, f"_{name}", values or None)

    def _show(self) -> None:
        """Put the averages into the model."""
        if self._averages is None or self._hidden is not None:
            return
        trained = self.model.trainable_variables
        self._hidden = [np.array(v.numpy()) for v in trained]
        _assign(trained, [v.numpy() for v in self._averages])


def _assign(variables: Sequence[keras.Variable], values: Any) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
