"""What does the model predict for each batch, next to the truth?"""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from keras_fast._keras.batches import batches
from keras_fast._keras.compiled import compiled
from keras_fast._keras.layers import forget_losses, layers_of, mask_of

__all__ = ["predictions", "predictor"]

ops = keras.ops


def predictions(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: int | str = 0,
) -> Iterator[tuple[Any, np.ndarray, np.ndarray, np.ndarray | None]]:
    """Inputs, labels, outputs and their mask, from one pass over the data.

    So they match even if the data is shuffled or augmented anew at each pass.
    """
    predict = predictor(model)
    for inputs, labels in batches(
        x, y, batch_size=batch_size, steps=steps, verbose=verbose
    ):
        outputs, mask = predict(inputs)
        yield inputs, _one("y", labels), outputs, mask


def predictor(
    model: keras.Model,
) -> Callable[[Any], tuple[np.ndarray, np.ndarray | None]]:
    """A function from a batch to outputs, (rows, ...) float64, and mask."""
    run = _with_mask(model) if _may_mask(model) else None

    def predict(inputs: Any) -> tuple[np.ndarray, np.ndarray | None]:
        mask = None
        if run is None:
            outputs = model.predict_on_batch(inputs)
        else:
            outputs, mask = run(inputs)
        outputs = _one("model", outputs).astype(float)
        return outputs[:, None] if outputs.ndim == 1 else outputs, mask

    return predict


def _may_mask(model: keras.Model) -> bool:
    """Whether a layer may make masks; other Keras layers only pass them on."""
    return any(
        isinstance(layer, keras.layers.Masking)
        or getattr(layer, "mask_zero", False)
        or not type(layer).compute_mask.__module__.startswith("keras.")
        for layer in layers_of(model)
    )


def _with_mask(model: keras.Model) -> Callable[[Any], tuple[Any, Any]]:
    """`predict_on_batch`, which returns arrays, with the mask they had."""

    def call(inputs: Any) -> Any:
        outputs = model(inputs, training=False)
        forget_losses(model)
        masks = [mask_of(output) for output in keras.tree.flatten(outputs)]
        return outputs, masks[0]

    run = compiled(call, model, model.variables)

    def predict(inputs: Any) -> tuple[Any, Any]:
        outputs, mask = run(inputs)
        outputs = keras.tree.map_structure(ops.convert_to_numpy, outputs)
        if mask is not None:
            mask = np.asarray(ops.convert_to_numpy(mask), bool)
        return outputs, mask

    return predict


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
