"""Is the head what stands behind the base, however people assemble them?"""

import contextlib

import keras
import numpy as np
import pytest
from helpers import since

from keras_fast import (
    fine_tune,
    freeze,
    layer_groups,
    layer_multipliers,
    split_head,
    training_plan,
)

L, ops = keras.layers, keras.ops
Dense = L.Dense
RNG = np.random.default_rng(0)
SIZE = (8, 8, 3)
ASSEMBLIES = []


def assembly(build):
    """The head's layers are h1, h2, ..., and no others begin with an h."""
    ASSEMBLIES.append(build)
    return build


def marked(builds):
    return [
        pytest.param(build, marks=getattr(build, "pytestmark", ()))
        for build in builds
    ]


def conv(name):
    return L.Conv2D(4, 3, padding="same", activation="relu", name=name)


def layers_of_base():
    return [conv("b1"), conv("b2"), L.MaxPooling2D(), conv("b3")]


def chain(x, *layers):
    for layer in layers:
        x = layer(x)
    return x


def functional(shape, *layers, **arguments):
    inputs = keras.Input(shape)
    return keras.Model(inputs, chain(inputs, *layers), **arguments)


def base(*more):
    return functional(SIZE, *layers_of_base(), *more, name="base")


def top(*before, shape=(4, 4, 4)):
    return keras.Sequential(
        [
            keras.Input(shape),
            *before,
            L.Flatten(),
            Dense(5, name="h1"),
            L.Dropout(0.5),
            Dense(2, name="h2"),
        ],
        name="top",
    )


def augmenter():
    return keras.Sequential([L.RandomFlip(), L.Rescaling(1 / 255)])


def images(*parts):
    return keras.Sequential([keras.Input(SIZE), *parts])


# Base and top, both, one or none of them nested.


@assembly
def flat_base_and_top():
    net = base()
    return keras.Model(net.input, top()(net.output))


@assembly
def base_and_top():
    return keras.Sequential([base(), top()])


@assembly
def base_and_top_called():
    return functional(SIZE, base(), top())


@assembly
def base_and_top_of_one_model_each():
    inner = keras.Sequential([keras.Input(SIZE), conv("b1")])
    outer = top(shape=(8, 8, 4))
    return images(inner, outer)


@assembly
def augmented_and_built_later():
    model = keras.Sequential([augmenter(), base(), L.Flatten(), Dense(2)])
    model.layers[-1].name = "h1"
    model.build((None, *SIZE))
    return model


@assembly
def base_then_layers():
    return functional(SIZE, base(), L.GlobalMaxPooling2D(), Dense(2, name="h1"))


@assembly
def base_then_convolution():
    pool = L.GlobalAveragePooling2D()
    return images(base(), conv("h1"), pool, Dense(2, name="h2"))


@assembly
def base_that_pools_and_top():
    net = base(L.GlobalAveragePooling2D())
    return images(augmenter(), net, top(shape=(4,)))


@assembly
def top_with_a_convolution():
    layers = [conv("h1"), L.GlobalAveragePooling2D(), Dense(2, name="h2")]
    return images(base(), functional((4, 4, 4), *layers))


@assembly
def flat_base_and_top_with_a_convolution():
    net = base()
    layers = [conv("h1"), L.GlobalAveragePooling2D(), Dense(2, name="h2")]
    return keras.Model(net.input, functional((4, 4, 4), *layers)(net.output))


@assembly
def top_in_two_models():
    last = keras.Sequential([keras.Input((2,)), Dense(3, name="h3")])
    return images(base(), top(), last)


@assembly
def top_and_a_layer():
    return images(base(), top(), Dense(1, name="h3"))


@assembly
def stages():
    parts = [
        keras.Sequential(
            [keras.Input((8, 8, channels)), conv(f"b{i}"), conv(f"c{i}")]
        )
        for i, channels in enumerate((3, 4, 4))
    ]
    return images(*parts, L.GlobalAveragePooling2D(), Dense(2, name="h1"))


@assembly
def an_adapter_before():
    adapter = keras.Sequential([keras.Input(SIZE), L.Conv2D(3, 1, name="a")])
    return images(adapter, base(), top())


@assembly
def an_adapter_before_a_classifier():
    adapter = keras.Sequential([keras.Input(SIZE), L.Conv2D(3, 1, name="a")])
    return images(adapter, base_then_layers())


@assembly
def wrapped():
    return images(L.Rescaling(1 / 255), base_then_layers(), L.Softmax())


@assembly
def wrapped_twice():
    return images(augmenter(), functional(SIZE, wrapped()))


@assembly
def wrapped_flat():
    return images(base(L.Flatten(), Dense(3, name="h1")))


@assembly
def base_in_an_extractor():
    extractor = functional(SIZE, L.Rescaling(1 / 255), base(), L.Flatten())
    return images(extractor, Dense(2, name="h1"))


@assembly
def encoder_and_decoder():
    encoder = functional((4,), Dense(3, name="b1"), Dense(2, name="b2"))
    decoder = functional((2,), Dense(3, name="h1"), Dense(4, name="h2"))
    return functional((4,), encoder, decoder)


@assembly
def normalized_and_adapted():
    norm = L.Normalization(mean=0.0, variance=1.0)
    prepared = keras.Sequential([keras.Input(SIZE), norm])
    return images(prepared, base_then_layers())


# Flat: `input_tensor`, copied layers, another top, operations.


@assembly
def on_input_tensor():
    inputs = keras.Input((32, 32, 3))
    net = keras.applications.MobileNet(
        input_tensor=L.Rescaling(1 / 127.5, -1)(inputs),
        alpha=0.25,
        include_top=False,
        weights=None,
    )
    x = L.GlobalAveragePooling2D()(net.output)
    return keras.Model(inputs, Dense(2, name="h1")(x))


@assembly
def copied_layers():
    model = keras.Sequential()
    for layer in base().layers:
        model.add(layer)
    for layer in (L.Flatten(), Dense(3, name="h1"), Dense(2, name="h2")):
        model.add(layer)
    return model


@assembly
def another_top():
    net = base(L.Flatten(), Dense(5, name="h1"), Dense(1000, name="old"))
    return keras.Model(net.input, Dense(2, name="h2")(net.layers[-2].output))


def excited(x):
    """Squeeze and excitation, which pools on the way."""
    scale = chain(
        x,
        L.GlobalAveragePooling2D(),
        L.Reshape((1, 1, 4)),
        L.Conv2D(2, 1, activation="relu", name="squeeze"),
        L.Conv2D(4, 1, activation="sigmoid", name="excite"),
    )
    return L.Multiply()([x, scale])


@assembly
def mean_of_maps():
    return base(
        excited, lambda x: ops.mean(x, axis=(1, 2)), Dense(2, name="h1")
    )


@assembly
def mean_behind_a_base():
    return functional(
        SIZE, base(), lambda x: ops.max(x, (1, 2)), Dense(2, name="h1")
    )


@assembly
def reshaped():
    return base(L.Reshape((64,)), Dense(2, name="h1"))


@assembly
def reshaped_by_an_operation():
    return base(lambda x: ops.reshape(x, (-1, 64)), Dense(2, name="h1"))


@assembly
def pooled_by_a_lambda():
    pool = L.Lambda(lambda x: ops.mean(x, (1, 2)), output_shape=(4,))
    return base(pool, Dense(2, name="h1"))


@assembly
def kept_dims():
    pool = L.GlobalAveragePooling2D(keepdims=True)
    return base(pool, L.Conv2D(2, 1, name="h1"), L.Flatten())


@assembly
def kept_dims_by_an_operation():
    return base(
        lambda x: ops.mean(x, (1, 2), keepdims=True),
        L.Conv2D(2, 1, name="h1"),
        L.Flatten(),
    )


@assembly
@since("3.13")
def adaptive_pooling():
    pool = L.AdaptiveAveragePooling2D(1)
    return base(pool, L.Conv2D(2, 1, name="h1"), L.Flatten())


@assembly
def two_poolings():
    def pools(x):
        both = L.GlobalMaxPooling2D()(x), L.GlobalAveragePooling2D()(x)
        return L.Concatenate()(both)

    return base(pools, L.BatchNormalization(name="h1"), Dense(2, name="h2"))


# Words and sequences.


class Backbone(keras.Model):
    """As KerasHub's are: functional, of a class of its own, with a dict."""

    def __init__(self):
        inputs = {
            name: keras.Input((6,), dtype="int32", name=name)
            for name in ("ids", "mask")
        }
        x = L.Embedding(9, 4, name="b1")(inputs["ids"])
        x *= ops.expand_dims(ops.cast(inputs["mask"], x.dtype), -1)
        for i in (2, 3):
            seen = L.MultiHeadAttention(1, 4, name=f"b{i}")(x, x)
            x = L.LayerNormalization(name=f"n{i}")(x + seen)
        pooled = Dense(4, name="pooler")(x[:, 0, :])
        super().__init__(
            inputs, {"sequence_output": x, "pooled_output": pooled}
        )


@assembly
def backbone_and_first_word():
    net = Backbone()
    x = net(net.input)["sequence_output"][:, 0, :]
    x = Dense(4, "tanh", name="h1")(L.Dropout(0.1)(x))
    return keras.Model(net.input, Dense(2, name="h2")(x))


@assembly
def backbone_that_pools():
    net = Backbone()
    x = L.Dropout(0.1)(net(net.input)["pooled_output"])
    return keras.Model(net.input, Dense(2, name="h1")(x))


@assembly
def flat_backbone():
    net = Backbone()
    x = net.output["sequence_output"][:, 0]
    return keras.Model(net.input, Dense(2, name="h1")(x))


@assembly
def recurrent():
    return functional(
        (6,),
        L.Embedding(9, 4, name="b1"),
        L.LSTM(4, return_sequences=True, name="b2"),
        L.LSTM(4, name="b3"),
        Dense(3, name="h1"),
        Dense(2, name="h2"),
    )


@assembly
def images_in_a_row():
    """A base for each image, and what looks at all of them."""
    return functional(
        (3, *SIZE),
        L.TimeDistributed(base(L.GlobalAveragePooling2D()), name="b0"),
        L.LSTM(4, name="h1"),
        Dense(2, name="h2"),
    )


@assembly
def low_rank():
    net = functional(
        (4,), *(Dense(4, name=name) for name in ("b1", "b2", "b3"))
    )
    for layer in net.layers[1:]:
        layer.enable_lora(1)
    return keras.Sequential([net, Dense(2, name="h1")])


# Several inputs, outputs or bases.


@assembly
def shared_base():
    inputs, net = [keras.Input(SIZE), keras.Input(SIZE)], base(L.Flatten())
    a, b = map(net, inputs)
    return keras.Model(inputs, Dense(1, name="h1")(ops.abs(a - b)))


@assembly
def two_bases():
    nets = [base(L.Flatten()), Backbone()]
    inputs = [keras.Input(SIZE), nets[1].input]
    x = [nets[0](inputs[0]), nets[1](inputs[1])["pooled_output"]]
    x = Dense(3, name="h1")(L.Concatenate()(x))
    return keras.Model(inputs, Dense(2, name="h2")(x))


@assembly
def a_table_beside_the_base():
    inputs = [keras.Input(SIZE), keras.Input((3,))]
    pooled = L.GlobalAveragePooling2D()(base()(inputs[0]))
    x = L.Concatenate()([pooled, Dense(4, name="h1")(inputs[1])])
    return keras.Model(inputs, Dense(2, name="h2")(x))


@assembly
def two_heads():
    inputs = keras.Input(SIZE)
    x = L.Flatten()(base()(inputs))
    heads = [Dense(2, name="h1")(x), Dense(1, name="h2")(x)]
    return keras.Model(inputs, heads)


@assembly
def maps_and_scores():
    inputs = keras.Input(SIZE)
    x = base()(inputs)
    scores = Dense(2, name="h2")(L.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, [L.Conv2D(1, 1, name="h1")(x), scores])


# Their heads begin in several places.
NO_CUT = {a_table_beside_the_base}
TRAINED = [
    base_and_top,
    flat_base_and_top,
    mean_of_maps,
    wrapped,
    backbone_and_first_word,
    low_rank,
]


def inputs_of(model):
    def numbers(tensor):
        shape = (3, *tensor.shape[1:])
        if shape == (3, 6):  # words
            return RNG.integers(0, 2, shape).astype("int32")
        return RNG.normal(size=shape).astype("float32")

    sequential = isinstance(model, keras.Sequential)
    inputs = model.inputs[0] if sequential else model.input
    return keras.tree.map_structure(numbers, inputs)


def arrays(tensors):
    return [ops.convert_to_numpy(x) for x in keras.tree.flatten(tensors)]


def leaves(model):
    """The layers with weights, those of nested models too."""
    return [
        layer
        for layer in model._flatten_layers()
        if layer.weights and not isinstance(layer, keras.Model)
    ]


def split_by_name(model):
    """The ids of the variables that can train, of the head and of the rest."""
    ids = [set(), set()]
    for layer in leaves(model):
        # Parts of a layer of the head are named as they like.
        within = [p for p in layer._flatten_layers() if p.name[0] != "b"]
        for part in within if layer.name[0] == "h" else [layer]:
            its = {id(v) for v in part._trainable_variables}
            ids[layer.name[0] != "h"] |= its
    ids[1] -= ids[0]
    return ids


def test_the_table_is_long():
    assert len({build.__name__ for build in ASSEMBLIES}) >= 40


@pytest.mark.once
@pytest.mark.parametrize("build", marked(ASSEMBLIES))
def test_head(build):
    model = build()
    head, body = split_by_name(model)
    *others, last = layer_groups(model)
    assert all(layer.name[0] == "h" for layer in last)
    assert not any(layer.name[0] == "h" for g in others for layer in g)
    *_, row = training_plan(model).rows
    assert row["layers"].startswith(f"head: {last[0].name}")
    multipliers = layer_multipliers(model, slice(0.1, 1.0))
    for variable, value in zip(multipliers.variables, multipliers, strict=True):
        assert (value == 1.0) == (id(variable) in head)
    freeze(model)
    assert {id(v) for v in model.trainable_variables} == head
    assert head and body


@pytest.mark.once
@pytest.mark.parametrize(
    "build", marked(b for b in ASSEMBLIES if b not in NO_CUT)
)
def test_cut(build):
    model = build()
    x = inputs_of(model)
    body, head = split_head(model)
    whole = arrays(model(x, training=False))
    parts = arrays(head(body(x, training=False), training=False))
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    names = {layer.name for layer in leaves(head)} - {"lstm_cell"}
    assert names == {
        layer.name for layer in leaves(model) if layer.name[0] == "h"
    }


@pytest.mark.parametrize("build", TRAINED)
def test_frozen_fit_moves_the_head_alone(build):
    model = build()
    head, _ = split_by_name(model)
    freeze(model)
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = {id(v): np.array(v) for v in model.weights}
    x = inputs_of(model)
    model.fit(x, np.ones((3, *model.output_shape[1:])), verbose=0)
    moved = {
        id(v) for v in model.weights if np.any(before[id(v)] != np.array(v))
    }
    assert moved
    assert moved <= head
    last = [v for v in leaves(model)[-1].weights if id(v) in head]
    assert not last or any(id(v) in moved for v in last)


class AtTheEnd(keras.callbacks.Callback):
    """What has moved when the frozen epoch is over."""

    def __init__(self, before):
        super().__init__()
        self.before = before

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.moved = {
                id(v)
                for v in self.model.weights
                if np.any(self.before[id(v)] != np.array(v))
            }


def test_fine_tune_begins_with_the_head():
    model = base_and_top()
    head, _ = split_by_name(model)
    model.compile("sgd", "mse")
    look = AtTheEnd({id(v): np.array(v) for v in model.weights})
    fine_tune(
        model,
        inputs_of(model),
        np.ones((3, 2)),
        epochs=1,
        head_epochs=0,
        freeze_epochs=1,
        momentums=None,
        callbacks=[look],
        verbose=0,
    )
    assert look.moved
    assert look.moved <= head


def test_a_head_that_begins_in_several_places_is_not_cut():
    with pytest.raises(ValueError, match="not all paths go through one"):
        split_head(a_table_beside_the_base())


# Nothing marks a head.


X = np.ones((3, 4))
QUICK = {"head_epochs": 0, "momentums": None, "verbose": 0}


def plain(count):
    return functional((4,), *(Dense(4, name=f"d{i}") for i in range(count)))


def u_net():
    inputs = keras.Input(SIZE)
    first = conv("d0")(inputs)
    x = first
    for i in range(1, 5):
        x = conv(f"d{i}")(x)
    return keras.Model(inputs, conv("d5")(L.Concatenate()([x, first])))


def per_word():
    return functional(
        (6,),
        L.Embedding(9, 4, name="d0"),
        *(L.Conv1D(4, 2, name=f"d{i}") for i in range(1, 5)),
        Dense(9, name="d5"),
    )


@pytest.mark.parametrize("build", [lambda: plain(6), u_net, per_word])
def test_what_is_taken_for_a_head_is_said(build):
    model = build()
    assert [[x.name for x in g] for g in layer_groups(model)] == [
        ["d0", "d1"],
        ["d2", "d3"],
        ["d4", "d5"],
    ]
    assert "head" not in str(training_plan(model))
    named = r"\['d4', 'd5'\] are taken for the head"
    with pytest.warns(UserWarning, match=named):
        freeze(model)
    with (
        pytest.warns(UserWarning, match=named),
        contextlib.suppress(ValueError),  # it can't be cut, as a U-Net
    ):
        split_head(model)


def test_fine_tune_says_it_once():
    model = plain(6)
    model.compile("sgd", "mse")
    words = "are taken for the head"
    with pytest.warns(UserWarning, match=words) as caught:
        fine_tune(model, X, X, epochs=1, **QUICK)
    [said] = [each for each in caught if words in str(each.message)]
    assert said.filename == __file__


def test_one_layer_is_taken_for_a_head_without_a_word():
    model = plain(5)
    freeze(model)
    _, head = split_head(model)
    assert [layer.name for layer in leaves(head)] == ["d4"]


# Not built.


def partly_built():
    return keras.Sequential([L.Rescaling(1.0), plain(3), Dense(1, name="new")])


CALLS = [
    layer_groups,
    freeze,
    split_head,
    training_plan,
    lambda m: layer_groups(m, 2),
    lambda m: layer_multipliers(m, slice(0.1, 1.0)),
    lambda m: layer_multipliers(m, [0.1, 1.0]),
    lambda m: layer_multipliers(m, [0.1, 1.0], [[m.layers[1]], [m.layers[2]]]),
    lambda m: fine_tune(m, X, X, epochs=1, momentums=None),
]


@pytest.mark.parametrize("call", CALLS)
def test_layers_that_are_not_built_are_named(call):
    model = partly_built()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"`model` must be built.*'new'\]$"):
        call(model)
    assert all(layer.trainable for layer in model._flatten_layers())


def test_built_layers_in_a_model_that_is_not_built_are_known():
    layers = [plain(3), Dense(1)]
    layers[1].build((None, 4))
    model = keras.Sequential()
    for layer in layers:
        model.add(layer, rebuild=False)
    assert not model.built
    assert layer_groups(model)[-1] == layers[1:]
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="features that are computed once"):
        fine_tune(model, X, X[:, :1], epochs=1, momentums=None, verbose=0)
