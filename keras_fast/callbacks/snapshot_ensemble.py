"""Several models from one training run: a snapshot at each cycle's end."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_fast._checks import path as checked_path
from keras_fast._checks import whole
from keras_fast._files.array_file import write_array_file
from keras_fast._keras.batches import is_one_shot
from keras_fast._keras.fit import callbacks_of_this_fit
from keras_fast._keras.graph import input_structure
from keras_fast._keras.held import variables_of
from keras_fast._keras.layer_state import copied, put
from keras_fast.callbacks._saved import (
    built,
    check_fits,
    described_model,
    read_kind,
    values,
)
from keras_fast.callbacks.sgdr import SGDR

KIND = "snapshot"


class SnapshotEnsemble(keras.callbacks.Callback):
    """Keeps the model at the end of each cycle, and averages predictions.

    Use it together with `SGDR`, whose cycles it follows. A folder belongs to
    one training run: the snapshot of cycle k replaces an existing one, and
    removes those of later cycles. After an interruption the existing
    snapshots remain in use.

    Args:
        directory: The folder of the snapshots. It is created if missing.

    Raises:
        ValueError: When `fit()` starts: there is no `SGDR`, the model is not
            built, or the folder has snapshots of another model.
        CorruptFileError: A snapshot is damaged.

    Examples:
        >>> from keras_fast.callbacks import SGDR, SnapshotEnsemble
        >>> ensemble = SnapshotEnsemble("snapshots")
        >>> history = model.fit(
        ...     x, y, epochs=3, verbose=0, callbacks=[SGDR(0.01), ensemble]
        ... )
        >>> [path.name for path in ensemble.members]
        ['cycle-000.snapshot', 'cycle-001.snapshot', 'cycle-002.snapshot']
        >>> ensemble.predict(x, last=2, verbose=0).shape
        (32, 1)
        >>> ensemble.to_model(last=2).save("ensemble.keras")

    Reference:

    - [Huang et al., 2017](https://arxiv.org/abs/1704.00109)
    - fastai 0.7, `cycle_save_name`
    """

    def __init__(self, directory: str | os.PathLike):
        super().__init__()
        self.directory = Path(checked_path("directory", directory))

    @property
    def members(self) -> list[Path]:
        """The files of the snapshots, by cycle."""
        return sorted(self.directory.glob("cycle-*.snapshot"), key=_cycle)

    def predict(
        self, x: Any, *, last: int | None = None, **predict_kwargs: Any
    ) -> Any:
        """The mean of the snapshots' predictions.

        For probabilities the model must end in a softmax or a sigmoid. The
        model gets its own weights back afterwards. Without a preceding
        `fit()`, call `set_model(model)`.

        Args:
            x: Inputs, as accepted by `Model.predict`, in the same order every
                time.
            last: Use only this many of the latest snapshots.
            **predict_kwargs: Passed on to `Model.predict`.

        Returns:
            Predictions, in the form that `Model.predict` returns.
        """
        if is_one_shot(x):
            raise ValueError(
                "`x` must be what each snapshot can read from the start. Pass "
                "arrays or a dataset. "
                f"Received: x={type(x).__name__}"
            )
        model, paths = self._ready(), self._latest(last)
        before = _values(model)
        outputs = []
        try:
            for path in paths:
                self._load(path, model)
                outputs.append(model.predict(x, **predict_kwargs))
        finally:
            _put(model, before)
        return keras.tree.map_structure(_mean, *outputs)

    def to_model(self, last: int | None = None) -> keras.Model:
        """Build one model that predicts the mean and can be saved.

        It loads without keras_fast.

        Args:
            last: Use only this many of the latest snapshots.

        Returns:
            A functional model with a copy of the model for each snapshot.
        """
        model, paths = self._ready(), self._latest(last)
        inputs = keras.tree.map_structure(_like, _inputs(model))
        outputs = [self._member(path, model)(inputs) for path in paths]
        if len(outputs) == 1:
            return keras.Model(inputs, outputs[0], name="ensemble")
        mean = keras.tree.map_structure(_average, *outputs)
        return keras.Model(inputs, mean, name="ensemble")

    def on_train_begin(self, logs: Any = None) -> None:
        model = built(self.model)
        if not any(isinstance(c, SGDR) for c in callbacks_of_this_fit()):
            raise ValueError(
                "`SnapshotEnsemble` must be used with `SGDR`, whose cycles it "
                "follows. Pass `callbacks=[SGDR(...), SnapshotEnsemble(...)]`. "
                "Received: callbacks without SGDR"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        for path in self.members:
            _read(path, model)

    def on_cycle_end(self, cycle: int, logs: Any = None) -> None:
        """`SGDR` calls this at the end of each cycle."""
        model = self.model  # on JAX this brings the variables up to date
        write_array_file(
            self.directory / f"cycle-{cycle:03d}.snapshot",
            _values(model),
            {"kind": KIND, "model": described_model(model), "cycle": cycle},
        )
        for path in self.members:
            if _cycle(path) > cycle:
                path.unlink()

    def _ready(self) -> keras.Model:
        if self._model is None:
            raise ValueError(
                "The ensemble must know its model. Call `fit()` with it, or "
                "`set_model(model)`. Received: model=None"
            )
        model: Any = self.model  # on JAX this brings the variables up to date
        return model

    def _latest(self, last: int | None) -> list[Path]:
        paths = self.members
        most = len(paths) if last is None else whole("last", last)
        if not 0 < most <= len(paths):
            raise ValueError(
                f"There must be {max(most, 1)} snapshots. Train for more "
                "cycles, or ask for fewer. Received: "
                f"directory={os.fspath(self.directory)!r} with {len(paths)}"
            )
        return paths[-most:]

    def _load(self, path: Path, model: keras.Model) -> None:
        _put(model, _read(path, model))

    def _member(self, path: Path, model: keras.Model) -> keras.Model:
        copy: Any = copied(model)
        self._load(path, copy)
        copy.name = path.stem.replace("-", "_")  # names must be unique
        return copy


def _cycle(path: Path) -> int:
    return int(path.stem.removeprefix("cycle-"))


def _mean(*outputs: np.ndarray) -> np.ndarray:
    mean = np.mean(outputs, axis=0, dtype="float64")
    return mean.astype(outputs[0].dtype)


def _average(*tensors: Any) -> Any:
    """The mean, in float32 or higher precision."""
    dtype = keras.backend.result_type(tensors[0].dtype, "float32")
    return keras.layers.Average(dtype=dtype)(list(tensors))


def _values(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies of all it predicts with, whether Keras lists it or not."""
    return values("model", model.variables) | values("held", _held(model))


def _put(model: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    put(model, [arrays[f"model/{i}"] for i in range(len(model.variables))])
    for i, variable in enumerate(_held(model)):
        if f"held/{i}" in arrays:
            variable.assign(arrays[f"held/{i}"])


def _held(model: keras.Model) -> list[Any]:
    return [variable for _, variable in variables_of(model)[1]]


def _inputs(model: keras.Model) -> Any:
    """The inputs in the structure to pass: a list, a dict or one."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    structure = input_structure(model)
    if structure is None:
        raise ValueError(
            "The model must be functional or Sequential to be copied. Use "
            f"`predict` instead. Received: model={type(model).__name__}"
        )
    return structure


def _like(tensor: Any) -> Any:
    return keras.Input(
        batch_shape=tensor.shape, dtype=tensor.dtype, name=tensor.name
    )


def _read(path: Path, model: keras.Model) -> dict[str, np.ndarray]:
    arrays, note = read_kind(path, KIND)
    check_fits(path, "model", note["model"], described_model(model))
    return arrays
