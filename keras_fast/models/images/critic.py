"""Which network tells real images from generated ones?"""

import keras

from keras_fast._checks import whole
from keras_fast.models._checks import Shape, channels_last, image_shape

__all__ = ["critic"]

KERNEL = 4  # also the shorter side of the last maps


def critic(input_shape: Shape, *, filters: int = 64) -> keras.Model:
    """A network that scores how real an image looks.

    fastai's basic critic: convolutions that halve the image until its shorter
    side has at most 4 pixels, with twice the filters each time, and a last one
    that turns the rest into a score. Spectral normalization limits the layers
    in place of batch normalization, which mixes the samples of a batch.

    Args:
        input_shape: Height, width and channels of the images.
        filters: Number of filters of the first convolution.

    Returns:
        A model from images, about -1 to 1 or 0 to 1, to logits (batch, 1),
        float32, not compiled. Its kernels are normalized only in training.

    Raises:
        ValueError: `filters` is below 1, or a size is unknown.
        TypeError: A size or `filters` is not a whole number.

    Examples:
        >>> critic = keras_fast.models.critic((16, 16, 3), filters=8)
        >>> critic.output_shape
        (None, 1)

    Reference:

    - fastai 2.8, `basic_critic`
    - [Miyato et al., 2018](https://arxiv.org/abs/1802.05957)
    """
    channels_last()
    height, width, channels = image_shape(input_shape)
    if height is None or width is None:
        raise ValueError(
            "`input_shape` must have a height and a width. Pass those of your "
            f"images. Received: input_shape={input_shape!r}"
        )
    whole("filters", filters)
    inputs = x = keras.Input((height, width, channels))
    while min(x.shape[1:3]) > KERNEL:
        convolution = keras.layers.Conv2D(
            filters, KERNEL, strides=2, padding="same"
        )
        x = keras.layers.LeakyReLU(0.2)(_normalized(convolution)(x))
        filters *= 2
    last = keras.layers.Conv2D(1, x.shape[1:3])
    x = keras.layers.Flatten()(_normalized(last)(x))
    x = keras.layers.Activation("linear", dtype="float32", name="score")(x)
    return keras.Model(inputs, x, name="critic")


def _normalized(layer: keras.layers.Layer) -> keras.layers.Layer:
    # Keras's power iteration overflows in float16. The convolution itself
    # keeps its policy.
    return keras.layers.SpectralNormalization(layer, dtype="float32")
