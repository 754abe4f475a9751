"""MixUp and CutMix for labels that are integers."""

from collections.abc import Callable
from typing import Any

import keras

from keras_fast._checks import function, whole

__all__ = ["mix"]


def mix(
    layer: keras.layers.Layer, num_classes: int
) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Let Keras's `MixUp` or `CutMix` take integer labels, in `tf.data`.

    Those layers mix labels too, and so need them one-hot. Train with a
    categorical loss, not the sparse one, and make the validation labels
    one-hot as well.

    Args:
        layer: `keras.layers.MixUp(...)` or `keras.layers.CutMix(...)`.
        num_classes: Number of classes.

    Returns:
        A function from a batch of images and integer labels to mixed
        images and labels (batch, num_classes), for `dataset.map`.

    Raises:
        ValueError: `num_classes` is below 2.
        TypeError: `layer` is not a layer.

    Examples:
        >>> mixed = keras_fast.data.mix(keras.layers.MixUp(0.4), num_classes=3)
        >>> from tensorflow.data import Dataset
        >>> images = np.zeros((4, 8, 8, 3), "float32")
        >>> train = Dataset.from_tensor_slices((images, [0, 1, 2, 1]))
        >>> x, y = next(iter(train.batch(4).map(mixed)))
        >>> y.shape == (4, 3)
        True

    Reference:

    - [Zhang et al., 2017](https://arxiv.org/abs/1710.09412)
    - [Yun et al., 2019](https://arxiv.org/abs/1905.04899)
    """
    function("layer", layer)
    whole("num_classes", num_classes, 2)
    one_hot = keras.layers.CategoryEncoding(
        num_tokens=num_classes, output_mode="one_hot"
    )

    def mixed(x: Any, y: Any) -> tuple[Any, Any]:
        batch = layer({"images": x, "labels": one_hot(y)}, training=True)
        return batch["images"], batch["labels"]

    return mixed
