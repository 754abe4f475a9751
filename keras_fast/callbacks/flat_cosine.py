"""A constant learning rate, then a cosine down."""

from functools import partial

import keras

from keras_fast._checks import at_least, fraction, positive
from keras_fast.callbacks._scheduler import Scheduler
from keras_fast.schedules import flat_cosine


class FlatCosine(Scheduler):
    """Trains at a constant learning rate, then anneals it along a cosine.

    Args:
        max_lr: The learning rate until `pct_start`.
        pct_start: Share of the run after which the annealing starts.
        final_div_factor: The learning rate ends at
            `max_lr / final_div_factor`.
        optimizer: The optimizer to schedule, if the model has several; None
            takes the one it is compiled with.

    Raises:
        ValueError: An argument is out of range. When `fit()` starts: the
            learning rate is a `LearningRateSchedule`, or the length of an
            epoch is unknown.

    Examples:
        >>> from keras_fast.callbacks import FlatCosine
        >>> history = model.fit(x, y, verbose=0, callbacks=[FlatCosine(0.01)])
        >>> FlatCosine(0.01).curve(8)["learning_rate"].round(4)[-3:]
        array([0.01 , 0.01 , 0.005])

    Reference:

    - fastai 2.8, `fit_flat_cos`
    """

    def __init__(
        self,
        max_lr: float,
        *,
        pct_start: float = 0.75,
        final_div_factor: float = 1e5,
        optimizer: keras.optimizers.Optimizer | None = None,
    ):
        super().__init__(
            optimizer=optimizer,
            learning_rate=partial(
                flat_cosine,
                max_lr=positive("max_lr", max_lr),
                pct_start=fraction("pct_start", pct_start),
                final_div_factor=at_least(
                    "final_div_factor", final_div_factor, 1
                ),
            ),
        )
