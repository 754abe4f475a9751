"""A U-Net on the smallest network of each family in keras.applications."""

import keras
import numpy as np
import pytest

from keras_fast import layer_groups, models, unfreeze

# By family, the first and the last level with a connection to the decoder.
SMALLEST = {
    "MobileNet": (1, 4),
    "MobileNetV3Small": (1, 4),
    "ConvNeXtTiny": (2, 4),  # its stem makes a quarter at once
    "DenseNet121": (1, 4),
    "EfficientNetB0": (1, 4),
    "EfficientNetV2B0": (1, 4),
    "InceptionResNetV2": (1, 4),
    "InceptionV3": (1, 4),
    "MobileNetV2": (1, 4),
    "NASNetMobile": (1, 4),
    "ResNet50": (1, 4),
    "ResNet50V2": (1, 4),
    "VGG16": (0, 4),
    "Xception": (1, 4),
}
pytestmark = pytest.mark.once  # single operations are slow on JAX
PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 101, 200, 3))
PIXELS = PIXELS.astype("float32")


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


# Where only one runs, it is the quickest.
@pytest.mark.matrix(1)
@pytest.mark.parametrize("name", SMALLEST)
def test_every_family(name):
    model = models.unet(name, 3, weights=None, input_shape=(96, 96, 3))
    layers = {layer.name for layer in model.layers}
    levels = [n for n in range(5) if f"level{n}_skip_bn" in layers]
    first, last = SMALLEST[name]
    assert levels == [*range(first, last + 1)]
    _, _, decoder = layer_groups(model)
    inside = {layer.name for layer in model.get_layer("encoder").layers}
    assert not inside & {layer.name for layer in decoder}
    for layer in decoder:
        if layer.name.endswith("_bn2"):  # some start at 0
            layer.gamma.assign(keras.ops.ones_like(layer.gamma))
    unfreeze(model)
    model.compile("adam", "mse", run_eagerly=True)
    pixels = PIXELS[:, :96, :96]
    before = [numbers(w) for w in model.trainable_weights]
    model.train_on_batch(pixels, pixels / 255)
    moved = [
        np.any(old != numbers(new))
        for old, new in zip(before, model.trainable_weights, strict=True)
    ]
    assert np.mean(moved) > 0.9
    # Its own layers take multiples of 32 alone.
    sizes = [(96, 128)] if name == "NASNetMobile" else [(101, 127), (75, 200)]
    for height, width in sizes:
        found = model(PIXELS[:, :height, :width])
        assert found.shape == (2, height, width, 3)
