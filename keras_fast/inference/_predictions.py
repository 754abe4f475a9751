"""What does the model say of each batch, beside what is true?"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_fast._keras.batches import batches

__all__ = ["predictions"]


def predictions(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: int | str = 0,
) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """Inputs, labels and outputs, of one pass over the data.

    So they belong together also where the data is shuffled or augmented anew
    at each pass.
    """
    for inputs, labels in batches(
        x, y, batch_size=batch_size, steps=steps, verbose=verbose
    ):
        outputs = _one("model", model.predict_on_batch(inputs)).astype(float)
        if outputs.ndim == 1:
            outputs = outputs[:, None]
        yield inputs, _one("y", labels), outputs


def _one(name: str, value: Any) -> np.ndarray:
    arrays = keras.tree.flatten(value)
    if len(arrays) == 1 and arrays[0] is not None:
        return np.asarray(arrays[0])
    kinds = {"y": "label", "model": "output"}
    number = sum(array is not None for array in arrays)
    raise ValueError(
        f"`{name}` must have one {kinds[name]} a sample. Pass labels with the "
        "data, and a model with one output. "
        f"Received: {number} {kinds[name]}s"
    )
