"""Which class does a label stand for, and what is its name?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["class_index", "class_name", "names_of"]


def class_index(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """The class of each label.

    Args:
        labels: Classes as numbers, (...) or (..., 1), or one-hot, (...,
            num_classes).
        num_classes: Number of classes.

    Returns:
        Classes from 0, (...) int64.

    Raises:
        ValueError: A label is not a class, or is several.
    """
    labels = np.asarray(labels)
    if labels.ndim > 1 and labels.shape[-1] == num_classes > 1:
        if not np.allclose(labels.sum(axis=-1), 1, atol=1e-3):
            raise ValueError(
                "`y` must name one class a sample. Of several, look at one "
                "at a time. Received: labels that do not sum to 1"
            )
        return labels.argmax(axis=-1)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    with np.errstate(invalid="ignore"):  # NaN is not a class
        found = labels.astype(np.int64)
    wrong = (found != labels) | (found < 0) | (found >= num_classes)
    if wrong.any():
        raise ValueError(
            f"`y` must be whole numbers from 0 to {num_classes - 1}, or "
            "one-hot. Check the labels and the model's output. "
            f"Received: {labels[wrong][0]}"
        )
    return found


def class_name(label: Any, class_names: Sequence[str] | None) -> str:
    """The text for one label.

    A class, also as probabilities of all; several, as 0 and 1; or numbers.
    """
    label = np.squeeze(label)
    if label.ndim == 1 and label.size > 1:
        if set(np.unique(label)) <= {0, 1}:
            on = np.flatnonzero(label)
            return ", ".join(class_name(i, class_names) for i in on) or "none"
        if label.min() >= 0 and abs(label.sum() - 1) < 1e-2:
            return class_name(label.argmax(), class_names)
        return ", ".join(f"{number:.3g}" for number in label)
    if label.ndim:
        return f"{label.shape}"
    whole = float(label).is_integer()
    if class_names is not None and whole and 0 <= label < len(class_names):
        return str(class_names[int(label)])
    return str(int(label)) if whole else f"{label:.3g}"


def names_of(x: Any, class_names: Sequence[str] | None) -> list[str] | None:
    """The names given, or those that the data carries, or None.

    `keras.utils.image_dataset_from_directory` gives its data `class_names`.
    """
    names = getattr(x, "class_names", None)
    if class_names is not None:
        names = class_names
    return None if names is None else [str(name) for name in names]
