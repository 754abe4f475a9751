import keras
import numpy as np
import pytest
from helpers import BACKEND, distance, weights

from keras_fast import freeze, split_head
from keras_fast.models import image_classifier

layers = keras.layers
X = np.random.default_rng(0).uniform(0, 255, (6, 8, 8, 3)).astype("float32")
Y = np.arange(6) % 3


def backbone(size=None):
    return keras.Sequential(
        [
            keras.Input((size, size, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(5, 3, activation="relu"),
            layers.BatchNormalization(),
        ],
        name="network",
    )


def classifier():
    return image_classifier(backbone(), 3, head_units=4)


def sequential():
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(5, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )


def nested():
    return keras.Sequential(
        [backbone(8), layers.Flatten(), layers.Dense(4), layers.Dense(3)]
    )


def two_outputs():
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalMaxPooling2D()(backbone()(inputs))
    return keras.Model(inputs, [layers.Dense(3)(x), layers.Dense(1)(x)])


def numbers(tensors):
    return [
        keras.ops.convert_to_numpy(t).astype("float32")
        for t in keras.tree.flatten(tensors)
    ]


MODELS = {
    classifier: (10,),
    sequential: (5,),
    two_outputs: (5,),
}


@pytest.mark.parametrize("build", MODELS)
def test_head_of_body_is_the_model(build):
    model = build()
    body, head = split_head(model)
    assert body.output_shape == (None, *MODELS[build])
    for a, b in zip(numbers(model(X)), numbers(head(body(X))), strict=True):
        np.testing.assert_array_equal(a, b)
    shared = {id(v) for v in [*body.variables, *head.variables]}
    assert shared == {id(v) for v in model.variables}


def test_a_network_that_is_the_first_layer():
    model = nested()
    body, head = split_head(model)
    assert body.output_shape == (None, 180)
    np.testing.assert_array_equal(
        numbers(model(X))[0], numbers(head(body(X)))[0]
    )
    assert len(head.layers) == 3  # with its input


def test_dropout_is_of_the_head():
    _, head = split_head(sequential())
    assert any(isinstance(layer, layers.Dropout) for layer in head.layers)


@pytest.mark.parametrize("by_name", [True, False])
def test_at_a_network_gives_its_maps(by_name):
    model = classifier()
    network = next(x for x in model.layers if isinstance(x, keras.Model))
    body, head = split_head(model, at=network.name if by_name else network)
    assert body.output_shape == (None, None, None, 5)
    np.testing.assert_array_equal(
        numbers(model(X))[0], numbers(head(body(X)))[0]
    )


def test_training_the_head_is_training_the_model():
    models = [classifier() for _ in range(2)]
    models[1].set_weights(models[0].get_weights())
    rates = [
        layer for m in models for layer in m.layers if hasattr(layer, "rate")
    ]
    for layer in rates:
        layer.rate = 0.0
    body, head = split_head(models[0])
    features = body.predict(X, verbose=0)
    for model, x in ((head, features), (models[1], X)):
        model.compile(
            keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy"
        )
        model.fit(x, Y, batch_size=3, epochs=2, shuffle=False, verbose=0)
    assert distance(weights(models[0]), weights(models[1])) <= 1e-6
    fresh = classifier()
    assert distance(weights(models[0])[-12:], weights(fresh)[-12:]) > 1e-3


def test_scores_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier()
        body, head = split_head(model)
    finally:
        keras.config.set_dtype_policy("float32")
    assert body.output.dtype == "float16"
    assert head.input.dtype == "float16"
    assert head.output.dtype == "float32"
    difference = distance(numbers(model(X))[0], numbers(head(body(X)))[0])
    assert difference <= (1e-6 if BACKEND != "torch" else 1e-3)


def test_freezing_is_as_it_was():
    model = classifier()
    _, head = split_head(model)
    assert len(head.trainable_variables) == len(model.trainable_variables)
    model = sequential()
    freeze(model)
    body, head = split_head(model)
    assert not body.trainable_variables
    assert len(head.trainable_variables) == 2


def skipping():
    inputs = keras.Input((4,))
    x = layers.Dense(4, name="first")(inputs)
    x = layers.Dense(4, name="second")(x)
    x = layers.Concatenate()([x, inputs])
    return keras.Model(inputs, layers.Dense(1, name="last")(x), name="skipping")


def twice():
    inputs, layer = keras.Input((4,)), layers.Dense(4, name="twice")
    return keras.Model(inputs, layers.Dense(1)(layer(layer(inputs))))


@pytest.mark.parametrize(
    ("build", "at", "words"),
    [
        (skipping, "first", "can be cut in two at one tensor"),
        (skipping, "last", "can be cut in two at one tensor"),
        (skipping, "third", "a layer that the model itself calls once"),
        (skipping, 3, "a layer that the model itself calls once"),
        (twice, "twice", "a layer that the model itself calls once"),
        (lambda: keras.Sequential([layers.Dense(1)]), "dense", "built"),
        (
            lambda: keras.Sequential([keras.Input((4,)), layers.Dense(1)]),
            None,
            "no layer with weights is wholly before its head",
        ),
    ],
)
def test_what_cannot_be_cut(build, at, words):
    with pytest.raises(ValueError, match=words) as error:
        split_head(build(), at)
    assert "Received: " in str(error.value)


def test_the_cut_may_be_behind_what_meets_again():
    body, head = split_head(skipping())
    assert body.output_shape == (None, 8)
    assert len(head.trainable_variables) == 2


def test_a_subclassed_model_is_refused():
    class Mine(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(ValueError, match="a built functional or Sequential"):
        split_head(Mine())
    with pytest.raises(TypeError, match="a Keras model"):
        split_head("model")
