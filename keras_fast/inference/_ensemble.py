"""How does one graph run a model on several views of a batch?"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops, tree

from keras_fast._keras.unwrap import scope
from keras_fast.inference._draws import sources
from keras_fast.inference.views import turned_back

__all__ = ["REDUCTIONS", "Ensemble", "ensemble"]

# Each takes (views, batch, ...) to (batch, ...).
REDUCTIONS: dict[str, Callable[[Any], Any]] = {
    "mean": lambda outputs: ops.mean(outputs, axis=0),
    "gmean": lambda outputs: ops.exp(ops.mean(ops.log(outputs), axis=0)),
    "max": lambda outputs: ops.max(outputs, axis=0),
}
KEPT_AS = "_keras_fast_ensemble"


class Ensemble(keras.Model):
    """A model applied to a batch and to views of it; returns both results.

    The views are stacked, and the model is traced once for all of them.
    """

    def __init__(
        self, model: keras.Model, views: Sequence[Any], reduce: str
    ) -> None:
        super().__init__(name="ensemble")
        self.model = model
        self.views = views
        # Tracked, so that JAX too carries on their random state.
        self.sources = list(
            {id(s): s for view in views for s in sources(view)}.values()
        )
        self.reduction = REDUCTIONS[reduce]
        self.built = True

    def call(self, x: Any) -> Any:
        # Views first: the model leaves `training=False` to layers after it.
        batches = [x, *(_view(view, x) for view in self.views)]
        stacked = tree.map_structure(_stack, *batches)
        outputs = ops.map(lambda x: self.model(x, training=False), stacked)
        plain, *augmented = (
            tree.map_structure(lambda output, k=k: output[k], outputs)
            for k in range(len(batches))
        )
        augmented = [
            turned_back(view, output)
            for view, output in zip(self.views, augmented, strict=True)
        ]
        return tree.map_structure(self._reduce, *augmented), plain

    def _reduce(self, *outputs: Any) -> Any:
        single = [ops.cast(output, "float32") for output in outputs]
        return self.reduction(ops.stack(single))


class _Kept:
    """Holds an ensemble out of Keras's sight, which would save it."""

    def __init__(self, key: Any, ensemble: Ensemble) -> None:
        self.key = key
        self.ensemble = ensemble


def ensemble(model: keras.Model, views: Sequence[Any], reduce: str) -> Ensemble:
    """The one used last time, with its graph, or a new one."""
    key = (list(views), reduce, model.jit_compile, model.run_eagerly)
    kept = model.__dict__.get(KEPT_AS)
    if kept is None or kept.key != key:
        with scope(model):
            made = Ensemble(model, views, reduce)
        made.run_eagerly = model.run_eagerly
        if not model.jit_compile:
            made.jit_compile = False
        # Not an attribute: the model would count it as one of its layers.
        kept = model.__dict__[KEPT_AS] = _Kept(key, made)
    return kept.ensemble


def _view(view: Any, x: Any) -> Any:
    if isinstance(view, keras.Layer) and (
        "training" in inspect.signature(view.call).parameters
    ):
        return view(x, training=True)
    return view(x)


def _stack(*tensors: Any) -> Any:
    """One tensor of all views; dtypes may differ, shapes may not."""
    shapes = [tuple(tensor.shape) for tensor in tensors]
    for shape in shapes:
        if shape[1:] != shapes[0][1:]:
            raise ValueError(
                "`augment` must keep the shape of its input. Pass square "
                "images to views that turn them. "
                f"Received: {shapes[0]}, and a view of shape {shape}"
            )
    types = [keras.backend.standardize_dtype(x.dtype) for x in tensors]
    dtype = keras.backend.result_type(*types)
    return ops.stack([ops.cast(tensor, dtype) for tensor in tensors])
