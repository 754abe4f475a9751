"""Train on small images first, then on larger ones."""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_fast._checks import compiled, function, positive, several, whole
from keras_fast._keras.fit import flattened
from keras_fast.callbacks import OneCycle, ResumableCheckpoint
from keras_fast.training._phases import (
    Between,
    OneTraining,
    check_callbacks,
    check_fit_kwargs,
    check_length,
)
from keras_fast.training.lr_find import lr_find

__all__ = ["progressive_resizing"]

# Arguments of `fit()` that are passed to the sweep.
FINDER = (
    "batch_size",
    "class_weight",
    "sample_weight",
    "shuffle",
    "steps_per_epoch",
    "x",
    "y",
)


def progressive_resizing(
    model: keras.Model,
    data: Callable[[int], Any],
    *,
    sizes: Sequence[int],
    epochs: int | Sequence[int],
    max_lr: float | Sequence[float] | None = None,
    validation_data: Callable[[int], Any] | Any = None,
    **fit_kwargs: Any,
) -> keras.callbacks.History:
    """Train a model on larger and larger images.

    Small images take a fraction of the time, and what the model learns from
    them helps with large ones. For each size `lr_find` finds a new rate, then
    the model trains with 1cycle. It must take images of any size, as those of
    `keras_fast.models.image_classifier` do.

    Args:
        model: A compiled model.
        data: Function of a size in pixels that returns data for `fit()`: a
            dataset, (x, y) or (x, y, sample_weight).
        sizes: Sizes in pixels, in their order, such as (96, 128, 224).
        epochs: Epochs at each size, or a number for each.
        max_lr: Peak learning rate, or one for each size. None takes the rate
            that `lr_find` suggests.
        validation_data: As accepted by `fit()`, or a function of the size.
        **fit_kwargs: Other arguments of `fit()`. Epochs are numbered across
            sizes.

    Returns:
        One History over all sizes. Besides the metrics it has `image_size` and
        `max_lr` for each epoch.

    Raises:
        ValueError: An argument is out of range, the number of epochs or rates
            is not that of sizes, the model does not take images of a size, the
            finder suggests no rate, or there is a `BackupAndRestore`, or a
            `ResumableCheckpoint` and no `max_lr`.
        TypeError: `data` is not a function, or returns nothing.

    Examples:
        >>> from keras_fast import models, progressive_resizing
        >>> images = np.zeros((8, 64, 64, 3), "uint8")
        >>> labels = np.arange(8) % 2
        >>> def resized(size):
        ...     return keras.layers.Resizing(size, size)(images), labels
        >>> base = keras.Sequential(
        ...     [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3)]
        ... )
        >>> classifier = models.image_classifier(base, num_classes=2)
        >>> classifier.compile("adam", "sparse_categorical_crossentropy")
        >>> history = progressive_resizing(
        ...     classifier,
        ...     resized,
        ...     sizes=(16, 32),
        ...     epochs=1,
        ...     max_lr=1e-3,
        ...     verbose=0,
        ... )
        >>> history.history["image_size"]
        [16, 32]

    Reference:

    - fastai 0.7, `learn.set_data(get_data(size))`
    - [Howard, 2018](https://www.fast.ai/posts/2018-08-10-fastai-diu-imagenet.html)
    """
    compiled(model)
    function("data", data)
    plan = _plan(sizes, epochs, max_lr)
    _check_fit(fit_kwargs, plan)
    _check_sizes(model, [size for size, _, _ in plan])
    history = keras.callbacks.History()
    training = OneTraining(
        model,
        fit_kwargs.pop("callbacks", None),
        history,
        sum(length for _, length, _ in plan),
        fit_kwargs.get("verbose", "auto"),
    )
    last = 0
    for size, length, rate in plan:
        first, last = last, last + length
        if training.is_past(last):
            continue
        given = fit_kwargs | _unpacked(data(size), size, fit_kwargs)
        rate = rate or _found(model, given)
        valid = validation_data
        given["validation_data"] = valid(size) if callable(valid) else valid
        cycle = Between(OneCycle(rate), first, last)
        training.fit(first, last, cycle, **given)
        training.record(image_size=size, max_lr=rate)
        if training.ended:
            break
    return history


def _plan(
    sizes: Any, epochs: Any, max_lr: Any
) -> list[tuple[int, int, float | None]]:
    """Size, epochs and rate of each stage."""
    sizes = [whole("sizes", size) for size in several("sizes", sizes)]
    if not sizes:
        raise ValueError(
            "`sizes` must have at least one size. Pass e.g. (96, 128). "
            "Received: sizes of no size"
        )
    lengths = [whole("epochs", n) for n in _each("epochs", epochs, len(sizes))]
    rates = _each("max_lr", max_lr, len(sizes))
    rates = [r if r is None else positive("max_lr", r) for r in rates]
    return list(zip(sizes, lengths, rates, strict=True))


def _check_fit(fit_kwargs: dict[str, Any], plan: list[Any]) -> None:
    """Refuse, among others, to find a rate again after an interruption."""
    check_fit_kwargs(fit_kwargs, ["initial_epoch", "x", "y"])
    callbacks = fit_kwargs.get("callbacks")
    check_callbacks(callbacks)
    saved = any(
        isinstance(each, ResumableCheckpoint) for each in flattened(callbacks)
    )
    if saved and any(rate is None for _, _, rate in plan):
        raise ValueError(
            "`max_lr` must be given with a ResumableCheckpoint: after an "
            "interruption `lr_find` would find another rate. Pass one, or one "
            "for each size. Received: max_lr=None"
        )


def _check_sizes(model: keras.Model, sizes: list[int]) -> None:
    """Refuse a size that would fail only after training at another size."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        return  # only the data knows how large its images are
    for size in sizes:
        shape = list(inputs[0].shape)
        first = keras.config.image_data_format() == "channels_first"
        shape[2 - (not first) : 4 - (not first)] = size, size
        try:
            if isinstance(model, keras.Sequential):  # accepts more than it says
                like = keras.KerasTensor(shape, inputs[0].dtype)
                keras.Operation.compute_output_spec(model, like)
            else:
                model.compute_output_shape(tuple(shape))
        except ValueError as error:
            raise ValueError(
                "`model` must take images of each size. Build it on "
                "`keras.Input((None, None, 3))`, or leave out the size. "
                f"Received: sizes with {size}, model={model.name} for inputs "
                f"{tuple(inputs[0].shape)}"
            ) from error


def _found(model: keras.Model, given: dict[str, Any]) -> float:
    """The rate that the sweep suggests."""
    known = {k: v for k, v in given.items() if k in FINDER}
    return lr_find(model, **known).suggestion


def _each(name: str, value: Any, count: int) -> list[Any]:
    """A value for each size."""
    if value is None or not hasattr(value, "__len__"):
        return [value] * count
    values = several(name, value)
    if len(values) != count or not count:
        raise ValueError(
            f"`{name}` must be one for all or one for each of {count} sizes. "
            f"Pass as many. Received: {name}={value!r}"
        )
    return values


def _unpacked(
    data: Any, size: int, fit_kwargs: dict[str, Any]
) -> dict[str, Any]:
    """The result of `data`, by the argument names of `fit()`."""
    returned = (
        "`data` must return what `fit()` takes, a data set, (x, y) or "
        "(x, y, sample_weight). "
    )
    if data is None:
        raise TypeError(
            f"{returned}Add a `return`. Received: data({size})=None"
        )
    if not isinstance(data, tuple | list):
        check_length("progressive_resizing", data, fit_kwargs)
        return {"x": data}
    if not 2 <= len(data) <= 3:
        raise ValueError(
            f"{returned}Return one of these. Received: data({size}) of "
            f"{len(data)} parts"
        )
    names: list[str] = ["x", "y", "sample_weight"]
    given = dict(zip(names, data, strict=False))
    if "sample_weight" in given and "sample_weight" in fit_kwargs:
        raise ValueError(
            "`sample_weight` must not be given where `data` returns it. Leave "
            f"it out. Received: data({size}) of 3 parts, and sample_weight"
        )
    return given
