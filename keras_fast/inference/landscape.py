"""What does the loss look like around the trained weights?"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_fast._checks import compiled as checked
from keras_fast._checks import positive, whole
from keras_fast._keras.batches import weighted_batches
from keras_fast._keras.compiled import compiled
from keras_fast._keras.layers import forget_losses
from keras_fast._keras.progress import counted
from keras_fast.plots.landscape import plot_landscape

__all__ = ["LossLandscape", "loss_landscape"]

ops = keras.ops


@dataclass(frozen=True, eq=False, repr=False)
class LossLandscape:
    """The loss on a plane through the weights of a model.

    Args:
        losses: (points, points) float64: a row for each step along the first
            direction, a column for each along the second.
        steps: The distance of each from the weights, (points,); 1 changes each
            filter by its own norm.

    Examples:
        >>> from keras_fast.inference import LossLandscape
        >>> steps = np.linspace(-1, 1, 5)
        >>> result = LossLandscape(steps[:, None] ** 2 + steps**2, steps)
        >>> contours, surface = result.plot()
        >>> contours.get_xlabel()
        'second direction'
    """

    losses: np.ndarray
    steps: np.ndarray

    def __repr__(self) -> str:
        points, middle = len(self.steps), len(self.steps) // 2
        return (
            f"LossLandscape({points} x {points} points, loss "
            f"{self.losses[middle, middle]:.4g} in the middle, from "
            f"{np.nanmin(self.losses):.4g} to {np.nanmax(self.losses):.4g})"
        )

    def plot(self) -> Any:
        """Draw contours and a surface and return their matplotlib `Axes`, (2,).

        Losses that span more than a factor of ten are drawn on a logarithmic
        scale.

        Raises:
            ValueError: No loss is finite.
        """
        if not np.isfinite(self.losses).any():
            raise ValueError(
                "`losses` must be finite somewhere. Look at the data and the "
                "weights of the model. Received: losses of NaN or inf alone"
            )
        return plot_landscape(self.losses, self.steps)


def loss_landscape(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    points: int = 21,
    span: float = 1.0,
    sample_weight: Any = None,
    batch_size: int | None = None,
    seed: int = 0,
    verbose: int | str = 0,
) -> LossLandscape:
    """Compute the loss on a plane through the weights of a model.

    Two random directions span the plane. In each, every filter has the norm of
    the model's filter, so landscapes of different networks can be compared;
    biases and the parameters of normalization layers stay as they are. The
    loss is that of `evaluate()`: without dropout, with the penalties of the
    layers, and with unchanged batch normalization statistics. It comes from
    the model's `compute_loss()`; a custom `test_step()` is not used.

    Two directions out of millions show little. A smooth landscape does not
    show how well a network generalizes.

    The weights are not touched: the model computes with other values.

    Args:
        model: A compiled, built model. Nothing in it changes.
        x: Data, as accepted by `fit()`. All of it is used at each point, so a
            few hundred samples are enough.
        y: Labels, as in `fit()`.
        points: Points in each direction, an odd number: the one in the middle
            is the model itself.
        span: How far to go in each direction; 1 is the norm of the weights.
        sample_weight: As in `evaluate()`.
        batch_size: Batch size for arrays; 256 if None.
        seed: Seed of the directions.
        verbose: `"auto"` or 1 shows a progress bar.

    Returns:
        A `LossLandscape`.

    Raises:
        ValueError: The model is not compiled or not built, has no trainable
            kernel, or `points` is not odd.

    Examples:
        >>> result = keras_fast.inference.loss_landscape(model, x, y, points=3)
        >>> loss = model.evaluate(x, y, verbose=0)
        >>> bool(np.isclose(result.losses[1, 1], loss, rtol=1e-5))
        True

    Reference:

    - [Li et al., 2018](https://arxiv.org/abs/1712.09913)
    """
    checked(model)
    if whole("points", points) % 2 == 0:
        raise ValueError(
            "`points` must be odd, so that one of them is the model itself. "
            f"Pass {points + 1}. Received: points={points}"
        )
    span = positive("span", span)
    whole("seed", seed, 0)
    directions = _directions(model, np.random.default_rng(seed))
    data = weighted_batches(x, y, sample_weight, batch_size=batch_size or 256)
    held: list[Any] = [
        keras.tree.map_structure(_tensor, batch) for batch in data
    ]
    rows = [_rows(batch) for batch in held]
    loss_at = compiled(_loss(model, directions), model, model.variables)
    steps = np.linspace(-span, span, points)
    steps[points // 2] = 0
    losses = np.zeros((points, points))
    places = counted(np.ndindex(*losses.shape), losses.size, verbose)
    for i, j in places:
        at = np.array([steps[i], steps[j]], "float32")
        found = [float(loss_at((at, *batch))) for batch in held]
        losses[i, j] = np.average(found, weights=rows)
    forget_losses(model)
    return LossLandscape(losses, steps)


def _directions(
    model: keras.Model, rng: np.random.Generator
) -> list[tuple[keras.Variable, np.ndarray]]:
    """Kernels, and two directions for each, (2, ...) float32."""
    found = []
    for variable in model.trainable_variables:
        values = ops.convert_to_numpy(variable).astype("float32")
        if values.ndim < 2:
            continue
        drawn = rng.standard_normal((2, *values.shape), "float32")
        filters = tuple(range(1, values.ndim))  # all but the last axis
        lengths = np.sqrt((drawn**2).sum(axis=filters, keepdims=True))
        own = np.sqrt((values**2).sum(axis=tuple(range(values.ndim - 1))))
        found.append((variable, drawn / lengths * own))
    if not found:
        raise ValueError(
            "`model` must be built and have kernels that train. Call it on "
            f"data once, or unfreeze it. Received: model={model.name}"
        )
    return found


def _loss(model: Any, directions: Any) -> Any:
    ways = [(v, tuple(map(_tensor, pair))) for v, pair in directions]

    def loss(inputs: Any) -> Any:
        at, x, y, sample_weight = inputs
        steps: Any = ops.convert_to_tensor(at)
        mapping = [
            (variable, variable.value + steps[0] * first + steps[1] * second)
            for variable, (first, second) in ways
        ]
        with keras.StatelessScope(mapping, collect_losses=True):
            outputs = model(x, training=False)
            return model.compute_loss(
                x=x,
                y=y,
                y_pred=outputs,
                sample_weight=sample_weight,
                training=False,
            )

    return loss


def _tensor(array: Any) -> Any:
    return None if array is None else ops.convert_to_tensor(array)


def _rows(batch: Any) -> int:
    return len(keras.tree.flatten(batch)[0])
