"""Which weights does a recipe end with?"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_fast._keras.unwrap import innermost

__all__ = ["Averages"]


class Averages(keras.callbacks.Callback):
    """Validates and ends with averages of the weights, the best if validated.

    The optimizer computes the averages, see `averaged_updates`. From the first
    validation batch to the next epoch they are the model's weights, so that
    other callbacks save the weights that were validated.

    Args:
        averages: One for each trainable variable; None for no averaging.
        num_epochs: Length of an average in epochs; None for averages that the
            user has requested from the optimizer.
        before: Loss and metrics on the validation data before, if there are
            such data.
    """

    def __init__(
        self,
        averages: Sequence[keras.Variable] | None,
        num_epochs: float | None,
        before: Mapping[str, float],
    ):
        super().__init__()
        self._averages, self._num_epochs = averages, num_epochs
        self._hidden: list[np.ndarray] | None = None
        self._score = _score(before) if before else None
        self.kept = dict(before)  # metrics of the final weights
        self._best: list[np.ndarray] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        model = self.model
        if self._averages is not None and self._num_epochs is not None:
            updates = max(self._num_epochs * self.params["steps"], 1)
            leaf: Any = innermost(model.optimizer)
            # Read when the step is traced, which is at its first batch.
            leaf.ema_momentum = 1 - 1 / updates
        if self._score is not None:
            self._best = model.get_weights()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._hidden is not None:
            _assign(self.model.trainable_variables, self._hidden)
            self._hidden = None

    def on_test_begin(self, logs: Any = None) -> None:
        self._show()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._show()
        seen = {
            name.removeprefix("val_"): value
            for name, value in (logs or {}).items()
            if name.startswith("val_")
        }
        if self._score is not None and seen and _score(seen) > self._score:
            self._score, self._best = _score(seen), self.model.get_weights()
            self.kept = seen

    def on_train_end(self, logs: Any = None) -> None:
        if self._best is not None:
            self.model.set_weights(self._best)

    def save_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """Store the state that `ResumableCheckpoint` saves."""
        if self._score is not None:
            store["score"] = np.array(self._score)
        for name, value in self.kept.items():
            store[f"kept/{name}"] = np.array(value, "float64")
        for name in ("hidden", "best"):
            for i, value in enumerate(getattr(self, f"_{name}") or []):
                store[f"{name}{i}"] = value

    def load_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """Restore the state that `save_own_variables` stored."""
        if "score" in store:
            accuracy, loss = store["score"].tolist()
            self._score = accuracy, loss
        self.kept = {
            key.removeprefix("kept/"): float(value)
            for key, value in store.items()
            if key.startswith("kept/")
        }
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


def _score(metrics: Mapping[str, float]) -> tuple[float, float]:
    """More is better: the accuracy if it is measured, then the loss.

    On few images, the loss of an increasingly confident model rises although
    its accuracy rises too.
    """
    accuracies = [v for name, v in metrics.items() if "acc" in name]
    return (accuracies[0] if accuracies else 0.0), -metrics["loss"]


def _assign(variables: Sequence[keras.Variable], values: Any) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
