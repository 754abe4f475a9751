"""Can these targets move with the images?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["MOVED", "check_targets"]

# What moves with the images.
MOVED = ("images", "segmentation_masks", "targets", "keypoints")
# Likely names for them, under which they would stay in place.
GUESSES = {
    "mask": "segmentation_masks",
    "masks": "segmentation_masks",
    "points": "keypoints",
}


def check_targets(inputs: Mapping[str, Any]) -> None:
    """Refuse a dictionary whose entries don't fit its images."""
    if "images" not in inputs:
        raise ValueError(
            "`inputs` must have `images`. Pass a dictionary such as "
            "{'images': x, 'labels': y}. Received: inputs with "
            f"{sorted(inputs)}"
        )
    if "bounding_boxes" in inputs:
        raise ValueError(
            "`bounding_boxes` must not be given: they are not moved. "
            "Use Keras's Random* layers for them. "
            f"Received: inputs with {sorted(inputs)}"
        )
    for guess in sorted(GUESSES.keys() & inputs.keys()):
        raise ValueError(
            f"`{guess}` must have the name of what moves with the images. Call "
            f"it `{GUESSES[guess]}`. Received: inputs with {sorted(inputs)}"
        )
    images = _shape(inputs["images"])
    if images is None:
        return
    batched = len(images) == 4
    for name in (*MOVED, "keypoint_weights"):
        shape = _shape(inputs[name]) if name in inputs else None
        if shape is not None and batched and not _fits(shape[:1], images[:1]):
            raise ValueError(
                f"`{name}` must have an entry for each image. Check both. "
                f"Received: {name} of shape {shape}, images of shape {images}"
            )
        if name == "keypoints" and shape is not None:
            _check_points(shape, batched)


def _check_points(shape: tuple[Any, ...], batched: bool) -> None:
    if len(shape) < 2 + batched or shape[-1] not in (2, None):
        form = "(n, num_points, 2)" if batched else "(num_points, 2)"
        raise ValueError(
            f"`keypoints` must be {form}, x and y of each point. Give a single "
            "point an axis of its own, `points[:, None]`, and pass what else "
            "is known of points on its own. "
            f"Received: keypoints of shape {shape}"
        )


def _fits(first: tuple[Any, ...], second: tuple[Any, ...]) -> bool:
    return bool(first) and (None in (*first, *second) or first == second)


def _shape(values: Any) -> tuple[Any, ...] | None:
    """The shape; None if even the number of axes is unknown."""
    try:
        return tuple(getattr(values, "shape", None) or np.shape(values))
    except ValueError:
        return None
