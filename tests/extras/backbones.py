"""What has to hold for a backbone of another library."""

import keras
import numpy as np

from keras_fast import freeze, layer_groups, unfreeze
from keras_fast.models import image_classifier, unet

PIXELS = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 4))
PIXELS = PIXELS.astype("float32")


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def features(model):
    base = next(x for x in model.layers if isinstance(x, keras.Model))
    return keras.Model(model.input, base._inbound_nodes[-1].outputs[0])


def check_classifier(backbone, folder, sizes=(32, 64)):
    """Any size, the head's group, freezing, training, saving and loading."""
    model = image_classifier(backbone, 3, input_shape=(32, 32, 3), head_units=4)
    for size in sizes:
        assert model(PIXELS[:, :size, :size, :3]).shape == (2, 3)
    *_, head = layer_groups(model, 2)
    assert [layer.name for layer in head] == [
        "hidden_bn",
        "hidden",
        "scores_bn",
        "scores",
    ]
    assert len(model.trainable_variables) == 6
    pixels = PIXELS[:, : sizes[0], : sizes[0], :3]
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(pixels, np.array([0, 2]), verbose=0)
    unfreeze(model)
    assert len(model.trainable_variables) > 6
    model.fit(pixels, np.array([0, 2]), verbose=0)
    freeze(model)
    model.save(folder / "model.keras")
    again = keras.saving.load_model(folder / "model.keras")
    np.testing.assert_allclose(
        numbers(again(pixels)), numbers(model(pixels)), rtol=1e-4, atol=1e-6
    )


def check_unet(backbone, folder):
    """Odd sizes, the decoder's group, training, saving and loading."""
    model = unet(backbone, 3)
    pixels = PIXELS[:, :45, :38, :3]
    *_, decoder = layer_groups(model)
    inside = {layer.name for layer in model.get_layer("encoder").layers}
    assert not inside & {layer.name for layer in decoder}
    unfreeze(model)
    model.compile("sgd", "mse", run_eagerly=True)
    model.train_on_batch(pixels, pixels / 255)
    model.save(folder / "model.keras")
    again = keras.saving.load_model(folder / "model.keras")
    found = numbers(model(pixels))
    assert found.shape == (2, 45, 38, 3)
    np.testing.assert_allclose(
        numbers(again(pixels)), found, rtol=1e-4, atol=1e-4
    )


def check_other_channels(backbone):
    """A fourth channel begins without a say."""
    three, four = (
        image_classifier(backbone, 3, input_shape=(32, 32, channels))
        for channels in (3, 4)
    )
    expected = numbers(features(three)(PIXELS[:, :32, :32, :3]))
    np.testing.assert_allclose(
        numbers(features(four)(PIXELS[:, :32, :32])),
        expected,
        rtol=1e-3,
        atol=1e-4 * np.abs(expected).max(),
    )
