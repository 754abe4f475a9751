"""From which sides should a trained model look at an image?"""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_fast._checks import at_least
from keras_fast.data import AugTransforms

__all__ = ["corners_and_flips", "dihedral", "flips", "turned_back"]

View = Callable[[Any], Any]


def flips(*, vertical: bool = False) -> list[View]:
    """Mirror images: left to right, or in all three ways.

    For `predict_tta`. Outputs that are images are turned back.

    Args:
        vertical: Also upside down, and both.

    Returns:
        One view, or three.

    Examples:
        >>> [mirror] = keras_fast.inference.flips()
        >>> image = np.arange(4.0).reshape(1, 2, 2, 1)
        >>> keras.ops.convert_to_numpy(mirror(image)).ravel().tolist()
        [1.0, 0.0, 3.0, 2.0]
        >>> len(keras_fast.inference.flips(vertical=True))
        3
    """
    both: list[View] = [_Side(False, True), _Side(True, True)]
    return [_Side(True, False), *(both if vertical else [])]


def dihedral() -> list[View]:
    """Turn and mirror square images: the seven other ways to lay a tile.

    For `predict_tta`. Outputs that are images are turned back. Use it for
    images without an upright position, such as from above or a microscope.

    Returns:
        Seven views.

    Examples:
        >>> len(keras_fast.inference.dihedral())
        7
    """
    states = (False, True)
    sides = [_Side(x, y, t) for t in states for y in states for x in states]
    return [*sides[1:]]


def corners_and_flips(*, scale: float = 1.35) -> list[View]:
    """Zoom into each corner, unchanged and mirrored.

    For `predict_tta`: fastai 1's views, which it uses with `beta=0.4`. They
    show a part of the image, so don't use them for models whose outputs are
    images.

    Args:
        scale: Magnification, 1 or more.

    Returns:
        Eight views.

    Raises:
        ValueError: `scale` is below 1.

    Examples:
        >>> views = keras_fast.inference.corners_and_flips()
        >>> images = np.zeros((2, 32, 32, 3), "float32")
        >>> views[0](images).shape == images.shape
        True

    Reference:

    - fastai 1.0.61, `_tta_only`
    """
    scale = at_least("scale", scale, 1)
    return [
        _Corner(scale, bool(k & 1), bool(k & 2), bool(k & 4)) for k in range(8)
    ]


@dataclasses.dataclass(frozen=True)
class _Side:
    """Transpose, then mirror."""

    left_right: bool
    up_down: bool
    transposed: bool = False

    def __call__(self, x: Any) -> Any:
        return _images(self._turn, x)

    def inverse(self, outputs: Any) -> Any:
        _refuse_points(self, outputs)
        return _images(self._turn_back, outputs)

    def _turn(self, images: Any) -> Any:
        rows, columns = _axes()
        if self.transposed:
            images = ops.swapaxes(images, rows, columns)
        return self._mirror(images)

    def _turn_back(self, images: Any) -> Any:
        rows, columns = _axes()
        images = self._mirror(images)
        if self.transposed:
            images = ops.swapaxes(images, rows, columns)
        return images

    def _mirror(self, images: Any) -> Any:
        rows, columns = _axes()
        if self.left_right:
            images = ops.flip(images, axis=columns)
        if self.up_down:
            images = ops.flip(images, axis=rows)
        return images


@dataclasses.dataclass(frozen=True)
class _Corner:
    """Zoom into a corner, then mirror."""

    scale: float
    bottom: bool
    right: bool
    mirrored: bool

    def __call__(self, x: Any) -> Any:
        return _images(self._zoom, x)

    def inverse(self, outputs: Any) -> Any:
        _refuse_points(self, outputs)
        for output in keras.tree.flatten(outputs):
            if len(output.shape) == 4:
                raise ValueError(
                    "`augment` must show whole images to a model whose "
                    "outputs are images. Use "
                    "`keras_fast.inference.flips()`. Received: "
                    f"augment={self}, an output of shape {output.shape}"
                )
        return outputs

    def _zoom(self, images: Any) -> Any:
        rows, columns = _axes()
        shape: Any = ops.shape(images)
        sizes = [shape[axis] for axis in (rows, columns)]
        parts = [slice(None)] * 4
        for axis, size, far in zip(
            (rows, columns), sizes, (self.bottom, self.right), strict=True
        ):
            kept = round(size / self.scale)
            parts[axis] = slice(size - kept, size) if far else slice(0, kept)
        zoomed = ops.image.resize(images[tuple(parts)], sizes)
        return ops.flip(zoomed, axis=columns) if self.mirrored else zoomed


def turned_back(view: Any, outputs: Any) -> Any:
    """A view's outputs, in the places of the image that it is a view of.

    Raises:
        ValueError: The outputs have places, and it can't be done.
    """
    if hasattr(view, "inverse"):
        return view.inverse(outputs)
    if not isinstance(view, AugTransforms) or not (
        view.flip or view.max_rotate or view.max_warp or view.max_zoom > 1
    ):
        return outputs
    for output in keras.tree.flatten(outputs):
        if len(output.shape) == 4 or _is_points(output):
            raise ValueError(
                "`augment` must not move pixels if outputs are masks or "
                "points. Set `flip=None, max_rotate=0, max_zoom=1, "
                "max_warp=0`. For masks, `keras_fast.inference.flips()` works "
                "too. Received: "
                f"augment={view}, an output of shape {tuple(output.shape)}"
            )
    return outputs


def _is_points(output: Any) -> bool:
    return len(output.shape) == 3 and output.shape[-1] == 2


def _refuse_points(view: View, outputs: Any) -> None:
    for output in keras.tree.flatten(outputs):
        if _is_points(output):
            raise ValueError(
                "`augment` must not move pixels if outputs are points: they "
                "can't be turned back. Pass views that only change colors. If "
                "the outputs are not x and y, pass functions: `[lambda x, "
                "view=view: view(x) for view in flips()]`. Received: "
                f"augment={view}, an output of shape {tuple(output.shape)}"
            )


def _axes() -> tuple[int, int]:
    last = keras.config.image_data_format() == "channels_last"
    return (1, 2) if last else (2, 3)


def _images(change: View, tensors: Any) -> Any:
    """Change tensors with four axes, leave the others as they are."""
    return keras.tree.map_structure(
        lambda x: change(x) if len(x.shape) == 4 else x, tensors
    )
