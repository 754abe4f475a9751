"""Which epoch is it, and what is its order? For data in memory."""

from typing import Any, Generic, TypeVar

import keras
import numpy as np

from keras_fast._checks import whole
from keras_fast._keras.fit import restarts

__all__ = ["EpochDataset"]

Plan = TypeVar("Plan")


class EpochDataset(keras.utils.PyDataset, Generic[Plan]):
    """Abstract. Batches in an order that depends only on seed and epoch.

    `epoch` is the number of the epoch in progress; it changes when an epoch
    ends, not when one begins: with workers Keras has drawn batches by then.

    Args:
        batch_size: Rows in a batch.
        shuffle: Whether each epoch has its own order.
        seed: Makes the order repeatable; if None, it is drawn from NumPy's
            random state.
        **kwargs: As `keras.utils.PyDataset`.
    """

    def __init__(
        self, batch_size: int, shuffle: bool, seed: int | None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.batch_size = whole("batch_size", batch_size)
        self.shuffle = bool(shuffle)
        if seed is None:
            seed = int(np.random.randint(1 << 31))
        self.seed = whole("seed", seed, 0)
        self.epoch = 0
        self._planned: tuple[Any, Any] = (None, None)

    def _make_plan(self, rng: np.random.Generator | None) -> Plan:
        """The order of an epoch; without `rng`, the order of the texts."""
        raise NotImplementedError

    def _batch(self, plan: Plan, index: int) -> tuple[np.ndarray, ...]:
        raise NotImplementedError

    @property
    def _plan(self) -> Plan:
        """The order of the epoch in progress."""
        epoch = self.epoch if self.shuffle else -1
        known, plan = self._planned
        if known != (epoch, self.seed):
            rng = None
            if self.shuffle:
                rng = np.random.default_rng([self.seed, epoch])
            plan = self._make_plan(rng)
            self._planned = (epoch, self.seed), plan
        return plan

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        if not 0 <= index < len(self):
            raise IndexError(
                "`index` must be that of a batch. Pass one from 0 to "
                f"{len(self) - 1}. Received: index={index}"
            )
        return self._batch(self._plan, index)

    def on_epoch_end(self) -> None:
        if not restarts():
            self.epoch += 1

    # The state that `ResumableCheckpoint` keeps of data.

    def save_own_variables(self, store: dict[str, Any]) -> None:
        store["order"] = np.array([self.seed, self.epoch])

    def load_own_variables(self, store: dict[str, Any]) -> None:
        self.seed, self.epoch = map(int, store["order"])
