"""A learning rate that goes up and down."""

from functools import partial

import keras

from keras_fast._checks import fraction, non_negative, one_of, positive, whole
from keras_fast.callbacks.param_scheduler import ParamScheduler, Schedule
from keras_fast.schedules import triangular

MODES = ("triangular", "triangular2", "exp_range")


class CyclicalLR(ParamScheduler):
    """Moves the learning rate up and down between two bounds.

    Args:
        base_lr: The lower bound, where each cycle starts and ends.
        max_lr: The upper bound.
        step_size: Updates in half a cycle.
        mode: `"triangular"`; `"triangular2"` halves the height after each
            cycle; `"exp_range"` multiplies it by `gamma` at each update.
        gamma: For `"exp_range"`, between 0 and 1.
        optimizer: Which optimizer, where the model has several; if None, the
            one that the model is compiled with.

    Raises:
        ValueError: An argument is out of its range. When `fit()` starts: the
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
        *,
        step_size: int,
        mode: str = "triangular",
        gamma: float = 0.99994,
        optimizer: keras.optimizers.Optimizer | None = None,
    ):
        self.step_size = whole("step_size", step_size)
        self.gamma = fraction("gamma", gamma)
        self._triangular = partial(
            triangular,
            base_lr=non_negative("base_lr", base_lr),
            max_lr=positive("max_lr", max_lr),
            mode=one_of("mode", mode, MODES),
        )
        self._triangular(0.0)  # the bounds must be in order
        super().__init__(optimizer=optimizer, learning_rate=self._triangular)

    def _functions(
        self, num_updates: int, epochs: float | None
    ) -> dict[str, Schedule]:
        schedule = partial(
            self._triangular,
            step_size=self.step_size / num_updates,
            gamma=max(self.gamma**num_updates, 1e-300),
        )
        return {"learning_rate": schedule}
