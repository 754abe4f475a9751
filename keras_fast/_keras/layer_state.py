"""What do a model's layers hold besides variables?

Vocabularies, and constants computed from variables when these are loaded. Each
layer saves and loads them as in Keras's `save()` and `load_model()`.
"""

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

__all__ = ["assets_digest", "copied", "put", "take_state"]


def copied(model: keras.Model) -> keras.Model:
    """Another model with the same layers, and with all that they hold."""
    copy: Any = keras.models.clone_model(model)
    take_state(copy, model)
    return copy


def take_state(copy: keras.Model, model: keras.Model) -> None:
    """Give the layers of a copy the state of the model's layers.

    Layers whose variables have other shapes keep their own variables.
    """
    layers = copy._flatten_layers(), model._flatten_layers()
    for new, old in zip(*layers, strict=True):
        if _shapes(new) == _shapes(old):
            new.load_own_variables(_own(old))
        if hasattr(old, "save_assets"):
            with tempfile.TemporaryDirectory() as folder:
                old.save_assets(folder)
                new.load_assets(folder)


def put(model: keras.Model, values: Sequence[np.ndarray]) -> None:
    """Assign these values to the model's variables, and update its layers."""
    layers = [
        layer
        for layer in model._flatten_layers()
        if hasattr(layer, "finalize_state") and layer.variables
    ]
    adapted = [variable for layer in layers for variable in layer.variables]
    before = [np.array(variable.numpy()) for variable in adapted]
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)
    if all(map(np.array_equal, before, (v.numpy() for v in adapted))):
        return
    for layer in layers:
        layer.finalize_state()
    model.predict_function = None  # it has the old constants


def assets_digest(model: keras.Model) -> str | None:
    """A digest of layer state in neither variables nor configuration."""
    layers = [x for x in model._flatten_layers() if hasattr(x, "save_assets")]
    if not layers:
        return None
    content = hashlib.sha256()
    for layer in layers:
        for name, array in sorted(_own(layer).items()):
            content.update(f"{name} {array.dtype} {array.shape}".encode())
            content.update(np.ascontiguousarray(array).tobytes())
        with tempfile.TemporaryDirectory() as folder:
            layer.save_assets(folder)
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def _own(layer: keras.Layer) -> Mapping[str, np.ndarray]:
    """The layer's own state, as in a file."""
    store: dict[str, Any] = {}
    layer.save_own_variables(store)
    return {
        name: np.array(keras.ops.convert_to_numpy(value))
        for name, value in store.items()
    }


def _shapes(layer: keras.Layer) -> list[Any]:
    return [variable.shape for variable in layer.variables]
