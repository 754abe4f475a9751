"""The mean of the weights of the last epochs."""

from typing import Any

import keras
import numpy as np

from keras_fast._checks import whole
from keras_fast._keras.fit import callbacks_of_this_fit
from keras_fast.callbacks._neighbours import check_ends
from keras_fast.callbacks._saved import built
from keras_fast.transfer.batch_norm import batch_norms, update_batch_norm


class WeightAveraging(keras.callbacks.Callback):
    """Ends training with the mean of the weights of the last epochs.

    Stochastic weight averaging: from epoch `start` on, the weights at the end
    of each epoch count equally. When training ends, the model gets their mean,
    and BatchNormalization gets new statistics from a pass over `x`. `fit()`
    prints the results of the weights before averaging: evaluate afterwards.
    Use it with a constant or cyclic learning rate. For an exponential moving
    average over every update, Keras has `use_ema` in its optimizers, and
    `keras.callbacks.SwapEMAWeights` to validate with it.

    Args:
        start: The first epoch whose weights count; epochs count from 0.
        x: Training data, as accepted by `fit()`; targets are not needed. Only
            models with BatchNormalization need it.
        batch_size: Samples in a batch, if `x` is an array.
        steps_per_epoch: Batches to take, if `x` is endless.

    Raises:
        ValueError: `start` is out of range. When `fit()` starts: it ends
            before `start`, the model has BatchNormalization and there is no
            `x`, or another callback decides which weights training ends with:
            `EarlyStopping(restore_best_weights=True)`, `SwapEMAWeights`.

    Examples:
        >>> from keras_fast.callbacks import WeightAveraging
        >>> averaging = WeightAveraging(start=2)
        >>> history = model.fit(
        ...     x, y, epochs=5, verbose=0, callbacks=[averaging]
        ... )
        >>> averaging.num_averaged
        3

    Reference:

    - [Izmailov et al., 2018](https://arxiv.org/abs/1803.05407)
    - fastai 0.7, `use_swa`
    """

    def __init__(
        self,
        start: int,
        *,
        x: Any = None,
        batch_size: int | None = None,
        steps_per_epoch: int | None = None,
    ):
        super().__init__()
        self.start = whole("start", start, 0)
        self.num_averaged = 0
        sizes = {"batch_size": batch_size, "steps_per_epoch": steps_per_epoch}
        for name, size in sizes.items():
            if size is not None:
                whole(name, size)
        self._data = {"x": x, **sizes}
        self._means: list[np.ndarray] = []

    def on_train_begin(self, logs: Any = None) -> None:
        model = built(self.model)
        check_ends(callbacks_of_this_fit(), averaging=self)
        if self.start >= self.params["epochs"]:
            raise ValueError(
                "`start` must be an epoch of this training. Pass one below "
                f"`epochs`. Received: start={self.start}, "
                f"epochs={self.params['epochs']}"
            )
        if batch_norms(model) and self._data["x"] is None:
            raise ValueError(
                "A model with BatchNormalization must get new statistics for "
                "averaged weights. Pass the training data, "
                f"`WeightAveraging({self.start}, x=...)`. Received: x=None"
            )
        self.num_averaged = 0
        self._means = [np.zeros(v.shape) for v in self._variables()]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch < self.start:
            return
        self.num_averaged += 1
        for mean, variable in zip(self._means, self._variables(), strict=True):
            mean += (variable.numpy() - mean) / self.num_averaged

    def on_train_end(self, logs: Any = None) -> None:
        if not self.num_averaged:  # another callback ended training before
            return
        model = self.model
        for variable, mean in zip(self._variables(), self._means, strict=True):
            variable.assign(mean)
        if batch_norms(model):
            update_batch_norm(model, **self._data)

    def save_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """Store the state that `ResumableCheckpoint` saves."""
        store["num_averaged"] = np.array(self.num_averaged)
        store.update({str(i): mean for i, mean in enumerate(self._means)})

    def load_own_variables(self, store: dict[str, np.ndarray]) -> None:
        """Restore the state that `save_own_variables` stored."""
        self.num_averaged = int(store["num_averaged"])
        for i, mean in enumerate(self._means):
            mean[...] = store[str(i)]

    def _variables(self) -> list[keras.Variable]:
        # All that could train: which ones do may change during training.
        model = self.model
        moved = [
            v for n in batch_norms(model) for v in n.non_trainable_variables
        ]
        return [
            v
            for v in model.weights
            if "float" in v.dtype and not any(v is each for each in moved)
        ]
