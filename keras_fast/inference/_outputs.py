"""How does a model run over data that `predict()` accepts?"""

import warnings
from typing import Any

import keras
import numpy as np

from keras_fast._checks import no_batch
from keras_fast._keras.batches import batches, filled
from keras_fast._keras.unwrap import scattered

__all__ = ["outputs"]


def outputs(
    model: keras.Model,
    x: Any,
    batch_size: int | None,
    verbose: int | str = 0,
) -> Any:
    """Like `predict()`, but arrays don't need a new pipeline each time.

    Args:
        model: Any model, compiled or not.
        x: Inputs, as accepted by `predict()`.
        batch_size: Maximum number of rows in a batch of arrays; 32 if None.
        verbose: As in `predict()`.

    Returns:
        The same as `predict()`.

    Raises:
        ValueError: There is no batch.
    """
    leaves = keras.tree.flatten(x)
    arrays = all(isinstance(leaf, np.ndarray) and leaf.ndim for leaf in leaves)
    lengths = {len(leaf) for leaf in leaves} if arrays else set()
    if len(lengths) != 1 or 0 in lengths or scattered(model):
        return _by_pipeline(model, x, batch_size, verbose)
    # All batches have one size, or the last one would be traced again.
    rows = lengths.pop()
    size = -(-rows // -(-rows // (batch_size or 32)))
    return _by_slices(model, x, rows, size, verbose)


def _by_slices(
    model: keras.Model, x: Any, rows: int, size: int, verbose: int | str
) -> Any:
    parts = [
        model.predict_on_batch(filled(inputs, size))
        for inputs, _ in batches(x, batch_size=size, verbose=verbose)
    ]

    def join(*arrays: np.ndarray) -> np.ndarray:
        return np.concatenate(arrays)[:rows]

    return keras.tree.map_structure(join, *parts)


def _by_pipeline(
    model: keras.Model, x: Any, batch_size: int | None, verbose: int | str
) -> Any:
    seen = _Batches()
    try:
        with warnings.catch_warnings():
            # Keras's warning at the end of data of unknown length.
            warnings.filterwarnings("ignore", "Your input ran out of data")
            return model.predict(
                x, batch_size=batch_size, verbose=verbose, callbacks=[seen]
            )
    except UnboundLocalError as error:  # Keras raises it without a batch
        if seen.any:
            raise
        raise no_batch(f"x={type(x).__name__}") from error


class _Batches(keras.callbacks.Callback):
    """Records whether there were any batches."""

    any = False

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self.any = True
