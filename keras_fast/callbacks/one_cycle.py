"""1cycle: the learning rate rises, then falls, and momentum mirrors it."""

from functools import partial

import keras

from keras_fast._checks import (
    at_least,
    fraction,
    one_of,
    positive,
    share,
    shown,
)
from keras_fast.callbacks._scheduler import Scheduler
from keras_fast.schedules import cosine, join, linear, one_cycle


class OneCycle(Scheduler):
    """Trains with one cycle of the learning rate and momentum.

    The learning rate rises from `max_lr / div_factor` to `max_lr`, then falls
    to `max_lr / final_div_factor`. Momentum mirrors it. The cycle spans all
    epochs of the `fit()` that gets the callback.

    Args:
        max_lr: The peak learning rate, such as `keras_fast.lr_find` suggests.
        pct_start: Share of the run that the rise takes, between 0 and 1.
        div_factor: The learning rate starts at `max_lr / div_factor`.
        final_div_factor: It ends at `max_lr / final_div_factor`.
        momentums: Momentum at the start, at the peak and at the end. This is
            `momentum` of SGD and RMSprop, and `beta_1` of the Adam family.
            None leaves it unchanged.
        anneal: Shape of the rise and the fall, `"cosine"` or `"linear"`.
        optimizer: The optimizer to schedule, if the model has several; None
            takes the one it is compiled with.

    Raises:
        ValueError: An argument is out of range. When `fit()` starts:
            `momentums` are given and the optimizer has no momentum, its
            learning rate is a `LearningRateSchedule`, or the length of an
            epoch is unknown.

    Examples:
        >>> from keras_fast.callbacks import OneCycle
        >>> history = model.fit(x, y, verbose=0, callbacks=[OneCycle(0.01)])
        >>> OneCycle(0.01).curve(4)["learning_rate"].round(4)
        array([0.0004, 0.01  , 0.0075, 0.0025])

    Reference:

    - [Smith, 2018](https://arxiv.org/abs/1803.09820)
    - fastai 2.8, `fit_one_cycle`
    """

    def __init__(
        self,
        max_lr: float,
        *,
        pct_start: float = 0.25,
        div_factor: float = 25.0,
        final_div_factor: float = 1e5,
        momentums: tuple[float, float, float] | None = (0.95, 0.85, 0.95),
        anneal: str = "cosine",
        optimizer: keras.optimizers.Optimizer | None = None,
    ):
        one_of("anneal", anneal, ("cosine", "linear"))
        functions = {
            "learning_rate": partial(
                one_cycle,
                max_lr=positive("max_lr", max_lr),
                pct_start=fraction("pct_start", pct_start),
                div_factor=at_least("div_factor", div_factor, 1),
                final_div_factor=at_least(
                    "final_div_factor", final_div_factor, 1
                ),
                anneal=anneal,
            )
        }
        if momentums is not None:
            start, peak, end = _three(momentums)
            shape = cosine if anneal == "cosine" else linear
            functions["momentum"] = join(
                (pct_start, 1 - pct_start),
                (
                    partial(shape, start=start, end=peak),
                    partial(shape, start=peak, end=end),
                ),
            )
        super().__init__(optimizer, **functions)


def _three(momentums: tuple[float, float, float]) -> list[float]:
    if not isinstance(momentums, tuple | list) or len(momentums) != 3:
        raise ValueError(
            "`momentums` must be three numbers: at the start, at the peak and "
            "at the end. Pass e.g. (0.95, 0.85, 0.95), or None to leave "
            f"momentum alone. Received: momentums={shown(momentums)}"
        )
    return [share("momentums", value, 0.9) for value in momentums]
