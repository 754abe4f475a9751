"""Grad-CAM with several inputs, with attention, and with sure models."""

import keras
import numpy as np
import pytest
from subjects import CLASSES, SHAPE, cnn, images

from keras_fast.inference import grad_cam, top_losses
from keras_fast.inference._layers import conv_layer

layers, ops = keras.layers, keras.ops


def numbers(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def with_facts(structure, size=SHAPE[:2]):
    """A model whose facts turn the sign of what it sees."""
    image = keras.Input((*size, SHAPE[-1]), name="image")
    facts = keras.Input((4,), name="facts")
    maps = layers.Conv2D(4, 3, padding="same", name="maps")(image)
    pooled = layers.GlobalAveragePooling2D()(maps)
    seen = pooled * facts
    outputs = layers.Dense(CLASSES, "softmax", name="scores")(seen)
    inputs = [facts, image]
    if structure is dict:
        inputs = {"image": image, "facts": facts}
    return keras.Model(inputs, outputs)


FACTS = np.random.default_rng(3).normal(size=(40, 4)).astype("float32")


def given(structure, x, facts):
    if structure is dict:
        return {"image": x, "facts": facts}
    return structure([facts, x])


@pytest.mark.parametrize("structure", [list, tuple, dict])
def test_other_inputs_are_handed_on(structure):
    model = with_facts(structure)
    x, _ = images(40)  # more than go at once
    result = grad_cam(model, given(structure, x, FACTS), class_index=1)
    np.testing.assert_array_equal(result.images, x)
    maps = numbers(model.get_layer("maps")(x))
    kernel = numbers(model.get_layer("scores").kernel)[:, 1]
    heat = np.maximum(np.einsum("nhwc,nc->nhw", maps, FACTS * kernel), 0)
    highest = heat.max(axis=(1, 2), keepdims=True)
    expected = heat / np.where(highest > 0, highest, 1)
    np.testing.assert_allclose(result.heatmaps, expected, atol=1e-5)


def test_small_images_beside_others_are_enlarged():
    model = with_facts(list, (None, None))
    x, _ = images(2)
    small = x[:, :4, :4]
    found = grad_cam(model, [FACTS[:2], small], class_index=0).heatmaps
    larger = numbers(ops.image.resize(small, (7, 7), "bilinear"))
    heat = grad_cam(model, [FACTS[:2], larger], class_index=0).heatmaps
    resized = numbers(ops.image.resize(heat[..., None], (4, 4)))[..., 0]
    highest = np.maximum(resized.max(axis=(1, 2), keepdims=True), 1e-9)
    np.testing.assert_allclose(found, resized / highest, atol=1e-5)


def test_inputs_of_top_losses_can_be_looked_at():
    model = with_facts(dict)
    model.compile(loss="sparse_categorical_crossentropy")
    x, y = images(6)
    worst = top_losses(model, given(dict, x, FACTS[:6]), y, k=2)
    result = grad_cam(model, worst.inputs)
    np.testing.assert_array_equal(result.images, x[worst.indices])


@pytest.mark.parametrize(
    "inputs",
    [
        [np.zeros((2, *SHAPE)), np.zeros((2, *SHAPE))],
        {"image": np.zeros((2, 4)), "facts": np.zeros((2, 4))},
        [np.zeros((3, 4)), np.zeros((2, *SHAPE))],
    ],
    ids=["two images", "no image", "two lengths"],
)
def test_inputs_that_are_not_clear_are_refused(inputs):
    with pytest.raises(ValueError, match="all of them, of one length"):
        grad_cam(with_facts(list), inputs)


def test_a_list_of_images_is_one_array():
    x, _ = images(2)
    model = cnn()
    np.testing.assert_array_equal(
        grad_cam(model, list(x)).heatmaps, grad_cam(model, x).heatmaps
    )


def transformer(patches=True):
    """Attention over patches, with all that has four axes on the way."""
    inputs = keras.Input((8, 8, 2))
    x = layers.Rescaling(2.0)(inputs)
    if patches:
        x = layers.Conv2D(8, 2, strides=2, name="patches")(x)
        x = layers.ReLU(name="last")(x)
        x = layers.Reshape((16, 8))(x)
    else:
        x = layers.Dense(8)(layers.Reshape((16, 8))(x))
    q = layers.Permute((2, 1, 3))(layers.Reshape((16, 2, 4))(x))
    weights = layers.Softmax(name="attention")(q @ ops.swapaxes(q, 2, 3))
    x = layers.Permute((2, 1, 3), name="tokens")(weights @ q)
    x = layers.Reshape((16, 8))(x)
    places = layers.Reshape((4, 4, 8), name="places")(x)
    pooled = layers.GlobalAveragePooling2D()(places)
    return keras.Model(inputs, layers.Dense(CLASSES, name="scores")(pooled))


def test_attention_is_not_taken_for_feature_maps():
    assert conv_layer(transformer()).name == "last"
    model = transformer(patches=False)
    x, _ = images(2)
    with pytest.raises(ValueError, match=r"put a `keras\.layers\.Reshape`"):
        grad_cam(model, x)
    # Which is what helps: tokens in the places that they have.
    found = grad_cam(model, x, layer="places", class_index=1)
    body = keras.Model(model.input, model.get_layer("places").output)
    kernel = numbers(model.get_layer("scores").kernel)[:, 1]
    heat = np.maximum(numbers(body(x)) @ kernel, 0)[..., None]
    heat = numbers(ops.image.resize(heat, (8, 8), "bilinear"))[..., 0]
    expected = heat / heat.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(found.heatmaps, expected, atol=1e-5)


def test_maps_stay_maps_through_what_keeps_their_places():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Multiply()([x, layers.Conv2D(4, 1)(gate)])
    x = layers.MaxPooling2D(name="pool")(ops.relu(x))
    body = keras.Model(inputs, x)
    head = keras.Sequential(
        [
            layers.BatchNormalization(name="within"),
            layers.GlobalAveragePooling2D(),
        ]
    )
    assert conv_layer(keras.Sequential([inputs, body, head])).name == "within"
    assert conv_layer(keras.Sequential([inputs, body])).name == "pool"


class Sure(keras.Model):
    """Ends in a function that no one can see."""

    def __init__(self, units, end, factor=1.0):
        super().__init__()
        self.conv = layers.Conv2D(4, 3, name="conv")
        self.pool = layers.GlobalAveragePooling2D()
        self.dense = layers.Dense(units)
        self.end, self.factor = end, factor

    def call(self, x):
        scores = self.dense(self.pool(self.conv(x)))
        return self.end(self.factor * scores)


@pytest.mark.parametrize(
    ("units", "end"), [(CLASSES, ops.softmax), (1, ops.sigmoid)]
)
def test_a_gradient_that_is_lost_is_named(units, end):
    model, (x, _) = Sure(units, end, 1e5), images(2)
    model(x)
    with pytest.raises(ValueError, match="so sure here that its gradient is 0"):
        grad_cam(model, x, layer="conv", class_index=0)


@pytest.mark.parametrize("from_logits", [False, True])
def test_one_output_is_known_by_the_loss(from_logits):
    end = keras.activations.linear if from_logits else ops.sigmoid
    model = Sure(1, end)
    x, _ = images(12)
    model(x)
    scores = numbers(model.dense(model.pool(model.conv(x))))
    model.dense.bias.assign([-np.median(scores)])
    outputs = numbers(model(x))[:, 0]
    model.compile(loss=keras.losses.BinaryCrossentropy(from_logits=from_logits))
    found = grad_cam(model, x, layer="conv").classes
    expected = outputs > (0 if from_logits else 0.5)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(found, expected)


def test_an_activation_passed_as_a_function():
    x, _ = images(3)
    expected = grad_cam(cnn(), x).heatmaps
    for function in (ops.softmax, lambda scores: ops.softmax(scores)):
        found = grad_cam(cnn(activation=function), x).heatmaps
        np.testing.assert_allclose(found, expected, atol=1e-6)
