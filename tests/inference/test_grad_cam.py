"""Heatmaps against the closed form, on models of every build.

Where global average pooling and one dense layer follow the feature maps, the
gradient of a score by a map is the same weight at every place: Grad-CAM is
the sum of the maps with the dense layer's weights (Zhou et al., 2016).
"""

import keras
import numpy as np
import pytest
from subjects import CLASSES, SHAPE, cnn, images

from keras_fast.inference import grad_cam
from keras_fast.inference._layers import conv_layer
from keras_fast.models import image_classifier

layers = keras.layers


def numbers(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def normalized(heat):
    heat = np.maximum(heat, 0)
    return heat / heat.max(axis=(1, 2), keepdims=True)


def cam(model, x, classes):
    """The closed form, from the maps and the last kernel."""
    maps = keras.Model(model.inputs[0], model.get_layer("maps").output)(x)
    kernel = numbers(model.get_layer("scores").kernel)
    return normalized(
        np.einsum("nhwc,cn->nhw", numbers(maps), kernel[:, classes])
    )


@pytest.mark.parametrize("activation", ["softmax", None, "sigmoid"])
@pytest.mark.parametrize("class_index", [None, 1, [2, 0, 1, 1]])
def test_it_is_the_closed_form(activation, class_index):
    model = cnn(activation=activation)
    x, _ = images(4)
    classes = class_index
    if class_index is None:
        classes = model.predict(x, verbose=0).argmax(axis=1)
    classes = np.broadcast_to(classes, 4)
    result = grad_cam(model, x, class_index=class_index)
    np.testing.assert_array_equal(result.classes, classes)
    expected = cam(model, x, classes)
    np.testing.assert_allclose(result.heatmaps, expected, atol=1e-5)


def test_an_activation_of_its_own_layer():
    for end in (layers.Softmax(), layers.Activation("softmax")):
        bare = cnn(activation=None)
        model = keras.Sequential([keras.Input(SHAPE), *bare.layers, end])
        x, _ = images(4)
        expected = cam(bare, x, np.array([2] * 4))
        result = grad_cam(model, x, class_index=2)
        np.testing.assert_allclose(result.heatmaps, expected, atol=1e-5)


def test_two_classes_of_one_output():
    model = cnn(1, "sigmoid", loss="binary_crossentropy")
    x, _ = images(6)
    result = grad_cam(model, x)
    predicted = model.predict(x, verbose=0)[:, 0] > 0.5
    assert 0 < predicted.mean() < 1
    np.testing.assert_array_equal(result.classes, predicted)
    kernel = model.get_layer("scores").kernel
    for index, sign in enumerate((-1, 1)):
        kernel.assign(numbers(kernel) * sign)
        expected = cam(model, x, np.zeros(6, int))
        kernel.assign(numbers(kernel) * sign)
        found = grad_cam(model, x, class_index=index).heatmaps
        np.testing.assert_allclose(found, expected, atol=1e-5)


def upsampled(heat, size):
    """Bilinear, of pixels' centres, in NumPy."""
    for axis in (1, 2):
        old = heat.shape[axis]
        at = (np.arange(size) + 0.5) * old / size - 0.5
        at = np.clip(at, 0, old - 1)
        low = np.floor(at).astype(int)
        high = np.minimum(low + 1, old - 1)
        part = (at - low).reshape([-1 if a == axis else 1 for a in range(3)])
        heat = (1 - part) * heat.take(low, axis) + part * heat.take(high, axis)
    return heat


def base():
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="first")(inputs)
    x = layers.BatchNormalization()(x)
    branch = layers.Conv2D(6, 1, name="branch")(x)
    x = layers.Activation("relu", name="last")(layers.Add()([x, branch]))
    return keras.Model(inputs, x, name="base")


def nested(wrapped=False):
    """A base within a model (within another), its pixels scaled before."""
    inputs = keras.Input((16, 16, 3))
    body = base()
    x = body(layers.Rescaling(1 / 255)(inputs))
    x = layers.GlobalAveragePooling2D()(x)
    dense = layers.Dense(CLASSES, "softmax", name="scores", dtype="float32")
    head = keras.Sequential([layers.Dropout(0.5), dense], name="head")
    model = keras.Model(inputs, head(x))
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    if wrapped:
        inputs = keras.Input((16, 16, 3))
        model = keras.Model(inputs, model(inputs))
    return model, body, numbers(dense.kernel)


PIXELS = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("by", ["default", "name", "layer"])
def test_nested_models_are_opened(wrapped, by):
    model, body, kernel = nested(wrapped)
    layer = {"default": None, "name": "last", "layer": body.layers[-1]}[by]
    result = grad_cam(model, PIXELS, layer=layer, class_index=1)
    maps = numbers(body(PIXELS / np.float32(255)))
    heat = np.maximum(np.einsum("nhwc,c->nhw", maps, kernel[:, 1]), 0)
    expected = normalized(upsampled(heat, 16))
    np.testing.assert_allclose(result.heatmaps, expected, atol=1e-5)
    np.testing.assert_array_equal(result.images, PIXELS)


@pytest.mark.parametrize("name", ["first", "branch", "base"])
def test_any_layer_with_maps_will_do(name):
    model = nested()[0]
    found = grad_cam(model, PIXELS, layer=name, class_index=0).heatmaps
    last = grad_cam(model, PIXELS, class_index=0).heatmaps
    assert found.shape == (3, 16, 16)
    assert found.max() == 1
    assert (name == "base") == np.array_equal(found, last)


def test_gradient_of_an_early_layer_equals_finite_differences():
    model, body, kernel = nested()
    scaled = PIXELS[:1] / np.float32(255)
    first = numbers(body.get_layer("first")(scaled))

    def score(first):
        normal = body.layers[2](first, training=False)
        branch = body.get_layer("branch")(normal)
        maps = np.maximum(numbers(normal) + numbers(branch), 0)
        return float(maps[0].astype(float).mean((0, 1)) @ kernel[:, 1])

    weights = []
    for channel in range(6):
        step = np.zeros_like(first)
        step[..., channel] = 1e-3
        rise = score(first + step) - score(first - step)
        weights.append(rise / 2e-3)
    heat = np.maximum((first * weights).sum(-1), 0)
    expected = normalized(upsampled(heat, 16))
    found = grad_cam(model, PIXELS[:1], layer="first", class_index=1)
    np.testing.assert_allclose(found.heatmaps, expected, atol=5e-3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    expected = grad_cam(nested()[0], PIXELS, class_index=1).heatmaps
    keras.config.set_dtype_policy(policy)
    try:
        model = nested()[0]
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.layers[2].compute_dtype == policy.removeprefix("mixed_")
    found = grad_cam(model, PIXELS, class_index=1).heatmaps
    assert found.dtype == np.float32
    atol = 0.01 if policy == "mixed_float16" else 0.05
    np.testing.assert_allclose(found, expected, atol=atol)


def test_the_classifiers_of_this_library():
    body = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.Conv2D(6, 3, activation="relu"),
        ]
    )
    model = image_classifier(body, CLASSES, input_shape=(32, 32, 3))
    x = np.random.default_rng(0).uniform(0, 255, (2, 48, 40, 3))
    result = grad_cam(model, x)
    assert result.heatmaps.shape == (2, 48, 40)
    predicted = model.predict(x, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(result.classes, predicted)


class Subclassed(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.conv = layers.Conv2D(4, 3, name="conv")
        self.pool = layers.GlobalAveragePooling2D()
        self.dense = layers.Dense(units)

    def call(self, x):
        return self.dense(self.pool(self.conv(x)))


def test_subclassed_models_need_the_layer():
    model = Subclassed(CLASSES)
    x, _ = images(2)
    model(x)
    with pytest.raises(ValueError, match="Pass `layer`"):
        grad_cam(model, x)
    found = grad_cam(model, x, layer="conv", class_index=1).heatmaps
    heat = numbers(model.conv(x)) @ numbers(model.dense.kernel)[:, 1]
    expected = normalized(upsampled(np.maximum(heat, 0), 8))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    one = Subclassed(1)
    one(x)
    with pytest.raises(ValueError, match="`class_index` must be given"):
        grad_cam(one, x, layer="conv")


def test_more_images_than_go_at_once():
    model = cnn()
    x, _ = images(70)
    whole = grad_cam(model, x, class_index=0).heatmaps
    part = grad_cam(model, x[64:], class_index=0).heatmaps
    np.testing.assert_allclose(whole[64:], part, atol=1e-6)


def test_nothing_speaks_for_it():
    model = cnn()
    kernel = model.get_layer("scores").kernel
    kernel.assign(-np.ones(kernel.shape))
    heatmaps = grad_cam(model, images(2)[0]).heatmaps
    assert not heatmaps.any()


def several(*ends):
    """Networks of one input, and what is made of their outputs."""
    inputs = keras.Input(SHAPE)
    members = [cnn(seed=seed) for seed in (2, 3)]
    outputs = [member(inputs) for member in members]
    for end in ends:
        outputs = end(outputs)
    return keras.Model(inputs, outputs), members


@pytest.mark.parametrize(
    "end", [layers.Average(), layers.Maximum(), layers.Multiply()]
)
def test_of_several_networks_one_must_be_chosen(end):
    model, members = several(end)
    x, _ = images(2)
    with pytest.raises(ValueError, match="look at one of the models, or pass"):
        grad_cam(model, x, class_index=1)
    followed = grad_cam(
        model, x, class_index=1, layer=members[0].get_layer("maps")
    )
    assert followed.heatmaps.max() == 1


def test_several_that_are_sure_are_told_what_helps():
    model, members = several(layers.Average())
    x, _ = images(2)
    for member in members:
        kernel = member.get_layer("scores").kernel
        kernel.assign(1e5 * kernel)
    with pytest.raises(ValueError, match="of several models look at one"):
        grad_cam(model, x, layer=members[0].get_layer("maps"))


def test_the_last_layer_that_has_all_maps_is_taken():
    inputs = keras.Input(SHAPE)
    facts = keras.Input((2,))
    pooled = layers.GlobalAveragePooling2D()
    maps = layers.Conv2D(3, 3, padding="same", name="all")(inputs)
    gate = layers.Conv2D(3, 1, activation="sigmoid", name="gate")(maps)
    whole = layers.Multiply(name="whole")([maps, gate])
    for outputs, name in (
        (pooled(maps) * pooled(gate), "all"),  # two stages, two ways
        (pooled(whole), "whole"),  # that meet again
        (layers.Dense(3)(facts) + pooled(gate), "gate"),  # and no image
    ):
        model = keras.Model([inputs, facts], outputs)
        assert conv_layer(model).name == name


def test_what_is_pooled_to_one_place_is_passed_over():
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, name="conv"),
            layers.GlobalAveragePooling2D(keepdims=True),
            layers.Conv2D(CLASSES, 1),
            layers.Flatten(),
            layers.Activation("softmax"),
        ]
    )
    x, _ = images(2)
    found = grad_cam(model, x).heatmaps
    np.testing.assert_array_equal(
        found, grad_cam(model, x, layer="conv").heatmaps
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layer": "cnov"},
            "`layer` must be one layer.*Received: layer='cnov'",
        ),
        ({"layer": layers.Conv2D(1, 1)}, "`layer` must be one layer of the"),
        ({"layer": "scores"}, "`layer` must give feature maps"),
        ({"class_index": 3}, "`class_index` must be from 0 to 2.*index=3"),
        ({"class_index": -1}, "`class_index` must be one class, or one for"),
        ({"class_index": [0, 1, 2]}, "`class_index` must be one class, or one"),
        ({"class_index": 1.0}, "`class_index` must be one class, or one for"),
        (
            {"images": np.zeros(SHAPE)},
            "`images` must be images.*images.None.",
        ),
        ({"images": np.zeros((0, *SHAPE))}, "`images` must be images"),
    ],
)
def test_what_is_wrong_is_named(change, message):
    arguments = {"images": images(2)[0], **change}
    with pytest.raises(ValueError, match=message):
        grad_cam(cnn(), **arguments)


def test_other_models_are_refused():
    unbuilt = keras.Sequential([layers.Conv2D(2, 3), layers.Flatten()])
    with pytest.raises(ValueError, match="`model` must be built"):
        grad_cam(unbuilt, images(2)[0])
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, layers.Conv2D(2, 3)(inputs))
    with pytest.raises(ValueError, match="one number for each class"):
        grad_cam(model, images(2)[0])


def test_plot_lays_heat_over_the_images():
    result = grad_cam(cnn(), images(2)[0], class_index=1)
    height, width = SHAPE[:2]
    assert repr(result) == f"GradCAM(2 images of {height} x {width})"
    axes = result.plot(["cat", "dog", "fox"])
    assert [ax.get_title() for ax in axes] == ["dog", "dog"]
    _, heat = axes[1].get_images()
    np.testing.assert_array_equal(heat.get_array(), result.heatmaps[1])


def small_any_size(shape=(None, None, 3)):
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="maps")(inputs)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, name="scores")(x))


def test_small_images_are_enlarged_for_maps_of_seven_by_seven():
    model = small_any_size()
    x = np.random.default_rng(1).uniform(size=(3, 8, 8, 3)).astype("float32")
    result = grad_cam(model, x)
    classes = model.predict(x, verbose=0).argmax(axis=1)
    np.testing.assert_array_equal(result.classes, classes)
    larger = numbers(keras.ops.image.resize(x, (14, 14), "bilinear"))
    maps = keras.Model(model.input, model.get_layer("maps").output)(larger)
    kernel = numbers(model.get_layer("scores").kernel)[:, classes]
    heat = np.maximum(np.einsum("nhwc,cn->nhw", numbers(maps), kernel), 0)
    expected = normalized(upsampled(heat, 8))
    np.testing.assert_allclose(result.heatmaps, expected, atol=1e-5)


def test_a_model_of_one_size_gets_the_images_as_they_are():
    model = small_any_size((8, 8, 3))
    x = np.random.default_rng(1).uniform(size=(3, 8, 8, 3)).astype("float32")
    result = grad_cam(model, x, class_index=1)
    maps = keras.Model(model.input, model.get_layer("maps").output)(x)
    kernel = numbers(model.get_layer("scores").kernel)[:, [1, 1, 1]]
    heat = np.maximum(np.einsum("nhwc,cn->nhw", numbers(maps), kernel), 0)
    expected = normalized(upsampled(heat, 8))
    np.testing.assert_allclose(result.heatmaps, expected, atol=1e-5)
