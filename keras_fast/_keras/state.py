"""How is a model restored exactly?"""

import contextlib
import random
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import global_seed_generator
from keras.src.trainers.data_adapters import get_data_adapter

from keras_fast._checks import not_empty
from keras_fast._keras.held import optimizers_of, variables_of
from keras_fast._keras.live import carried, detach
from keras_fast._keras.outside import outside
from keras_fast._keras.train_step import unwatch
from keras_fast._keras.unwrap import chain, innermost, scope

__all__ = [
    "build",
    "preserved",
    "random_seed",
    "random_state",
    "random_state_preserved",
    "set_random_state",
]

# Arguments that, with `x` and `y`, determine the batches.
DATA = ("sample_weight", "batch_size", "steps_per_epoch", "class_weight")


@contextlib.contextmanager
def preserved(
    model: keras.Model, batch: Any = None, **fit_kwargs: Any
) -> Iterator[None]:
    """Build a model, and restore it bit for bit, whatever happens within.

    That is: every variable that the model holds, listed by Keras or not, or
    that its step uses; the random state of the process, `stop_training`,
    `history`, compiled functions, and attachments of this library.

    Args:
        model: A compiled model.
        batch: One batch (x, y, sample_weight), if data can't be rewound.
        **fit_kwargs: The data, as accepted by `fit()`.
    """
    innermost(model.optimizer)  # one that has a learning rate
    random_state_before = random_state()
    # If these are not built, the next `fit()` draws a batch to build them. Keep
    # it that way, so that its batches come in the same order.
    compiled = (model._compile_loss, model._compile_metrics)
    restore_compiled = [_attributes(part) for part in compiled if part]
    build(model, batch, **fit_kwargs)
    variables = list(_variables(model))
    before = [np.array(v.numpy()) for v in variables]
    others = outside(model)
    restore_model = _attributes(model)
    unwatch(model)  # nobody needs to know of what leaves no trace
    optimizers = optimizers_of(model)
    restore_parts = [
        _attributes(each) for each in optimizers if each is not model.optimizer
    ]
    restore_parts += [_put_away(each) for each in optimizers]
    if others is not None:
        others.watch()
    try:
        yield
    finally:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        if others is not None:
            others.put_back()
        for restore in (restore_model, *restore_compiled, *restore_parts):
            restore()
        set_random_state(random_state_before)


def _put_away(optimizer: keras.optimizers.Optimizer) -> Callable[[], None]:
    """Clear all schedules; the returned function restores them."""
    live = chain(optimizer)[-1].__dict__.get("_live")
    return partial(detach, optimizer) if live is None else live.put_away()


def build(model: keras.Model, batch: Any = None, **fit_kwargs: Any) -> None:
    """Create every variable that training needs, as `fit()` would."""
    names = ("x", "y", *DATA)
    data = {k: v for k, v in fit_kwargs.items() if k in names}
    if batch is None:
        adapter = get_data_adapter(shuffle=False, **data)
        not_empty(adapter.num_batches)
        if _is_built(model):
            return  # reading a batch takes as long as many steps
        batch = _first(adapter)
    with scope(model):
        if _by_tracing(model):
            _trace(model, batch)
        else:
            model._symbolic_build(data_batch=batch)


def _is_built(model: keras.Model) -> bool:
    """Whether `fit()` too would find nothing to build."""
    parts = [model._compile_loss, model._compile_metrics, model.optimizer]
    parts += model._flatten_layers()
    return all(part.built for part in parts if part is not None)


def _first(adapter: Any) -> Any:
    """The first batch of the data."""
    adapter.on_epoch_begin()
    if keras.backend.backend() != "tensorflow":
        return next(iter(adapter.get_numpy_iterator()), None)
    import tensorflow as tf

    def none(leaf: Any) -> Any:
        return None if isinstance(leaf, tf.experimental.Optional) else leaf

    # NumPy strings are objects, for which there is no symbol.
    batch = next(iter(adapter.get_tf_dataset()), None)
    return keras.tree.map_structure(none, batch)


def _by_tracing(model: keras.Model) -> bool:
    """Whether to build with `train_step`, which alone can call the model.

    TensorFlow's `fit()` never calls a model with its own `train_step`; other
    backends and strategies do.
    """
    return (
        keras.backend.backend() == "tensorflow"
        and type(model).train_step is not keras.Model.train_step
        and model._distribute_strategy is None
        and not model.run_eagerly
    )


def _trace(model: keras.Model, batch: Any) -> None:
    """Build as `fit()` does there: by a trace that computes nothing."""
    model.metrics  # noqa: B018  `fit()` looks at them first; some are made then
    if _is_built(model):
        return
    import tensorflow as tf

    batch = keras.tree.map_structure(tf.convert_to_tensor, batch)
    tf.function(model.train_step).get_concrete_function(batch)
    if not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def _attributes(owner: Any) -> Callable[[], None]:
    """Record an object's attributes; the returned function restores them."""
    attributes = dict(owner.__dict__)
    lists = {
        name: value[:]
        for name, value in attributes.items()
        if isinstance(value, list)
    }

    def restore() -> None:
        for name, value in lists.items():
            now = attributes[name]
            # TensorFlow can't save a model with a list that was assigned to.
            if len(now) != len(value) or any(
                a is not b for a, b in zip(now, value, strict=True)
            ):
                now[:] = value
        owner.__dict__.clear()
        owner.__dict__.update(attributes)

    return restore


def _variables(model: keras.Model) -> Iterator[Any]:
    """Each variable that training may change, once."""
    listed, others = variables_of(model)
    everything = listed + [variable for _, variable in others]
    for optimizer in optimizers_of(model):
        everything += carried(optimizer)
    yield from {id(v): v for v in everything}.values()


@contextlib.contextmanager
def random_state_preserved(seeds: Iterable[keras.Variable]) -> Iterator[None]:
    """Restore these seeds, and the random state of the process."""
    before = random_state()
    states = [(seed, np.array(seed.numpy())) for seed in seeds]
    try:
        yield
    finally:
        for seed, value in states:
            seed.assign(value)
        set_random_state(before)


def random_seed() -> int | None:
    """The last argument of `keras.utils.set_random_seed`."""
    return global_state.get_global_attribute("global_random_seed")


def random_state() -> dict[str, np.ndarray]:
    """The random state of this process, as arrays."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    rest = np.array([position, has_gauss, gauss], "float64")
    arrays = {"numpy": keys, "numpy_rest": rest}
    for name, generator in _python_generators().items():
        _, keys, gauss = generator.getstate()
        arrays[name] = np.array(keys, "uint32")
        kept = [] if gauss is None else [gauss]
        arrays[f"{name}_rest"] = np.array(kept, "float64")
    if global_state.get_global_attribute("global_seed_generator") is not None:
        arrays["keras"] = np.array(global_seed_generator().state.numpy())
    if keras.backend.backend() == "torch":
        arrays["torch"] = sys.modules["torch"].get_rng_state().numpy().copy()
    return arrays


def set_random_state(arrays: Mapping[str, np.ndarray]) -> None:
    """Restore the state that `random_state` recorded."""
    if "keras" in arrays:  # first: a new one draws from Python's
        global_seed_generator().state.assign(arrays["keras"])
    position, has_gauss, gauss = arrays["numpy_rest"].tolist()
    state = (arrays["numpy"], int(position), int(has_gauss), gauss)
    np.random.set_state(("MT19937", *state))
    for name, generator in _python_generators().items():
        if name in arrays:
            kept = [*arrays[f"{name}_rest"].tolist(), None][0]
            generator.setstate((3, tuple(arrays[name].tolist()), kept))
    if keras.backend.backend() == "torch":
        torch = sys.modules["torch"]
        torch.set_rng_state(torch.from_numpy(arrays["torch"].copy()))


def _python_generators() -> dict[str, Any]:
    """Python's own, and the one from which TensorFlow draws its seeds."""
    generators = {"python": random._inst}  # type: ignore[attr-defined]
    if "tensorflow" in sys.modules:
        from tensorflow.python.eager import context

        generator = getattr(context.context(), "_rng", None)
        if generator is not None:
            generators["tensorflow"] = generator
    return generators
