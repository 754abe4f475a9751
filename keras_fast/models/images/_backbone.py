"""The network that an image model begins with, prepared for its images."""

import os

import keras

from keras_fast._keras.graph import run_through, specified
from keras_fast.models._checks import Shape, feature_maps, weights_path
from keras_fast.models.images._preprocessing import application, mode_of
from keras_fast.models.images._reshape import any_size, with_channels

__all__ = ["frozen_backbone"]


def frozen_backbone(
    backbone: str | keras.Model,
    weights: str | os.PathLike | None,
    shape: Shape,
) -> tuple[keras.Model, str | None]:
    """A network for images of any size and its mode in `MODES`.

    Its layers are frozen, and those of a passed model are shared.
    """
    base, mode = _with_weights(backbone, weights)
    base = any_size(with_channels(base, shape[-1]))
    _check_size(base, shape)
    base.trainable = False
    return base, mode


def _with_weights(
    backbone: str | keras.Model, weights: str | os.PathLike | None
) -> tuple[keras.Model, str | None]:
    path = weights_path(weights)
    if isinstance(backbone, str):
        source = "imagenet" if weights == "imagenet" else None
        base, mode = application(backbone, source)
    else:
        base = feature_maps(backbone)
        mode = mode_of(base)
    if path is not None:
        base.load_weights(path)
    return base, mode


def _check_size(base: keras.Model, shape: Shape) -> None:
    try:
        images = keras.KerasTensor((None, *shape))
        # A nested Sequential model refuses shapes other than its own, even if
        # its layers accept them.
        fits = 0 not in run_through(base, images, specified).shape
    except ValueError:  # a kernel larger than the remaining map
        fits = False
    if not fits:
        raise ValueError(
            "`input_shape` must be large enough for the backbone to leave a "
            "feature. Pass larger images. Received: "
            f"input_shape={shape!r}, backbone={base.name}"
        )
