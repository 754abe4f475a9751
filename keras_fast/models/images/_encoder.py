"""Which features does a network compute at each resolution?"""

import keras

from keras_fast.models._checks import Shape
from keras_fast.transfer.levels import features_by_level

__all__ = ["encoder_of"]


def encoder_of(
    base: keras.Model, shape: Shape, level: int | None = None
) -> tuple[keras.Model, list[int]]:
    """A frozen model with an output for each level, and the levels.

    A level is how often the image was halved.

    Args:
        base: A network for images of any size.
        shape: Height, width and channels of the images, None for any.
        level: The only one to keep, if the network has it. Otherwise the
            nearest one of higher resolution, or the first. None for all.

    Raises:
        ValueError: The network does not make images smaller, or they are
            smaller than its stride.
    """
    images = keras.Input((None, None, shape[-1]))
    features = features_by_level(base, images)
    deepest = max(features, default=0)
    if deepest < 1:
        raise ValueError(
            "`backbone` must make images smaller, at least by half. Pass a "
            "network that ends in smaller feature maps. Received: "
            f"backbone={base.name}"
        )
    if level is not None:
        above = [each for each in features if each <= level]
        kept = max(above, default=min(features))
        features = {kept: features[kept]}
    stride = 2 ** max(features)
    if any(size is not None and size < stride for size in shape[:2]):
        raise ValueError(
            "`input_shape` must be at least as large as the stride of the "
            f"features, {stride} pixels. Pass larger images. Received: "
            f"input_shape={shape!r}, backbone={base.name}"
        )
    outputs = [*features.values()]
    outputs = outputs[0] if level is not None else outputs
    encoder = keras.Model(images, outputs, name="encoder")
    encoder.trainable = False
    return encoder, list(features)
