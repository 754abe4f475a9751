"""Which variables are in a file, and do they fit the model?"""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import keras
import numpy as np

from keras_fast._files.array_file import read_array_file
from keras_fast._keras.held import optimizers_of, variables_of
from keras_fast._keras.layers import layers_of, was_called
from keras_fast._keras.live import carried
from keras_fast._keras.optimizers import built_for
from keras_fast._keras.unwrap import chain, scope

__all__ = [
    "assign",
    "assign_training",
    "build_others",
    "built",
    "check_fits",
    "described_model",
    "described_training",
    "read_kind",
    "training_values",
    "values",
]


def built(model: keras.Model) -> keras.Model:
    """Return a model that has its variables: it or its layers were called."""
    layers = layers_of(model, itself=False)
    unbuilt = [layer.name for layer in layers if not layer.built]
    if was_called(model) or (layers and not unbuilt):
        return model
    raise ValueError(
        "The model must be built to be saved. Give it an `Input`, or call it, "
        "or each of its layers where it has no `call()`, on a batch before "
        f"`fit()`. Received: model={model.name} (not built: "
        f"{', '.join(unbuilt[:5]) or 'it has no layers'})"
    )


def described_model(model: keras.Model) -> list[str]:
    """One line per variable. Paths change when a model is loaded."""
    return [f"{v.name} {_form(v)}" for v in model.variables]


def described_training(model: keras.Model) -> dict[str, list[Any]]:
    """Properties that must be the same for `training_values` to fit."""
    others = [each for o in _others(model) for each in _described(o)]
    for name, variable in variables_of(model)[1]:
        attributes = name.partition(".")[2]  # layer names change
        others.append(f"{attributes} {_form(variable)}")
    return {
        "model": described_model(model),
        "optimizer": _described(model.optimizer),
        "other variables": others,
        "trained by others": _trained_by_others(model),
    }


def build_others(model: keras.Model, trained: list[list[int]]) -> None:
    """Build the other optimizers as their own first step would."""
    variables = _trainable(model)
    for each, places in zip(_others(model), trained, strict=False):
        if places and not each.built:
            with scope(model):
                each.build([variables[i] for i in places])


def training_values(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all training state except metrics."""
    found: dict[str, np.ndarray] = {}
    for kind, variables in _training_variables(model).items():
        found |= values(kind, variables)
    return found


def assign_training(
    model: keras.Model, arrays: Mapping[str, np.ndarray]
) -> None:
    for kind, variables in _training_variables(model).items():
        assign(kind, variables, arrays)


def values(
    kind: str, variables: Sequence[keras.Variable]
) -> dict[str, np.ndarray]:
    """Copies of the values, under the names that `assign` looks up."""
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


def _form(variable: Any) -> str:
    dtype = keras.backend.standardize_dtype(variable.dtype)
    return f"{tuple(variable.shape)} {dtype}"


def _described(optimizer: keras.optimizers.Optimizer) -> list[str]:
    """The optimizers from the outside in, one line per variable."""
    kinds = [type(each).__name__ for each in chain(optimizer)]
    return kinds + [_form(v) for v in _optimizer_variables(optimizer)]


def _training_variables(model: keras.Model) -> dict[str, list[Any]]:
    others = [v for o in _others(model) for v in _optimizer_variables(o)]
    return {
        "model": model.variables,
        "optimizer": _optimizer_variables(model.optimizer),
        "other": others + [v for _, v in variables_of(model)[1]],
    }


def _optimizer_variables(
    optimizer: keras.optimizers.Optimizer,
) -> list[keras.Variable]:
    """The optimizer's variables without our schedule table."""
    hidden = carried(optimizer)
    return [
        v for v in optimizer.variables if not any(v is each for each in hidden)
    ]


def _trained_by_others(model: keras.Model) -> list[list[int]]:
    """Which variables each other optimizer was built for."""
    places = {id(v): place for place, v in enumerate(_trainable(model))}
    return [
        [places[id(v)] for v in built_for(each) if id(v) in places]
        for each in _others(model)
    ]


def _others(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    found = optimizers_of(model)
    return [each for each in found if each is not model.optimizer]


def _trainable(model: keras.Model) -> list[Any]:
    """All variables that an optimizer of the model may be built for."""
    return [*model.variables, *(v for _, v in variables_of(model)[1])]
