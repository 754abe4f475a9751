"""The slanted triangle of ULMFiT."""

from functools import partial

import keras

from keras_fast._checks import at_least, fraction, positive
from keras_fast.callbacks._scheduler import Scheduler
from keras_fast.schedules import slanted_triangular


class SlantedTriangular(Scheduler):
    """Raises the learning rate fast, then lowers it slowly, in straight lines.

    Args:
        max_lr: The peak learning rate.
        cut_frac: Share of the run that the rise takes.
        ratio: The learning rate starts and ends at `max_lr / ratio`.
        optimizer: The optimizer to schedule, if the model has several; None
            takes the one it is compiled with.

    Raises:
        ValueError: An argument is out of range. When `fit()` starts: the
            learning rate is a `LearningRateSchedule`, or the length of an
            epoch is unknown.

    Examples:
        >>> from keras_fast.callbacks import SlantedTriangular
        >>> scheduler = SlantedTriangular(0.32)
        >>> scheduler.curve(10)["learning_rate"].round(3)[:3]
        array([0.01 , 0.32 , 0.286])

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    """

    def __init__(
        self,
        max_lr: float,
        *,
        cut_frac: float = 0.1,
        ratio: float = 32,
        optimizer: keras.optimizers.Optimizer | None = None,
    ):
        super().__init__(
            optimizer=optimizer,
            learning_rate=partial(
                slanted_triangular,
                max_lr=positive("max_lr", max_lr),
                cut_frac=fraction("cut_frac", cut_frac),
                ratio=at_least("ratio", ratio, 1),
            ),
        )
