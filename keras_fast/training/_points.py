"""Where does a head that finds points start?"""

from typing import Any

import keras
import numpy as np

from keras_fast.layers import SoftArgmax
from keras_fast.training._features import Features

__all__ = ["start_points"]


def start_points(head: keras.Model, given: Features) -> None:
    """Move each point to its mean in the data, if the head finds points.

    From the middle of the image the offsets would need hundreds of updates to
    get there, and what the features say would be learned around a wrong point.

    Raises:
        ValueError: A point is NaN or infinite, `y` or the weights are of
            another shape, or `y` is in pixels where the head finds shares.
    """
    *_, maps, last = [None, *head.layers]
    if not isinstance(last, SoftArgmax) or not _has_bias(maps, last):
        return
    points = np.asarray(keras.tree.flatten(given.y)[0], np.float32)
    if points.shape[1:] != (last.num_points, 2):
        raise ValueError(  # a loss would broadcast them
            "`y` must be x and y of each point, (n, num_points, 2). Give a "
            "single point an axis of its own, `y[:, None]`. Received: y of "
            f"shape {points.shape}, num_points={last.num_points}"
        )
    if not np.isfinite(points).all():
        row, point, _ = np.argwhere(~np.isfinite(points))[0]
        raise ValueError(
            "`y` must be finite. Give a point that is missing any position, "
            "and a `sample_weight` of 0, (n, num_points). Received: "
            f"y[{row}, {point}]={points[row, point].tolist()}"
        )
    mean = _mean(points, given.sample_weight)
    if last.stride is None and np.abs(mean).max() > 2:
        raise ValueError(
            "`y` must be shares of the image, from -1 to 1. Scale it, or give "
            "`point_regressor` `units='pixels'`. Received: y with a mean of "
            f"{mean.tolist()}"
        )
    maps.kernel.assign(np.zeros(maps.kernel.shape))
    sample = keras.tree.map_structure(lambda x: x[:1], given.x)

    def found(offset: float) -> np.ndarray:
        maps.bias.assign(_bias(np.full_like(mean, offset)))
        return np.asarray(head.predict_on_batch(sample))[0]

    # It is linear in the offsets, in pixels or in shares of the image.
    begin, unit = found(0), found(1)
    maps.bias.assign(_bias((mean - begin) / (unit - begin)))


def _has_bias(maps: Any, last: SoftArgmax) -> bool:
    return (
        isinstance(maps, keras.layers.Conv2D)
        and maps.use_bias
        and maps.activation is keras.activations.linear
        and maps.filters == 3 * last.num_points
    )


def _bias(offsets: np.ndarray) -> np.ndarray:
    """Equal scores, then these offsets."""
    right, down = offsets.T
    return np.concatenate([np.zeros_like(right), right, down])


def _mean(points: np.ndarray, weights: Any) -> np.ndarray:
    """Of the points that are there, by their weights."""
    if weights is None:
        return points.mean(axis=0)
    weights = np.asarray(weights, np.float32)
    # Keras reads (n,) as weights of points if a batch has as many images.
    if (weights.ndim == 1 and points.shape[1] > 1) or weights.shape[2:] == (2,):
        raise ValueError(
            "`sample_weight` must be (n, num_points), a weight for each point. "
            "Pass (n, 1) for one for each image. Received: sample_weight of "
            f"shape {weights.shape}"
        )
    weights = weights.reshape(weights.shape + (1,) * (3 - weights.ndim))
    # Not 0 in all, or there is no mean.
    weights = np.broadcast_to(weights, points.shape) + 1e-9
    return np.average(points, axis=0, weights=weights)
