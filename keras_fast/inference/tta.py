"""What does the model predict on average over views of its input?"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_fast._checks import between, function, one_of, verbosity, whole
from keras_fast._checks import model as checked
from keras_fast._keras.batches import is_endless
from keras_fast._keras.state import (
    random_state,
    random_state_preserved,
    set_random_state,
)
from keras_fast._keras.unwrap import stateless
from keras_fast.inference._ensemble import REDUCTIONS, Ensemble, ensemble
from keras_fast.inference._outputs import outputs

__all__ = ["predict_tta"]

DRAWN_AS = "_keras_fast_drawn"


def predict_tta(
    model: keras.Model,
    x: Any,
    augment: Callable[[Any], Any] | Sequence[Callable[[Any], Any]],
    *,
    num_augmented: int = 4,
    beta: float | None = 0.25,
    reduce: str = "mean",
    batch_size: int | None = None,
    seed: int | None = None,
    verbose: int | str = 0,
) -> Any:
    """Predict with test-time augmentation, and leave the model as it was.

    `(1 - beta) * reduce(augmented) + beta * plain`, where `augmented` are the
    outputs for views of the input, and `plain` is that for the input itself.
    One graph runs the model on all of them, batch by batch. It is kept with
    the model, so that a second call with the same views traces nothing.

    Args:
        model: A model that is built; it need not be compiled.
        x: Inputs, as accepted by `predict()`. Targets in it are ignored.
        augment: One callable that draws a random view, usually the layer that
            augments in training, as fastai does. It is called `num_augmented`
            times, a layer with `training=True`. Or a list of views, each
            called once: `keras_fast.inference.flips()`, `dihedral()`,
            `corners_and_flips()`, or your own callables. A view takes the
            model's input, and keeps its shape. If it has a method `inverse`,
            that is applied to the model's outputs, so that masks are turned
            back before they are averaged. If outputs are masks or points,
            views without that method, such as Keras's layers, must not move
            pixels.
        num_augmented: Number of random views. A list has its own number.
        beta: Share of the plain prediction. `None` returns both.
        reduce: `"mean"`, `"gmean"` (geometric, for probabilities) or `"max"`.
        batch_size: As in `predict()`; batches of arrays are made equal, so
            they may be a little smaller.
        seed: Seed for the layers and `keras.random.SeedGenerator`s in
            `augment`, including those that a function refers to; their own
            state is restored afterwards. It does not affect `tf.random` or
            NumPy. With `None` they continue from their current state, and a
            layer that is part of the model from where the last call ended.
        verbose: `"auto"` or 1 shows a progress bar, as in `predict()`.

    Returns:
        An array as `predict()` returns it, in the order of `x`; a list or a
        dictionary of arrays if the model has several outputs. With
        `beta=None`, `(augmented, plain)`.

    Raises:
        ValueError: An argument is out of range, the model is not built,
            there is no data or it never ends, views cannot be averaged, a view
            of this package moves pixels and the outputs, masks or points, can't
            be turned back, or with `seed` a view draws from Keras's global
            generator.

    Examples:
        >>> noise = keras.layers.GaussianNoise(0.1)
        >>> keras_fast.predict_tta(model, x, noise, seed=0).shape
        (32, 1)
        >>> views = [keras.ops.negative, lambda x: 2 * x]
        >>> augmented, plain = keras_fast.predict_tta(
        ...     model, x, views, beta=None
        ... )

    Reference:

    - fastai 2.8, `Learner.tta`; fastai 1.0.61, `Learner.TTA`
    """
    views = _views(augment, num_augmented)
    if beta is not None:
        between("beta", beta, 0, 1)
    one_of("reduce", reduce, tuple(REDUCTIONS))
    if batch_size is not None:
        whole("batch_size", batch_size)
    if seed is not None:
        whole("seed", seed, 0)
    verbosity(verbose)
    _check(model, x)
    augmented, plain = _predict(
        ensemble(model, views, reduce), x, batch_size, seed, verbose
    )
    if reduce == "gmean":
        keras.tree.map_structure(_check_positive, plain)
    if beta is None:
        return augmented, plain

    def mixed(augmented: np.ndarray, plain: np.ndarray) -> np.ndarray:
        return ((1 - beta) * augmented + beta * plain).astype(plain.dtype)

    return keras.tree.map_structure(mixed, augmented, plain)


def _views(augment: Any, num_augmented: int) -> list[Any]:
    whole("num_augmented", num_augmented)
    if callable(augment):
        return [augment] * num_augmented
    if not isinstance(augment, list | tuple):
        function("augment", augment)
    if not augment:
        raise ValueError(
            "`augment` must have at least one view. Pass "
            "`keras_fast.inference.flips()`, for one. "
            f"Received: augment={augment!r}"
        )
    return [function("augment", view) for view in augment]


def _check(model: keras.Model, x: Any) -> None:
    checked(model)
    if not model.built:
        raise ValueError(
            "`model` must be built. Train it, or load its weights, first. "
            f"Received: model={model.name} (not built)"
        )
    if is_endless(x):
        raise ValueError(
            "`x` must end. Take a number of batches: `x.take(100)`. "
            f"Received: x={x!r} without end"
        )


def _predict(
    ensemble: Ensemble,
    x: Any,
    batch_size: int | None,
    seed: int | None,
    verbose: int | str,
) -> Any:
    """Run it, and restore the seeds that `augment` must not advance."""
    drawn = _seeds_of_views(ensemble)
    seeds = _seeds(ensemble.model)
    if seed is not None:
        seeds += drawn
    before = random_state().get("keras")
    with random_state_preserved(seeds), _weights_kept(ensemble):
        if seed is None:
            _go_on(ensemble.model, drawn)
        else:
            _sow(drawn, seed)
        found = outputs(ensemble, x, batch_size, verbose)
        after = random_state().get("keras")
        if seed is None:
            _keep(ensemble.model, drawn)
        elif not _equal(before, after):
            raise ValueError(
                "`augment` must draw from a layer or from a "
                "`keras.random.SeedGenerator` where `seed` is given: it does "
                "not reach Keras's global generator. Pass a generator to the "
                f"function of `keras.random`. Received: seed={seed}"
            )
    if after is not None and not _equal(before, after):
        set_random_state({**random_state(), "keras": after})
    return found


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return np.array_equal(*([0] if a is None else a for a in (one, other)))


class _Drawn:
    """How far views have drawn from the model's own generators."""

    def __init__(self, states: list[keras.Variable]) -> None:
        self.values = [(s, np.array(s.numpy())) for s in states]


def _go_on(model: keras.Model, states: list[keras.Variable]) -> None:
    """The model's own are restored after each call, and would repeat."""
    kept = model.__dict__.get(DRAWN_AS)
    own = {id(state) for state in states} & {id(s) for s in _seeds(model)}
    for state, value in kept.values if kept else ():
        if id(state) in own:
            state.assign(value)


def _keep(model: keras.Model, states: list[keras.Variable]) -> None:
    model.__dict__[DRAWN_AS] = _Drawn(states)


@contextlib.contextmanager
def _weights_kept(ensemble: Ensemble) -> Iterator[None]:
    """On JAX `predict()` removes them, and loses them if it fails."""
    variables = ensemble.variables if stateless() else []
    before = [np.array(variable.numpy()) for variable in variables]
    try:
        yield
    except BaseException:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        raise


def _seeds(layer: keras.Layer) -> list[keras.Variable]:
    return [v for v in layer.variables if v.name == "seed_generator_state"]


def _seeds_of_views(ensemble: Ensemble) -> list[keras.Variable]:
    found = [
        [s.state] if isinstance(s, keras.random.SeedGenerator) else _seeds(s)
        for s in ensemble.sources
    ]
    return list({id(v): v for states in found for v in states}.values())


def _sow(states: list[keras.Variable], seed: int) -> None:
    """Give each generator its own seed."""
    drawn = np.random.SeedSequence(seed).generate_state(len(states))
    for state, number in zip(states, drawn, strict=True):
        # Some backends count only to 2 ** 31.
        state.assign(np.array([number >> 1, 0]))


def _check_positive(plain: np.ndarray) -> None:
    if np.any(plain < 0):
        raise ValueError(
            "`reduce` must be 'mean' or 'max' for outputs below 0, which have "
            "no geometric mean. Give the model a softmax. "
            f"Received: reduce='gmean', an output of {plain.min()}"
        )
