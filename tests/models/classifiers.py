"""Small backbones, and classifiers on them."""

import keras
import numpy as np

from keras_fast.models import image_classifier

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 40, 48, 5))
PIXELS = PIXELS.astype("float32")


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def scores(model, x):
    """Compiled where single operations are slow."""
    if keras.backend.backend() == "jax":
        return model.predict(x, verbose=0)
    return numbers(model(x))


def base_of(model):
    return next(x for x in model.layers if isinstance(x, keras.Model))


def backbone(channels=3, size=(None, None), before=()):
    return keras.Sequential(
        [
            keras.Input((*size, channels)),
            *before,
            keras.layers.Conv2D(4, 3, strides=2, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Conv2D(6, 3, activation="relu"),
        ],
        name="small",
    )


def functional(**arguments):
    base = backbone(**arguments)
    return keras.Model(base.inputs[0], base.outputs[0])


def classifier(base=None, num_classes=3, **arguments):
    arguments = {"input_shape": (32, 32, 3), "head_units": 512, **arguments}
    return image_classifier(base or backbone(), num_classes, **arguments)


def features(model):
    node = base_of(model)._inbound_nodes[-1]
    return keras.Model(model.input, node.outputs[0])
