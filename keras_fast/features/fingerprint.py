"""What identifies features, in one string that changes with any input?"""

import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import keras
import numpy as np

from keras_fast._files.io import to_json
from keras_fast._keras.layer_state import assets_digest
from keras_fast._keras.layers import layers_of
from keras_fast.features.batches import (
    Batch,
    as_batch,
    batches,
    is_arrays,
    to_numpy,
)

__all__ = ["batch_digest", "body_fingerprint", "data_fingerprint"]

# Their code is identified by their version.
KNOWN = ("keras", "keras_cv", "keras_fast", "keras_hub")
NAMES = ("name", "keras_history", "input_layers", "output_layers")
BLOCK = 64 << 20  # bytes


def body_fingerprint(body: keras.Model, key: str | None) -> dict[str, Any]:
    """What identifies the body: layers, weights, backend and versions."""
    weights = hashlib.sha256()
    for variable in body.weights:
        _add(weights, to_numpy(variable.value))
    config = _config(body)
    if key is None:
        _check_code(body, config)
    assets = assets_digest(body)
    return ({} if assets is None else {"assets": assets}) | {
        "body": _without_names(config, {}),
        "weights": weights.hexdigest(),
        "backend": keras.backend.backend(),
        "versions": {
            name: str(getattr(sys.modules[name], "__version__", ""))
            for name in sorted({"keras", *_packages(body)} & {*KNOWN})
        },
    }


def data_fingerprint(x: Any, y: Any, key: str | None) -> Any:
    """What identifies the data: the contents of arrays, or batch digests.

    None if only `key` can identify it.
    """
    if is_arrays(x):
        return batch_digest(as_batch(x, y))
    if key is not None:
        return None
    return [batch_digest(batch) for batch in batches(x, y, 1)]


def batch_digest(batch: Batch) -> str:
    """The digest of inputs and labels."""
    content = hashlib.sha256()
    arrays = [*keras.tree.flatten(batch.inputs)]
    for array in arrays if batch.labels is None else [*arrays, batch.labels]:
        _add(content, array)
    return content.hexdigest()


def _add(digest: Any, array: np.ndarray) -> None:
    """Add shape, dtype and values, without a copy of the whole."""
    digest.update(to_json([array.dtype.name, array.shape]))
    if array.dtype.hasobject:
        raise ValueError(
            "`x` and `y` must be numbers. Convert them first. Received: "
            f"dtype={array.dtype}"
        )
    array = np.atleast_1d(array)
    rows = max(1, BLOCK // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        part = np.ascontiguousarray(array[start : start + rows])
        digest.update(part.reshape(-1).view("uint8"))


def _config(body: keras.Model) -> Any:
    try:
        config = json.loads(body.to_json())
    except (NotImplementedError, TypeError, ValueError):
        return None
    return [config["class_name"], config["config"]]


def _without_names(
    value: Any, numbers: dict[str, int], is_name: bool = False
) -> Any:
    """Number the layers: Keras gives every new layer another name.

    Which of them are trainable does not matter either.
    """
    if isinstance(value, str) and is_name:
        return numbers.setdefault(value, len(numbers))
    if isinstance(value, list):
        return [_without_names(each, numbers, is_name) for each in value]
    if not isinstance(value, dict):
        return value
    if str(value.get("class_name")).endswith("DTypePolicy"):
        return value  # its name determines it
    return {
        key: _without_names(each, numbers, is_name or key in NAMES)
        for key, each in value.items()
        if key != "trainable"
    }


def _packages(body: keras.Model) -> set[str]:
    layers = layers_of(body)
    return {type(layer).__module__.partition(".")[0] for layer in layers}


def _check_code(body: keras.Model, config: Any) -> None:
    if config is None:
        _ask_for_key("body", f"the configuration of {body.name}")
    for layer in layers_of(body):
        known = type(layer).__module__.partition(".")[0] in KNOWN
        if not known or isinstance(layer, keras.layers.Lambda):
            _ask_for_key("body", f"the code of {layer.name}")
    for function in _functions(config):
        _ask_for_key("body", f"the code of {function}")


def _functions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("class_name") in ("function", "__lambda__"):
            yield str(value.get("config"))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _functions(each)


def _ask_for_key(name: str, what: str) -> NoReturn:
    raise ValueError(
        f"`key` must be given: {what} can't be told from what it was. Pass a "
        "string, and another one whenever that changes. Received: "
        f"{name}, key=None"
    )
