"""Do two images look alike to a network?"""

import warnings
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fast._checks import non_negative, several
from keras_fast.transfer.levels import features_by_level

EPSILON = 1e-6  # features may all be 0


@keras.saving.register_keras_serializable("keras_fast")
class FeatureLoss(keras.losses.Loss):
    """The difference between two images in the features of a network.

    A pixel loss prefers the mean of all plausible images, which is blurred. A
    classification network computes features that are either present or not:
    edges, textures, parts. At each resolution the loss is the mean absolute
    difference of the features, divided by the mean absolute feature of the
    batch's targets, so that no level needs its own weight. The total is the
    mean over the levels, plus the pixel loss, plus `style` times the same
    relative difference between Gram matrices, which show which features occur
    together.

    It makes images sharper, but not more accurate: their mean squared error is
    worse than with a pixel loss.

    Args:
        network: A functional model, such as a `keras.applications` network
            with `include_top=False`. It gets the images unchanged: if it needs
            another range, put a layer in front whose name is not taken, such
            as `keras.layers.Rescaling(255, name="to_255")`. Training does not
            change it.
        layers: Names of the layers whose outputs to compare; None for the
            last features of each resolution, in images of any size.
        pixel: Pixel loss, in any form that `compile(loss=...)` accepts; None
            for none. It is not relative: for images from 0 to 1 it is a small
            part of the sum, for 0 to 255 most of it.
        style: Weight of the Gram matrices.
        **kwargs: Arguments of every loss, such as `name` and `reduction`.

    Call arguments:
        y_true: Target images, (batch, height, width, channels).
        y_pred: Images of the same shape.

    A saved model compiled with it contains its settings and the structure of
    the network, but not the network's weights. Loading the model gives a
    warning: compile it again with a loss of the trained network before you
    train further, or load the model with `compile=False`.

    Raises:
        TypeError: `network` is not a model.
        ValueError: `network` does not take one batch of images or has no
            feature maps, it has no such layer, or `style` is below 0; when it
            is called, the network can't take the images.

    Examples:
        >>> network = keras.Sequential(
        ...     [
        ...         keras.Input((None, None, 3)),
        ...         keras.layers.Conv2D(4, 3, strides=2, padding="same"),
        ...         keras.layers.Conv2D(8, 3, strides=2, padding="same"),
        ...     ]
        ... )
        >>> loss = keras_fast.losses.FeatureLoss(network, style=1.0)
        >>> images = np.random.default_rng(0).uniform(size=(2, 16, 16, 3))
        >>> float(loss(images, images))
        0.0

    Reference:

    - [Johnson et al., 2016](https://arxiv.org/abs/1603.08155)
    - fast.ai's course, lesson 7 of 2019, `FeatureLoss`
    """

    def __init__(
        self,
        network: keras.Model,
        *,
        layers: Sequence[str] | None = None,
        pixel: Any = "mae",
        style: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.network = _of_images(network)
        self.layers = None if layers is None else several("layers", layers)
        self.pixel = pixel
        self._pixel_loss = keras.losses.get(pixel)
        self.style = non_negative("style", style)
        self._features = _features(network, self.layers)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each image, (batch,)."""
        for images in (y_true, y_pred):
            self._check(images)
        _check_sizes(y_true.shape, y_pred.shape)
        wanted = [ops.stop_gradient(x) for x in self._maps(y_true)]
        found = self._maps(y_pred)
        pairs = list(zip(wanted, found, strict=True))
        differences = [_relative(*pair) for pair in pairs]
        if self.style:
            differences += [
                self.style * _relative(*map(_gram, pair)) for pair in pairs
            ]
        total: Any = sum(differences)
        total = total / len(pairs)
        if self._pixel_loss is None:
            return total
        pixel: Any = self._pixel_loss
        measure = getattr(pixel, "call", pixel)
        return total + _by_sample(measure(y_true, y_pred))

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        pixel = self.pixel
        return {
            **super().get_config(),
            "network": serialize(self.network),
            "layers": self.layers,
            "pixel": pixel if isinstance(pixel, str) else serialize(pixel),
            "style": self.style,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "FeatureLoss":
        deserialize = keras.saving.deserialize_keras_object
        network = deserialize(config["network"])
        if network.weights:
            warnings.warn(
                "The network of a FeatureLoss is saved without its weights, "
                "and has new ones now. Compile the model with "
                "`FeatureLoss(network)` of the trained network before you "
                f"train it. Received: network={network.name}",
                stacklevel=2,
            )
        pixel = config["pixel"]
        if isinstance(pixel, dict):
            pixel = deserialize(pixel)
        return cls(**{**config, "network": network, "pixel": pixel})

    def _check(self, images: Any) -> None:
        # `layers` gives no more than sizes, and Keras would add an axis.
        wanted, shape = self._features.inputs[0].shape, images.shape
        fits = len(shape) == 4 and all(
            None in (own, given) or own == given
            for own, given in zip(wanted[1:], shape[1:], strict=True)
        )
        if not fits:
            raise ValueError(
                "`network` must take the images that are compared. Pass a "
                "network for such images, or convert them in a layer before "
                f"it. Received: network={self.network.name} for shape "
                f"{tuple(wanted)}, images of shape {tuple(shape)}"
            )

    def _maps(self, images: Any) -> list[Any]:
        """The features in float32: a Gram matrix overflows in float16."""
        # Stateless and without a gradient for the weights: the network does
        # not change even if it is part of the model in training.
        model = self._features
        maps, *_ = model.stateless_call(
            [ops.stop_gradient(v.value) for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            images,
            training=False,
        )
        return [ops.cast(x, "float32") for x in keras.tree.flatten(maps)]


def _check_sizes(wanted: Any, made: Any) -> None:
    sizes = zip(wanted[1:3], made[1:3], strict=True)
    if any(None not in pair and pair[0] != pair[1] for pair in sizes):
        raise ValueError(
            "`y_true` and `y_pred` must be of one size. Resize the targets. "
            f"Received: y_true of shape {tuple(wanted)}, y_pred of shape "
            f"{tuple(made)}"
        )


def _of_images(network: Any) -> keras.Model:
    if not isinstance(network, keras.Model):
        raise TypeError(
            "`network` must be a Keras model. Pass the model. "
            f"Received: network={network!r}"
        )
    inputs = getattr(network, "inputs", None) or []
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise ValueError(
            "`network` must be a functional model of one batch of images, "
            "(batch, height, width, channels). Pass such a network. Received: "
            f"network={network.name} with inputs of shape "
            f"{[tuple(x.shape) for x in inputs]}"
        )
    return network


def _features(network: Any, layers: list[str] | None) -> keras.Model:
    """A model of the features to compare; it shares the network's layers."""
    inputs = network.inputs[0]
    if layers is None:
        inputs = keras.Input((None, None, inputs.shape[-1]))
        found = list(features_by_level(network, inputs).values())
    else:
        known = {layer.name: layer for layer in network.layers}
        unknown = [name for name in layers if name not in known]
        if unknown:
            raise ValueError(
                "`layers` must be names of layers of the network, which are "
                f"{list(known)[:20]}. Received: layers={unknown}"
            )
        found = [known[name].output for name in layers]
    if not found or any(len(each.shape) != 4 for each in found):
        raise ValueError(
            "`network` must give feature maps, (batch, height, width, "
            "channels). Pass it without its head, or name such `layers`. "
            f"Received: network={network.name}, layers={layers}"
        )
    try:
        return keras.Model(inputs, found)
    except ValueError as error:
        raise ValueError(
            "`network` must have layers of different names, also in models "
            "within it. Name yours, `Rescaling(255, name='to_255')`. "
            f"Received: network={network.name} ({error})"
        ) from error


def _by_sample(values: Any) -> Any:
    """The mean of each sample, (batch,)."""
    batch: Any = ops.shape(values)[0]
    return ops.mean(ops.reshape(values, (batch, -1)), axis=-1)


def _relative(wanted: Any, found: Any) -> Any:
    """The mean absolute difference relative to the target, (batch,)."""
    # Over the whole batch: a blank image has hardly any features of its own.
    size: Any = ops.mean(ops.absolute(wanted))
    return _by_sample(ops.absolute(found - wanted)) / (size + EPSILON)


def _gram(features: Any) -> Any:
    """How strongly features occur together, (batch, channels, channels)."""
    shape: Any = ops.shape(features)
    batch, height, width, channels = shape
    flat: Any = ops.reshape(features, (batch, height * width, channels))
    together: Any = ops.matmul(ops.transpose(flat, (0, 2, 1)), flat)
    return together / ops.cast(height * width * channels, "float32")
