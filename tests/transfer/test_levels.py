"""Features by level of resolution, on small networks and known families."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_fast.transfer.levels import features_by_level

X = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
# By level, the channels and the layer that makes them, from the papers'
# networks as `summary()` prints them.
KNOWN = {
    "ResNet50V2": {
        1: (64, "conv1_conv"),
        2: (256, "conv2_block2_out"),
        3: (512, "conv3_block3_out"),
        4: (1024, "conv4_block5_out"),
        5: (2048, "post_relu"),
    },
    "InceptionV3": {1: 64, 2: 192, 3: (288, "mixed2"), 4: 768, 5: 2048},
    # Its stem makes a quarter, in a nested Sequential model.
    "ConvNeXtTiny": {2: 96, 3: 192, 4: 384, 5: 768},
    "VGG16": {
        0: (64, "block1_conv2"),
        1: (128, "block2_conv2"),
        2: (256, "block3_conv3"),
        3: (512, "block4_conv3"),
        4: (512, "block5_conv3"),
        5: (512, "block5_pool"),
    },
}
QUICK = {"ConvNeXtTiny", "VGG16"}


def found(network, channels=3):
    images = keras.Input((None, None, channels))
    features = features_by_level(network, images)
    return images, features


def made_by(features):
    return {n: x._keras_history.operation.name for n, x in features.items()}


def branched():
    """Residual, padded, branched, squeezed: each way round a layer."""
    inputs = keras.Input((None, None, 3))
    x = layers.Rescaling(2.0, name="scaled")(inputs)
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="stem")(x)
    y = layers.Conv2D(4, 3, padding="same", name="around")(x)
    x = layers.Add(name="sum")([x, y])
    x = layers.ZeroPadding2D(1, name="padded")(x)
    x = layers.Conv2D(6, 3, strides=2, name="smaller")(x)
    left = layers.Conv2D(5, 1, name="left")(x)
    right = layers.Conv2D(7, 1, name="right")(x)
    x = layers.Concatenate(name="joined")([left, right])
    y = layers.GlobalAveragePooling2D(keepdims=True, name="squeezed")(x)
    y = layers.Conv2D(12, 1, activation="sigmoid", name="excited")(y)
    x = layers.Multiply(name="weighed")([x, y])
    left = layers.Conv2D(8, 2, strides=2, name="left_smaller")(x)
    right = layers.MaxPooling2D(2, name="right_smaller")(x)
    x = layers.Concatenate(name="last")([left, right])
    return keras.Model(inputs, layers.Dropout(0.5)(x), name="branched")


def test_the_last_tensor_that_all_paths_cross():
    network = branched()
    images, features = found(network)
    expected = {1: "sum", 2: "weighed", 3: "last"}
    assert made_by(features) == expected
    of_levels = keras.Model(images, list(features.values()))(X)
    names = expected.values()
    alone = keras.Model(
        network.input, [network.get_layer(name).output for name in names]
    )(X)
    for ours, keras_own in zip(of_levels, alone, strict=True):
        np.testing.assert_allclose(*map(numbers, (ours, keras_own)), atol=1e-6)


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_the_last_where_paths_never_meet():
    inputs = keras.Input((None, None, 3))
    b = layers.Conv2D(3, 1, strides=2, name="b")(inputs)
    a = layers.Conv2D(2, 1, strides=2, name="a")(inputs)
    a = layers.Conv2D(4, 1, strides=2)(a)
    b = layers.Conv2D(4, 1, strides=2)(b)
    network = keras.Model(inputs, layers.Add(name="sum")([a, b]))
    assert made_by(found(network)[1]) == {1: "a", 2: "sum"}


def test_nested_models_are_opened():
    inner = keras.Sequential(
        [
            keras.Input((None, None, 4)),
            layers.Conv2D(5, 3, strides=2, name="inner"),
            layers.LayerNormalization(name="norm"),
            layers.Conv2D(6, 3, strides=2, name="last"),
        ]
    )
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 1, strides=2, name="outer")(inputs)
    network = keras.Model(inputs, inner(x))
    around = keras.Sequential([layers.Rescaling(1 / 255), network])
    around.build((None, None, None, 3))
    images, features = found(around)
    assert made_by(features) == {1: "outer", 2: "norm", 3: "last"}
    model = keras.Model(images, list(features.values()))
    np.testing.assert_allclose(
        numbers(model(X)[-1]), numbers(around(X)), atol=1e-6
    )


def test_a_network_that_makes_nothing_smaller():
    network = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(2, 3, padding="same")]
    )
    assert list(found(network)[1]) == [0]
    plain = keras.Sequential([keras.Input((None, None, 3)), layers.ReLU()])
    assert found(plain)[1] == {}


def test_no_calls_are_noted_for_the_search():
    network = branched()
    found(network)
    # One from building it, one from applying it.
    assert len(network.get_layer("stem")._inbound_nodes) == 2


@pytest.mark.once
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.stress)
        for name in KNOWN
    ],
)
def test_known_families(name):
    network = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )
    _, features = found(network)
    names = made_by(features)
    ours = {n: (x.shape[-1], names[n]) for n, x in features.items()}
    for level, expected in KNOWN[name].items():
        if not isinstance(expected, tuple):
            ours[level] = ours[level][0]
    assert ours == KNOWN[name]
