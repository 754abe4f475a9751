"""Hyperparameters that follow functions of your own."""

import keras

from keras_fast._checks import function
from keras_fast.callbacks._scheduler import Schedule, Scheduler

NAMES = ("learning_rate", "momentum", "beta_2", "weight_decay")


class ParamScheduler(Scheduler):
    """Sets hyperparameters of the optimizer anew at every update.

    Each hyperparameter follows a function of progress: update k of n is at
    k / n. The values are read inside of the compiled train step, so they are
    exact with `steps_per_execution`, `jit_compile`, gradient accumulation,
    `mixed_float16` and `tf.distribute`. After `fit()` the optimizer has its
    own hyperparameters back.

    An epoch must have a known length; where Keras can't know it, say it with
    `tf.data.experimental.assert_cardinality`, or repeat the data without end
    and pass `steps_per_epoch` to `fit()`. With `initial_epoch` and after
    `BackupAndRestore` the schedule goes on where that epoch starts.

    A step of a training is a batch, also where `train_step()` is your own and
    updates several times a batch, or every few batches. What trains within a
    callback, or in a loop of your own, uses the optimizer's own
    hyperparameters.

    Args:
        optimizer: Which optimizer, where the model has several; if None, the
            one that the model is compiled with.
        **schedules: `learning_rate`, `momentum`, `beta_2` or `weight_decay`,
            each a function of progress that returns a float. `momentum` is
            `momentum` of SGD and RMSprop, and `beta_1` of the Adam family;
            `beta_2` is `rho` of RMSprop and Adadelta.

    Raises:
        ValueError: No schedule, or an unknown name. When `fit()` starts: the
            optimizer has no such hyperparameter, its learning rate is a
            `LearningRateSchedule`, it would use another rate than that of the
            schedule, the length of an epoch is unknown, or the model does not
            have, or does not use, the optimizer.
        TypeError: A schedule that can't be called.

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
