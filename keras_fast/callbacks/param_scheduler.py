"""Hyperparameters that follow functions of your own."""

import keras

from keras_fast._checks import function
from keras_fast.callbacks._scheduler import Schedule, Scheduler

NAMES = ("learning_rate", "momentum", "beta_2", "weight_decay")


class ParamScheduler(Scheduler):
    """Sets hyperparameters of the optimizer at every update.

    Each hyperparameter follows a function of progress: update k of n is at
    k / n. The values are read inside the compiled train step, so they are
    exact with `steps_per_execution`, `jit_compile`, gradient accumulation,
    `mixed_float16` and `tf.distribute`. After `fit()` the optimizer gets its
    own hyperparameters back.

    Epochs must have a known length. If Keras can't know it, declare it with
    `tf.data.experimental.assert_cardinality`, or repeat the data endlessly and
    pass `steps_per_epoch` to `fit()`. With `initial_epoch` and after
    `BackupAndRestore` the schedule continues where that epoch starts.

    A step of the schedule is a batch, even if your own `train_step()` updates
    several times a batch, or only every few batches. Training within a
    callback, or in a loop of your own, uses the optimizer's own
    hyperparameters.

    Args:
        optimizer: The optimizer to schedule, if the model has several; None
            takes the one it is compiled with.
        **schedules: `learning_rate`, `momentum`, `beta_2` or `weight_decay`,
            each a function of progress that returns a float. `momentum` is
            `momentum` of SGD and RMSprop, and `beta_1` of the Adam family;
            `beta_2` is `rho` of RMSprop and Adadelta.

    Raises:
        ValueError: There is no schedule, or a name is unknown. When `fit()`
            starts: the optimizer has no such hyperparameter, its learning rate
            is a `LearningRateSchedule`, it would use another rate than the
            schedule's, the length of an epoch is unknown, or the model does
            not have, or does not use, the optimizer.
        TypeError: A schedule can't be called.

    Examples:
        >>> from functools import partial
        >>> from keras_fast.callbacks import ParamScheduler
        >>> from keras_fast.schedules import linear
        >>> scheduler = ParamScheduler(
        ...     learning_rate=partial(linear, start=1e-2, end=0.0)
        ... )
        >>> history = model.fit(x, y, verbose=0, callbacks=[scheduler])
        >>> scheduler.curve(4)["learning_rate"]
        array([0.01  , 0.0075, 0.005 , 0.0025])

    Reference:

    - fastai 2.8, `ParamScheduler`
    """

    def __init__(
        self,
        *,
        optimizer: keras.optimizers.Optimizer | None = None,
        **schedules: Schedule,
    ):
        unknown = sorted(set(schedules) - set(NAMES))
        if unknown or not schedules:
            raise ValueError(
                f"Schedules must be given for some of {', '.join(NAMES)}. "
                "Pass each as a function of progress, such as "
                "`learning_rate=lambda progress: 0.1 * (1 - progress)`. "
                f"Received: schedules={unknown or schedules}"
            )
        for name, schedule in schedules.items():
            function(name, schedule)
        super().__init__(optimizer, **schedules)
