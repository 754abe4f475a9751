from functools import cache

import keras
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_fast import layer_groups, layer_multipliers

Dense = keras.layers.Dense


def stack(*units, before=()):
    return keras.Sequential(
        [keras.Input((4,)), *before, *(Dense(n) for n in units)]
    )


@cache
def backbone():
    return keras.applications.MobileNetV2(
        input_shape=(32, 32, 3), alpha=0.35, include_top=False, weights=None
    )


def mobile_net(layout):
    base = backbone()
    pool = keras.layers.GlobalAveragePooling2D()
    head = [Dense(8, name="hidden"), Dense(2, name="scores")]
    if layout == "sequential":
        return keras.Sequential([keras.Input((32, 32, 3)), base, pool, *head])
    if layout == "nested":
        inputs = keras.Input((32, 32, 3))
        pooled = pool(base(inputs))
        return keras.Model(inputs, head[1](head[0](pooled)))
    return keras.Model(base.input, head[1](head[0](pool(base.output))))


LAYOUTS = ["sequential", "nested", "flat"]


def flatten(groups):
    return [layer for group in groups for layer in group]


def with_weights(model):
    """The layers that own weights, nested models opened, in any order."""
    return {
        id(layer)
        for layer in model._flatten_layers()
        if layer.weights and not isinstance(layer, keras.Model)
    }


def sizes(groups):
    return [len(group) for group in groups]


def feeds(layer, seen):
    """The layers whose output reaches this one."""
    for node in layer._inbound_nodes:
        for parent in node.parent_nodes:
            if id(parent.operation) not in seen:
                seen.add(id(parent.operation))
                feeds(parent.operation, seen)
    return seen


def test_sequential_without_a_head_is_split_evenly():
    model = stack(7, 6, 5, 4, 3)
    units = [[d.units for d in group] for group in layer_groups(model, 3)]
    assert units == [[7, 6], [5, 4], [3]]
    assert layer_groups(model, 1) == [model.layers]
    assert layer_groups(model, 5) == [[layer] for layer in model.layers]


def test_layers_without_weights_are_in_no_group():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dropout(0.5),
            Dense(2),
            keras.layers.ReLU(),
            keras.layers.BatchNormalization(),
        ]
    )
    assert layer_groups(model, 2) == [[model.layers[1]], [model.layers[3]]]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("num_groups", [2, 3, 6])
def test_the_head_of_a_backbone_is_the_last_group(layout, num_groups):
    model = mobile_net(layout)
    groups = layer_groups(model, num_groups)
    assert len(groups) == num_groups
    assert [layer.name for layer in groups[-1]] == ["hidden", "scores"]
    assert max(sizes(groups[:-1])) - min(sizes(groups[:-1])) <= 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layer_with_weights_is_there_once(layout):
    model = mobile_net(layout)
    layers = flatten(layer_groups(model, 4))
    assert len(layers) == len(with_weights(model)) == 104 + 2
    assert {id(layer) for layer in layers} == with_weights(model)


def test_order_is_from_input_to_output():
    layers = flatten(layer_groups(mobile_net("flat"), 4))
    for i, layer in enumerate(layers):
        before = feeds(layer, set())
        assert not before & {id(later) for later in layers[i + 1 :]}
    names = [layer.name for layer in layers]
    for layout in ("sequential", "nested"):
        groups = layer_groups(mobile_net(layout), 4)
        assert [layer.name for layer in flatten(groups)] == names


def test_flatten_begins_a_head_too():
    model = keras.Sequential(
        [
            keras.Input((6, 1)),
            *(keras.layers.Conv1D(2, 2) for _ in range(4)),
            keras.layers.Flatten(),
            Dense(3),
            Dense(1),
        ]
    )
    assert sizes(layer_groups(model, 2)) == [4, 2]
    assert sizes(layer_groups(model, 3)) == [2, 2, 2]
    assert sizes(layer_groups(model, 4)) == [2, 1, 1, 2]


def test_a_head_that_leaves_too_few_layers_is_split_as_well():
    model = keras.Sequential(
        [keras.Input((2, 2)), keras.layers.Flatten(), *map(Dense, (3, 2, 1))]
    )
    assert sizes(layer_groups(model, 3)) == [1, 1, 1]


def test_shared_layers_and_models_are_there_once():
    inputs = [keras.Input((4,)), keras.Input((4,))]
    shared, tower = Dense(4), stack(3, 2)
    joined = keras.layers.concatenate([tower(shared(each)) for each in inputs])
    hidden = Dense(4)(joined)
    model = keras.Model(inputs, Dense(1)(shared(hidden)))
    layers = flatten(layer_groups(model, 2))
    assert [layer.units for layer in layers] == [4, 3, 2, 4, 1]
    assert layers[0] is shared


class Block(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.dense, self.norm = Dense(4), keras.layers.BatchNormalization()

    def build(self, shape):
        self.dense.build(shape)
        self.norm.build(shape)

    def call(self, x, training=False):
        return self.norm(self.dense(x), training=training)


def test_a_layer_with_layers_of_its_own_counts_as_one():
    model = stack(2, before=[Block(), Block()])
    assert layer_groups(model, 3) == [[layer] for layer in model.layers]


class Subclassed(keras.Model):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.dense = Dense(2)

    def build(self, shape):
        self.dense.build(shape)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize("nested", [False, True])
def test_subclassed_model_is_refused(nested):
    model = Subclassed(name="mine")
    model.build((None, 4))
    if nested:
        model = keras.Sequential([keras.Input((4,)), model])
    with pytest.raises(ValueError) as caught:
        layer_groups(model)
    assert str(caught.value) == (
        "`model` must be functional or Sequential, and so must the models in "
        "it: the order of a subclassed model's layers is known to its `call()` "
        "alone. Pass `groups`, lists of its layers from input to output, as "
        "`freeze_to(model, -1, groups)` and `layer_multipliers(model, rates, "
        "groups)` take them. Received: model=mine (Subclassed)"
    )


def test_groups_of_a_subclassed_model_can_be_passed():
    model = Subclassed()
    model.build((None, 4))
    assert layer_multipliers(model, [1.0], [[model.dense]]).values == (1, 1)


def test_unbuilt_model_is_refused():
    model = keras.Sequential([Dense(2, name="new")], name="empty")
    with pytest.raises(ValueError) as caught:
        layer_groups(model)
    assert str(caught.value) == (
        "`model` must be built and have weights. Call it on a batch, or "
        "`model.build(input_shape)`, first. Received: model=empty with "
        "layers that are not built: ['new']"
    )


def test_three_groups_or_as_many_as_there_can_be():
    assert sizes(layer_groups(stack(4, 3, 2, 1))) == [2, 1, 1]
    assert sizes(layer_groups(stack(2, 1))) == [1, 1]
    assert sizes(layer_groups(stack(1))) == [1]
    # Three would leave one empty.
    nested = keras.Sequential([keras.Input((4,)), stack(3), Dense(1)])
    assert sizes(layer_groups(nested)) == [1, 1]


def test_more_groups_than_layers_are_refused():
    with pytest.raises(ValueError) as caught:
        layer_groups(stack(2, 1), 3)
    assert str(caught.value) == (
        "`num_groups` must be at most the number of layers with weights, 2 "
        "here. Pass fewer. Received: num_groups=3"
    )
    with pytest.raises(ValueError, match="`num_groups` must be a whole number"):
        layer_groups(stack(2, 1), 0)


@settings(max_examples=40, deadline=None)
@given(
    body=st.integers(0, 9), head=st.integers(1, 4), num_groups=st.integers(1, 6)
)
def test_groups_of_any_stack(body, head, num_groups):
    layers = [keras.layers.Conv1D(1, 1) for _ in range(body)]
    model = keras.Sequential(
        [keras.Input((2, 1)), *layers, keras.layers.Flatten()]
    )
    for _ in range(head):
        model.add(Dense(1))
    if num_groups > body + head:
        with pytest.raises(ValueError, match="`num_groups` must be at most"):
            layer_groups(model, num_groups)
        return
    groups = layer_groups(model, num_groups)
    layers = [layer for layer in model.layers if layer.weights]
    assert flatten(groups) == layers
    assert len(groups) == num_groups
    apart = num_groups > 1 and body >= num_groups - 1
    assert not apart or groups[-1] == layers[body:]
    even = groups[:-1] if apart else groups
    assert max(sizes(even)) - min(sizes(even)) <= 1


def recurrent(*ends):
    lstm = keras.layers.LSTM
    return keras.Sequential(
        [
            keras.Input((None,)),
            keras.layers.Embedding(9, 2, name="words"),
            lstm(2, return_sequences=True, name="first"),
            keras.layers.LayerNormalization(name="norm"),
            keras.layers.Bidirectional(
                lstm(2, return_sequences=True), name="second"
            ),
            *ends,
        ]
    )


def names(groups):
    return [[layer.name for layer in group] for group in groups]


@pytest.mark.parametrize(
    "ends",
    [
        [keras.layers.GlobalMaxPooling1D(), Dense(3, name="head")],
        [Dense(3, name="head")],  # for each timestep
    ],
)
def test_recurrent_layers_are_a_group_each(ends):
    groups = [["words"], ["first", "norm"], ["second"], ["head"]]
    assert names(layer_groups(recurrent(*ends))) == groups
    assert sizes(layer_groups(recurrent(*ends), 2)) == [4, 1]


def test_a_recurrent_layer_that_pools_is_a_group_too():
    model = recurrent(keras.layers.GRU(2, name="third"), Dense(3, name="head"))
    groups = names(layer_groups(model))
    assert groups[-2:] == [["third"], ["head"]]
    model = recurrent()
    assert names(layer_groups(model))[-1] == ["second"]


def test_what_is_called_behind_recurrent_layers_is_head():
    ids, words = keras.Input((None, 4)), Dense(4, name="shared")
    x = keras.layers.GRU(4, return_sequences=True, name="first")(words(ids))
    model = keras.Model(ids, Dense(1, name="end")(words(x)))
    assert names(layer_groups(model)) == [["first"], ["shared", "end"]]
    assert names(layer_groups(model, 2)) == [["first"], ["shared", "end"]]
