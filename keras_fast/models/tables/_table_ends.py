"""What do all table models share? Inputs, and an end for their targets."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_fast._checks import several, shown
from keras_fast.layers import ScaledSigmoid

__all__ = ["checked_targets", "config_of", "free_name", "inputs_of", "scaled"]


def config_of(encoder: Any) -> dict[str, Any]:
    """The configuration of an adapted encoder."""
    if isinstance(encoder, type) or not hasattr(encoder, "vocabularies"):
        raise TypeError(
            "`encoder` must be a TableEncoder. Make one with "
            "`keras_fast.data.TableEncoder` and adapt it to the training data. "
            f"Received: encoder={shown(encoder)}"
        )
    return encoder.get_config()


def inputs_of(config: dict[str, Any]) -> dict[str, Any]:
    """An input for each of the encoder's arrays, by name."""
    state = config["state"]
    types = dict.fromkeys(state["categories"], "int32")
    for name, scale in state["numbers"].items():
        types[name] = "float32"
        if scale["missing"]:
            types[f"{name}_na"] = "float32"
    return {
        name: keras.Input((), dtype=dtype, name=name)
        for name, dtype in types.items()
    }


def free_name(name: str, taken: Iterable[str]) -> str:
    """This name, or a similar one that no column has."""
    while name in taken:
        name += "_"
    return name


def checked_targets(
    targets: Any, num_outputs: int, y_range: Any
) -> np.ndarray | None:
    """Targets as (rows, num_outputs) floats, all finite and in the range."""
    if y_range is not None and len(several("y_range", y_range)) != 2:
        raise ValueError(
            "`y_range` must be the lowest and the highest target. Pass two "
            f"numbers, as (0, 5.5). Received: y_range={y_range!r}"
        )
    if targets is None:
        return None
    values = np.asarray(targets)
    if values.dtype.kind not in "biuf" or not values.ndim:
        raise TypeError(
            "`targets` must be numbers, one a row. Pass them for regression "
            f"alone. Received: targets={shown(targets)}"
        )
    values = values[:, None] if values.ndim == 1 else values
    if values.shape[1:] != (num_outputs,) or not len(values):
        raise ValueError(
            f"`targets` must be (rows, {num_outputs}), as the outputs are. "
            "Pass those of the training data. Received: targets of shape "
            f"{np.shape(targets)}"
        )
    _check_values(values, y_range)
    return values.astype("float64")


def _check_values(values: np.ndarray, y_range: Any) -> None:
    rows = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(rows):
        raise ValueError(
            "`targets` must be finite. Drop the rows without a target, from "
            f"the table too. Received: {shown(values[rows[0]].tolist())} in "
            f"row {rows[0]} and {len(rows)} rows in all"
        )
    if y_range is None:
        return
    low, high = y_range
    for value in (values.min(), values.max()):
        if not low <= value <= high:
            raise ValueError(
                "`y_range` must reach over all targets. Pass a wider range, or "
                f"drop what is beyond it. Received: y_range={y_range!r} and "
                f"a target of {value:g}"
            )


def scaled(
    x: Any, targets: np.ndarray | None, y_range: Any, taken: Iterable[str]
) -> Any:
    """Outputs with the targets' mean and spread, within the range.

    Args:
        x: Outputs near 0, with a spread of about 1.
        targets: (rows, num_outputs), or None to leave outputs unshifted.
        y_range: Two numbers, or None.
        taken: Names that no layer may have.
    """
    if targets is not None:
        mean, spread = targets.mean(axis=0), targets.std(axis=0)
        spread = np.where(spread > 0, spread, 1.0)
        if y_range is not None:  # where the sigmoid has that mean and slope
            low, high = y_range
            share = np.clip((mean - low) / (high - low), 0.01, 0.99)
            mean = np.log(share / (1 - share))
            spread = spread / (high - low) / (share * (1 - share))
        one = len(mean) == 1
        x = keras.layers.Rescaling(
            float(spread[0]) if one else spread.tolist(),
            float(mean[0]) if one else mean.tolist(),
            name=free_name("scale", taken),
            dtype="float32",
        )(x)
    if y_range is not None:
        name = free_name("range", taken)
        x = ScaledSigmoid(*y_range, name=name, dtype="float32")(x)
    return x
