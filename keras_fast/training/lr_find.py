"""Find the learning rate, and leave the model unchanged."""

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from typing import Any

import keras

from keras_fast._checks import compiled, given, no_batch, verbosity, whole
from keras_fast._keras.batches import is_one_shot
from keras_fast._keras.fit import flattened
from keras_fast._keras.progress import OneBar
from keras_fast._keras.state import preserved
from keras_fast._keras.unwrap import batches_per_update
from keras_fast.callbacks import (
    LRFinder,
    ResumableCheckpoint,
    SnapshotEnsemble,
)
from keras_fast.callbacks._schedulable import optimizer_of
from keras_fast.callbacks.lr_finder import LRFinderResult
from keras_fast.training._phases import check_fit_kwargs
from keras_fast.training._sweep import keep, reuse

# The sweep sets these itself, or has no use for them.
WHY = "the sweep runs for `num_steps` updates of training alone"
REFUSED = (
    "epochs",
    "initial_epoch",
    "validation_data",
    "validation_split",
    "validation_steps",
    "validation_batch_size",
    "validation_freq",
)

SAVING = (
    keras.callbacks.BackupAndRestore,
    keras.callbacks.ModelCheckpoint,
    ResumableCheckpoint,
    SnapshotEnsemble,
)

# Warnings of Keras that do not apply to a sweep.
EXPECTED = ("Your input ran out of data", "`shuffle=True` was passed")


def lr_find(
    model: keras.Model,
    x: Any = None,
    y: Any = None,
    *,
    start_lr: float = 1e-7,
    end_lr: float = 10.0,
    num_steps: int = 100,
    stop_factor: float = 4.0,
    loss: str = "loss",
    optimizer: keras.optimizers.Optimizer | None = None,
    **fit_kwargs: Any,
) -> LRFinderResult:
    """Sweep the learning rate, suggest one, and leave the model unchanged.

    The model trains for `num_steps` updates while the rate grows from
    `start_lr` to `end_lr`. Then everything is restored, bit for bit: weights,
    statistics, the optimizer's state, loss scale, metrics, random state,
    `stop_training`, `history` and compiled functions. The same happens after
    an exception, Ctrl-C or NaN. A model that is not built gets built.

    Args:
        model: A compiled model.
        x: Training data, as accepted by `fit()`. Data shorter than the sweep is
            repeated; for that, the batches of a generator are kept, and the
            generator has lost them afterwards.
        y: Targets, as in `fit()`.
        start_lr: First learning rate.
        end_lr: Last learning rate.
        num_steps: Updates in the sweep.
        stop_factor: Stop when the smoothed loss exceeds its lowest value by
            this factor.
        loss: Which loss to record if `train_step()` is your own and does not
            call `compute_loss()`: the name under which it returns the loss. A
            running mean, as metrics return, is converted to batch losses.
        optimizer: The optimizer to sweep, if the model has several; None
            takes the one it is compiled with.
        **fit_kwargs: Passed on to `fit()`: `batch_size`, `sample_weight`,
            `class_weight`, `steps_per_epoch`, `callbacks`, ... `verbose=1`
            shows one bar over the sweep; without it nothing is shown.

    Returns:
        An `LRFinderResult`.

    Raises:
        ValueError: An argument is out of range, the model is not
            compiled, there is no data, an argument of `fit()` makes no sense
            here, or `train_step()` has no such loss or does not use the
            optimizer.

    Examples:
        >>> result = keras_fast.lr_find(model, x, y, batch_size=16)
        >>> result.learning_rates.shape == result.losses.shape
        True
        >>> ax = result.plot()

    Reference:

    - [Smith, 2017](https://arxiv.org/abs/1506.01186)
    - fastai 2.8, `lr_find`
    """
    finder = LRFinder(
        start_lr,
        end_lr,
        num_steps=num_steps,
        stop_factor=stop_factor,
        loss=loss,
        optimizer=optimizer,
    )
    compiled(model)
    _check(x, fit_kwargs)
    swept = optimizer_of(model, optimizer)
    batches = num_steps * batches_per_update(swept)
    callbacks = [finder, *flattened(fit_kwargs.pop("callbacks", None))]
    _check_callbacks(callbacks)
    if verbose := verbosity(fit_kwargs.pop("verbose", 0)):
        callbacks.append(OneBar(batches, verbose))
    # Enough for one batch per epoch: the finder stops training.
    fit_kwargs |= {"epochs": batches, "callbacks": callbacks, "verbose": 0}
    return _swept(model, finder, x, y, fit_kwargs)


def _swept(
    model: keras.Model, finder: LRFinder, x: Any, y: Any, fit_kwargs: dict
) -> LRFinderResult:
    """Run `fit()` with this finder, without a trace; return its result."""
    batch = None
    if is_one_shot(x):
        batch, x = _endless(x)
    with preserved(model, batch, x=x, y=y, **fit_kwargs), _without_warnings():
        parts = reuse(model)
        model.fit(x, y, **fit_kwargs)
        result, kept = finder.result, keep(model, parts)
    model.__dict__.update(kept)
    if not len(result.losses) and result.stop_reason == "stopped":
        raise no_batch(f"x={type(x).__name__}")
    return result


def _check(x: Any, fit_kwargs: dict[str, Any]) -> None:
    given(x)
    check_fit_kwargs(fit_kwargs, REFUSED, WHY)
    for name in ("batch_size", "steps_per_epoch"):
        if fit_kwargs.get(name) is not None:
            whole(name, fit_kwargs[name])


def _check_callbacks(callbacks: list[keras.callbacks.Callback]) -> None:
    for each in callbacks:
        if isinstance(each, SAVING):
            name = type(each).__name__
            raise ValueError(
                "`callbacks` must not save a training: a sweep would take the "
                f"place of yours in its file. Leave out {name}. Received: "
                f"callbacks with {name}"
            )


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message)
        yield


def _endless(batches: Iterator[Any]) -> tuple[Any, Iterator[Any]]:
    """The first batch, and an endless repetition of all batches."""
    seen = list(itertools.islice(batches, 1))
    if not seen:
        raise ValueError(
            "`x` must have at least one batch. Make a new generator: this one "
            f"has ended. Received: x={batches!r}"
        )

    def repeated() -> Iterator[Any]:
        yield seen[0]
        for batch in batches:
            seen.append(batch)
            yield batch
        while True:
            yield from seen

    return seen[0], repeated()
