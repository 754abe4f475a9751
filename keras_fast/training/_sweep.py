"""How does a second sweep avoid a second trace?

A sweep leaves no trace in the model, so its compiled functions are kept beside
the model and reused for the next sweep, as long as they still fit.
"""

from typing import Any

import keras

from keras_fast._keras.compilation import losses_and_metrics
from keras_fast._keras.layers import layers_of
from keras_fast._keras.live import attach
from keras_fast._keras.unwrap import innermost

__all__ = ["keep", "reuse"]

KEPT = "_keras_fast_sweep"
ATTRIBUTES = ("train_function", "train_step")


def reuse(model: keras.Model) -> tuple[list[Any], list[Any]]:
    """Reuse the compiled functions of an earlier sweep, if they still fit.

    Returns:
        The parts of the model before the sweep, for `keep`.
    """
    parts = _parts(model)
    kept = model.__dict__.get(KEPT)
    if kept is not None and _same(kept["parts"], parts):
        attach(model.optimizer, kept["live"])
        model.__dict__.update(kept["attributes"])
    return parts


def keep(model: keras.Model, parts: tuple[list[Any], list[Any]]) -> dict:
    """Entries to add to the model's `__dict__` once it is restored."""
    return {
        KEPT: {
            "parts": parts,
            "live": innermost(model.optimizer).__dict__["_live"],
            "attributes": {name: model.__dict__[name] for name in ATTRIBUTES},
        }
    }


def _parts(model: keras.Model) -> tuple[list[Any], list[Any]]:
    """All that a compiled step depends on: objects, and plain settings."""
    objects = [
        model.optimizer,
        innermost(model.optimizer).__dict__.get("_live"),
        *losses_and_metrics(model),
        *model.optimizer.variables,
        *model.variables,
    ]
    settings = [
        model.steps_per_execution,
        model.jit_compile,
        model.run_eagerly,
        *(layer.trainable for layer in layers_of(model)),
    ]
    return objects, settings


def _same(
    a: tuple[list[Any], list[Any]], b: tuple[list[Any], list[Any]]
) -> bool:
    return (
        a[1] == b[1]
        and len(a[0]) == len(b[0])
        and all(x is y for x, y in zip(a[0], b[0], strict=True))
    )
