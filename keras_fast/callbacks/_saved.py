"""Which variables are in a file, and do they fit a model?"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import keras
import numpy as np

from keras_fast._array_file import read_array_file
from keras_fast._live import carried
from keras_fast._unwrap import chain

__all__ = [
    "assign",
    "built",
    "check_fits",
    "described_model",
    "described_optimizer",
    "optimizer_variables",
    "read_kind",
    "values",
]


def built(model: keras.Model) -> keras.Model:
    """A model that has its variables."""
    if not model.built:
        raise ValueError(
            "The model must be built to be saved. Give it an `Input`, or call "
            "it on a batch before `fit()`. "
            f"Received: model={model.name} (not built)"
        )
    return model


def optimizer_variables(model: keras.Model) -> list[keras.Variable]:
    """What the optimizer goes on from; schedules come from the step."""
    hidden = carried(model.optimizer)
    return [
        v
        for v in model.optimizer.variables
        if not any(v is each for each in hidden)
    ]


def described_model(model: keras.Model) -> list[str]:
    """One line a variable. Paths change when a model is loaded."""
    return [f"{v.name} {_form(v)}" for v in model.variables]


def described_optimizer(model: keras.Model) -> list[str]:
    """The optimizers from the outside in, and one line a variable."""
    kinds = [type(each).__name__ for each in chain(model.optimizer)]
    return kinds + [_form(v) for v in optimizer_variables(model)]


def values(
    kind: str, variables: Sequence[keras.Variable]
) -> dict[str, np.ndarray]:
    """Copies of the values, under names that `assign` finds."""
    return {f"{kind}/{i}": np.array(v.numpy()) for i, v in enumerate(variables)}


def assign(
    kind: str,
    variables: Sequence[keras.Variable],
    arrays: Mapping[str, np.ndarray],
) -> None:
    for i, variable in enumerate(variables):
        variable.assign(arrays[f"{kind}/{i}"])


def read_kind(
    path: str | os.PathLike, kind: str
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Arrays and note of a file of this kind."""
    arrays, note = read_array_file(path)
    if note.get("kind") != kind:
        raise ValueError(
            f"The file must be a {kind}. Pass the path of one, or of no file. "
            f"Received: path={os.fspath(path)!r}, kind={note.get('kind')!r}"
        )
    return arrays, note


def check_fits(
    path: str | os.PathLike, what: str, saved: list[str], own: list[str]
) -> None:
    """Refuse a file of another model, optimizer or run."""
    for one, other in zip(saved, own, strict=False):
        if one != other:
            _refuse(path, what, one, other)
    if len(saved) != len(own):
        _refuse(path, what, f"{len(saved)} variables", f"{len(own)} variables")


def _refuse(
    path: str | os.PathLike, what: str, saved: Any, own: Any
) -> NoReturn:
    frozen = "Freeze what was frozen then, if that is it. "
    raise ValueError(
        f"The file must be of this {what}. "
        f"{frozen if what == 'optimizer' else ''}Remove it, or pass another "
        f"path. Received: path={os.fspath(path)!r}, which has {saved} where "
        f"the {what} has {own}"
    )


def _form(variable: keras.Variable) -> str:
    return f"{tuple(variable.shape)} {variable.dtype}"
