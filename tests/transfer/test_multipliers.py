import dataclasses

import keras
import numpy as np
import pytest

from keras_fast import freeze_to, layer_groups, layer_multipliers

Dense = keras.layers.Dense
Norm = keras.layers.BatchNormalization


def stack(*units):
    return keras.Sequential([keras.Input((4,)), *(Dense(n) for n in units)])


def backbone(layout):
    """Normalized layers, a nested model or not, and a head."""
    first, second = (keras.layers.Conv1D(2, 2) for _ in range(2))
    layers = [first, Norm(), second, Norm(), keras.layers.ReLU()]
    features = inputs = keras.Input((6, 2))
    if layout == "nested":
        layers = [keras.Sequential([keras.Input((6, 2)), *layers])]
    for layer in layers:
        features = layer(features)
    pooled = keras.layers.GlobalAveragePooling1D()(features)
    return keras.Model(inputs, Dense(1)(Norm()(pooled)))


@pytest.mark.parametrize(
    ("rates", "wanted"),
    [
        ([1e-4, 1e-3, 1e-2], [0.01, 0.1, 1.0]),
        ((0.2, 0.1), [1.0, 1.0, 0.5]),
        (slice(1e-4, 1e-2), [0.01, 0.1, 1.0]),
        (slice(1e-2), [0.1, 0.1, 1.0]),
        ([3.0], [1.0, 1.0, 1.0]),
    ],
)
def test_multipliers_are_relative_to_the_highest_rate(rates, wanted):
    multipliers = layer_multipliers(stack(3, 2, 1), rates)
    np.testing.assert_allclose(multipliers, np.repeat(wanted, 2), rtol=1e-12)


def test_given_groups():
    model = stack(3, 2, 1)
    first, second, third = model.layers
    groups = [[third], [first, second]]
    multipliers = layer_multipliers(model, [0.1, 0.4], groups)
    assert list(multipliers) == [1.0] * 4 + [0.25] * 2
    multipliers = layer_multipliers(model, slice(0.4), groups)
    np.testing.assert_allclose(multipliers, [1.0] * 4 + [0.1] * 2)


@pytest.mark.parametrize("layout", ["flat", "nested"])
def test_order_is_that_of_the_models_variables(layout):
    model = backbone(layout)
    rates = [0.25, 0.5, 1.0]
    groups = layer_groups(model, 3)
    assert [len(group) for group in groups] == [2, 2, 2]
    of_path = {
        variable.path: rate
        for rate, group in zip(rates, groups, strict=True)
        for layer in group
        for variable in layer.trainable_variables
    }
    wanted = [of_path[v.path] for v in model.trainable_variables]
    assert wanted == [0.25] * 4 + [0.5] * 4 + [1.0] * 4
    assert list(layer_multipliers(model, rates)) == wanted
    # What is frozen keeps its place.
    freeze_to(model, 2, train_batchnorm=True)
    assert len(model.trainable_variables) == 8
    assert list(layer_multipliers(model, rates)) == wanted


def test_a_slice_takes_as_many_groups_as_there_can_be():
    assert layer_multipliers(stack(2, 1), slice(0.1, 1)).values == (
        *(0.1, 0.1),
        *(1.0, 1.0),
    )
    assert layer_multipliers(stack(1), slice(0.1)).values == (1.0, 1.0)


@pytest.mark.parametrize("rates", [[], [0.1, 0.2, 0.3]])
def test_more_rates_than_layers(rates):
    with pytest.raises(ValueError) as caught:
        layer_multipliers(stack(2, 1), rates)
    assert str(caught.value) == (
        "`learning_rates` must have 1 to 2 rates, as many as layers with "
        "weights at most. Pass a rate for each group of layers, or a slice. "
        f"Received: learning_rates={rates}"
    )


def test_multipliers_are_a_sequence_that_stays_as_it_is():
    model = stack(2, 1)
    multipliers = layer_multipliers(model, [0.5, 1.0])
    assert repr(multipliers) == "Multipliers(values=(0.5, 0.5, 1.0, 1.0))"
    assert [v.path for v in multipliers.variables] == [
        v.path for v in model.trainable_variables
    ]
    assert len(multipliers) == 4
    assert multipliers[1:] == (0.5, 1.0, 1.0)
    assert [2 * m for m in multipliers] == [1.0, 1.0, 2.0, 2.0]
    assert multipliers == layer_multipliers(stack(3, 1), [0.5, 1.0])
    with pytest.raises(dataclasses.FrozenInstanceError):
        multipliers.values = (1.0,)


def test_multipliers_are_checked():
    multipliers = layer_multipliers(stack(2, 1), [0.5, 1.0])
    with pytest.raises(ValueError) as caught:
        dataclasses.replace(multipliers, values=[1.0])
    assert str(caught.value) == (
        "`values` must have one number for each variable. Pass 4. Received: "
        "values=[1.0]"
    )
    with pytest.raises(ValueError, match="`values` must be a finite number of"):
        dataclasses.replace(multipliers, values=[1, 1, 1, -1])


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        (
            [0.1, 0.0],
            "`learning_rates` must be a finite number above 0. Pass one such "
            "as 0.001. Received: learning_rates=0.0",
        ),
        (
            slice(-1.0, 0.1),
            "`learning_rates.start` must be a finite number above 0. Pass one "
            "such as 0.001. Received: learning_rates.start=-1.0",
        ),
        (
            [0.1, 0.2, 0.3],
            "`learning_rates` must have a rate for each of 2 groups. Pass as "
            "many rates as groups, or a slice. Received: "
            "learning_rates=[0.1, 0.2, 0.3]",
        ),
    ],
)
def test_wrong_rates_are_refused(rates, message):
    model = stack(2, 1)
    with pytest.raises(ValueError) as caught:
        layer_multipliers(model, rates, [[each] for each in model.layers])
    assert str(caught.value) == message
