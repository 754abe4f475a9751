"""Training that resumes, bit for bit, from its last checkpoint."""

import os
from pathlib import Path
from typing import Any

import keras

from keras_fast._checks import one_of, whole
from keras_fast._checks import path as checked_path
from keras_fast._files.array_file import write_array_file
from keras_fast._files.io import discard_unfinished
from keras_fast._keras.fit import (
    batches_done,
    begin_at,
    begin_at_epoch,
    callbacks_of_this_fit,
    data_of_this_fit,
)
from keras_fast._keras.outside import outside
from keras_fast._keras.state import (
    build,
    random_seed,
    random_state,
    set_random_state,
)
from keras_fast._keras.unwrap import scope
from keras_fast.callbacks._held_signals import HeldSignals
from keras_fast.callbacks._saved import (
    assign,
    assign_training,
    build_others,
    built,
    check_fits,
    described_training,
    read_kind,
    training_values,
    values,
)
from keras_fast.callbacks.sgdr import SGDR

KIND = "checkpoint"


class ResumableCheckpoint(keras.callbacks.Callback):
    """Saves a training run in one file, to resume it bit for bit.

    Run the same script again after an interruption: `fit()` continues from the
    last save as if nothing had happened. The file holds all variables of the
    model and its optimizers, including the states of `Dropout` and similar
    layers and everything reachable from attributes of the model, its layers,
    loss and metrics; the random state of Python, NumPy and the backend; and
    the position in training, also within an epoch. It is written whole or not
    at all. When `fit()` completes, the file is removed, and the next `fit()`
    starts from scratch: save the trained model with `model.save()`.

    Ctrl-C, and SIGTERM, which a machine gets before it is reclaimed, wait
    until the batch is done and saved. A second signal does not wait.

    Requirements for an identical result:

    - `fit()` gets the same arguments, and `keras.utils.set_random_seed` is
      called again if it was called before. TensorFlow shuffles arrays
      repeatably only if it was called.
    - The order of the data within an epoch depends only on the random state
      at the start of the epoch. Exact with: arrays, and a `PyDataset` whose
      batches depend on their index; with several `workers` pass
      `shuffle=False`, because they shuffle in a thread. Not exact with: a
      generator that is read on, `tf.data.Dataset.shuffle`, which counts its
      passes, and a `steps_per_epoch` shorter than the data.
    - This callback is the last one. Schedules of keras_fast may come after it,
      except an `SGDR` whose cycles other callbacks follow.
    - Other callbacks start afresh, including `EarlyStopping`, and `History`
      has only the epochs since. A callback or `PyDataset` of yours is saved
      too if it has `save_own_variables(store)` and
      `load_own_variables(store)`, of NumPy arrays by name; so are
      `WeightAveraging`, `CycleStopping`, `TextStream` and `TextBatches`.

    After an interruption within an epoch its first batches are only reread.

    Args:
        path: The file. Its folder is created if it does not exist.
        save_freq: `"epoch"`, or a number of batches after which to save within
            an epoch as well.

    Raises:
        ValueError: `save_freq` is neither. When `fit()` starts: the model is
            not built, or the file is of another model, optimizer, seed,
            backend or length of an epoch. The model is left unchanged.
        CorruptFileError: The file is damaged.
        OSError: There is no room for the file; the previous one is kept.

    Examples:
        >>> from keras_fast.callbacks import OneCycle, ResumableCheckpoint
        >>> callbacks = [OneCycle(0.01), ResumableCheckpoint("training.save")]
        >>> history = model.fit(
        ...     x, y, epochs=3, verbose=0, callbacks=callbacks
        ... )
    """

    def __init__(
        self, path: str | os.PathLike, *, save_freq: str | int = "epoch"
    ):
        super().__init__()
        self.path = Path(checked_path("path", path))
        self.save_freq: Any = _checked_freq(save_freq)
        self._signals = HeldSignals(self)

    def on_train_begin(self, logs: Any = None) -> None:
        model = built(self.model)
        if not model.optimizer.built:
            with scope(model):
                model.optimizer.build(model.trainable_variables)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        discard_unfinished(self.path)
        self._batch = 0
        self._others = self._callbacks_to_save()
        if self.path.exists():
            self._resume()
        self._outside = outside(model)
        if self._outside is not None:
            self._outside.watch()
        self._random_state = random_state()
        self._signals.hold()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        begin_at_epoch(self._model, None)  # or it would apply to all fits
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._refuse_outside()
        before, self._batch = self._batch, batches_done(batch, self._model)
        if self._model.stop_training:
            return  # the epoch ends here
        due = self._signals.waiting is not None or (
            self.save_freq != "epoch"
            and before // self.save_freq < self._batch // self.save_freq
        )
        steps = self.params["steps"]
        if due and (steps is None or self._batch < steps):
            self._save(self._epoch, self._batch)
            self._signals.deliver()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._batch = 0
        self._random_state = random_state()
        self._save(epoch + 1, 0)
        self._signals.deliver()

    def on_train_end(self, logs: Any = None) -> None:
        begin_at_epoch(self._model, None)
        self._signals.let_go()
        self._signals.deliver()  # while there is a file to resume from
        self.path.unlink(missing_ok=True)

    def _place(self) -> tuple[int, int]:
        """Epoch and batch to resume at, 0 and 0 without a file."""
        if not self.path.exists():
            return 0, 0
        _, note = read_kind(self.path, KIND)
        return note["epoch"], note["batch"]

    def _go_on(self) -> None:
        """Called by a recipe when the next `fit()` of its training begins."""
        self._others = self._callbacks_to_save()
        self._random_state = random_state()

    def _callbacks_to_save(self) -> list[Any]:
        given = callbacks_of_this_fit()
        heard = any(hasattr(each, "on_cycle_end") for each in given)
        for each in given[given.index(self) :]:
            tells = isinstance(each, SGDR) and heard
            if tells or hasattr(each, "save_own_variables"):
                raise ValueError(
                    "`ResumableCheckpoint` must come after the callbacks "
                    "that it saves, and after `SGDR` if others follow its "
                    "cycles. Put it last. Received: "
                    f"{type(each).__name__} after it"
                )
        given.append(data_of_this_fit())
        return [c for c in given if hasattr(c, "save_own_variables")]

    def _refuse_outside(self) -> None:
        """After the first step, refuse changes that no file can hold."""
        watched, self._outside = self._outside, None
        names = watched.changed() if watched is not None else []
        if names:
            raise ValueError(
                "`ResumableCheckpoint` must find all that training changes. "
                "Make it an attribute of the model, a layer, a loss or a "
                f"metric. Received: variables {names} in the train step alone"
            )

    def _save(self, epoch: int, batch: int) -> None:
        model = self.model  # on JAX this brings the variables up to date
        arrays = {
            **training_values(model),
            **_named("epoch", self._random_state),
        }
        for i, other in enumerate(self._others):
            store: dict[str, Any] = {}
            other.save_own_variables(store)
            arrays |= _named(f"callback{i}", store)
        if batch:
            arrays |= values("metrics", _metrics_variables(model))
            arrays |= _named("batch", random_state())
        stopped = bool(model.stop_training)
        place = {"epoch": epoch, "batch": batch, "stopped": stopped}
        write_array_file(self.path, arrays, self._facts() | place)

    def _facts(self) -> dict[str, Any]:
        """Facts that must be the same when training resumes."""
        return {
            "kind": KIND,
            **described_training(self._model),
            "callbacks": [type(other).__name__ for other in self._others],
            "backend": keras.backend.backend(),
            "seed": random_seed(),
            "steps": self.params["steps"],
        }

    def _resume(self) -> None:
        arrays, note = read_kind(self.path, KIND)
        own = self._facts()
        for name in ("model", "optimizer", "callbacks"):
            check_fits(self.path, name, note[name], own[name])
        self._check_run(note, own)
        model, self._batch = self._model, note["batch"]
        build_others(model, note.get("trained by others", []))
        now, others = self._facts(), "other variables"
        check_fits(self.path, "model", note.get(others, []), now[others])

        def begin(batch: Any) -> None:
            build(model, batch)
            assign_training(model, arrays)
            assign("metrics", _metrics_variables(model), arrays)
            set_random_state(_under("batch", arrays))

        assign_training(model, arrays)
        for i, other in enumerate(self._others):
            other.load_own_variables(_under(f"callback{i}", arrays))
        set_random_state(_under("epoch", arrays))
        begin_at_epoch(model, note["epoch"])
        if note.get("stopped"):  # it ends at once, as it would have done
            model.stop_training = True
            begin_at_epoch(model, self.params["epochs"])
        if self._batch:
            begin_at(self._batch, begin)

    def _check_run(self, note: dict[str, Any], own: dict[str, Any]) -> None:
        if note["backend"] != own["backend"]:
            raise ValueError(
                "The backend must be that of the interrupted training, "
                f"{note['backend']}. Set `KERAS_BACKEND` to it. "
                f"Received: backend={own['backend']!r}"
            )
        if note["seed"] != own["seed"]:
            raise ValueError(
                "The random seed must be that of the interrupted training. "
                f"Call `keras.utils.set_random_seed({note['seed']})` before "
                f"`fit()`. Received: seed={own['seed']}"
            )
        if note["steps"] != own["steps"]:
            raise ValueError(
                "An epoch must have as many batches as in the interrupted "
                f"training, {note['steps']}. Pass the same data to `fit()`. "
                f"Received: {own['steps']} batches"
            )
        if note["epoch"] > self.params["epochs"]:
            raise ValueError(
                "`epochs` must not be below those that are done, "
                f"{note['epoch']}. Pass as many as before. "
                f"Received: epochs={self.params['epochs']}"
            )


def _checked_freq(save_freq: str | int) -> str | int:
    if isinstance(save_freq, str):
        return one_of("save_freq", save_freq, ["epoch"])
    return whole("save_freq", save_freq)


def _metrics_variables(model: keras.Model) -> list[keras.Variable]:
    return [
        variable for metric in model.metrics for variable in metric.variables
    ]


def _named(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def _under(prefix: str, arrays: dict[str, Any]) -> dict[str, Any]:
    start = f"{prefix}/"
    return {
        name.removeprefix(start): array
        for name, array in arrays.items()
        if name.startswith(start)
    }
