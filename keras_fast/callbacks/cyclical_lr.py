"""A learning rate that goes up and down."""

from functools import partial

import keras

from keras_fast._checks import (
    at_least,
    between,
    non_negative,
    one_of,
    positive,
)
from keras_fast.callbacks._scheduler import Schedule, Scheduler
from keras_fast.schedules import triangular
from keras_fast.schedules.anneal import mix

MODES = ("triangular", "triangular2", "exp_range")


class CyclicalLR(Scheduler):
    """Moves the learning rate up and down between two bounds.

    Each `fit()` starts a new cycle. To spread one training run over several
    calls of `fit()` with equal numbers of batches, tell each call which part
    it is: with `initial_epoch=part, epochs=part + 1` the cycles continue.

    Args:
        base_lr: The lower bound, where each cycle starts and ends.
        max_lr: The upper bound.
        step_size: Updates in half a cycle, at least 1; may be a fraction.
        mode: `"triangular"`; `"triangular2"` halves the height after each
            cycle; `"exp_range"` multiplies it by `gamma` at each update.
        gamma: For `"exp_range"`, above 0 and at most 1.
        optimizer: The optimizer to schedule, if the model has several; None
            takes the one it is compiled with.

    Raises:
        ValueError: An argument is out of range. When `fit()` starts: the
            learning rate is a `LearningRateSchedule`, or the length of an
            epoch is unknown.

    Examples:
        >>> from keras_fast.callbacks import CyclicalLR
        >>> CyclicalLR(1.0, 3.0, step_size=2).curve(5)["learning_rate"]
        array([1., 2., 3., 2., 1.])

    Reference:

    - [Smith, 2017](https://arxiv.org/abs/1506.01186)
    """

    def __init__(
        self,
        base_lr: float,
        max_lr: float,
        step_size: float,
        *,
        mode: str = "triangular",
        gamma: float = 0.99994,
        optimizer: keras.optimizers.Optimizer | None = None,
    ):
        self.base_lr = non_negative("base_lr", base_lr)
        self.step_size = at_least("step_size", step_size, 1)
        self.mode = one_of("mode", mode, MODES)
        self.gamma = positive("gamma", between("gamma", gamma, 0, 1))
        self._triangular = partial(
            triangular,
            base_lr=self.base_lr,
            max_lr=positive("max_lr", max_lr),
            mode=self.mode,
        )
        self._triangular(0.0)  # the bounds must be in order
        super().__init__(optimizer, learning_rate=self._triangular)

    def _functions(
        self, num_updates: int, epochs: float | None
    ) -> dict[str, Schedule]:
        wave = partial(self._triangular, step_size=self.step_size / num_updates)

        def decaying(progress: float) -> float:
            # Per update: over a long run the height underflows to 0, and its
            # rate of decay would be lost.
            height = self.gamma ** (progress * num_updates)
            return mix(height, self.base_lr, wave(progress))

        decays = self.mode == "exp_range"
        return {"learning_rate": decaying if decays else wave}
