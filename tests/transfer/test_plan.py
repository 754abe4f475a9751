import keras
import numpy as np
import pytest
from helpers import data, fit, sgd

from keras_fast import freeze_to, layer_multipliers, training_plan, unfreeze
from keras_fast.callbacks import OneCycle
from keras_fast.optimizers import DiscriminativeOptimizer

Dense = keras.layers.Dense


def network(optimizer=None):
    # 8 + 8, 20, 10 and 3 parameters, 8 of them statistics.
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.BatchNormalization(name="norm"),
            Dense(4, name="first"),
            Dense(2, name="second"),
            Dense(1, name="last"),
        ]
    )
    if optimizer is not None:
        model.compile(optimizer, "mse")
    return model


def column(model, name, groups=None):
    return [row[name] for row in training_plan(model, groups).rows]


def layer_wise(inner, kind=lambda multipliers: multipliers):
    model = network()
    multipliers = kind(layer_multipliers(model, [1e-4, 1e-3, 1e-2]))
    model.compile(DiscriminativeOptimizer(inner, multipliers), "mse")
    return model


def test_columns():
    [first, *_] = training_plan(network()).rows
    assert list(first) == [
        "group",
        "layers",
        "parameters",
        "trains",
        "rate",
        "decay",
        "batchnorm",
    ]


def test_not_compiled():
    model = network()
    assert column(model, "group") == [0, 1, 2]
    names = ["norm … first (2)", "second (1)", "last (1)"]
    assert column(model, "layers") == names
    assert column(model, "parameters") == ["36", "10", "3"]
    assert column(model, "trains") == ["28", "10", "3"]
    assert column(model, "rate") == column(model, "decay") == ["-"] * 3
    assert column(model, "batchnorm") == ["trains", "-", "-"]


def test_frozen_groups():
    model = network(keras.optimizers.AdamW(0.02, weight_decay=0.3))
    freeze_to(model, 1)
    assert column(model, "trains") == ["0", "10", "3"]
    assert column(model, "rate") == ["0", "0.02", "0.02"]
    assert column(model, "decay") == ["0", "0.3", "0.3"]
    assert column(model, "batchnorm") == ["frozen", "-", "-"]
    freeze_to(model, 1, train_batchnorm=True)
    assert column(model, "trains") == ["8", "10", "3"]
    assert column(model, "batchnorm") == ["trains", "-", "-"]
    unfreeze(model)
    assert column(model, "trains") == ["28", "10", "3"]


def test_rates_are_the_optimizers_times_the_multipliers():
    model = layer_wise(sgd(weight_decay=0.01))
    model.optimizer.learning_rate = 0.5
    assert column(model, "rate") == ["0.005", "0.05", "0.5"]
    assert column(model, "decay") == ["0.01"] * 3
    fit(model, *data(2))
    freeze_to(model, 1)
    assert column(model, "rate") == ["0", "0.05", "0.5"]
    fit(model, *data(2), OneCycle(0.1))
    assert column(model, "rate") == ["0", "0.05", "0.5"]


@pytest.mark.parametrize("kind", [lambda each: each, list])
def test_a_group_with_several_rates(kind):
    model = layer_wise(sgd(), kind)
    layers = model.layers
    groups = [layers[:2], layers[2:]]
    assert column(model, "rate", groups) == ["0.0005", "0.005 to 0.05"]


def test_a_compiled_schedule_and_a_loss_scale():
    decay = keras.optimizers.schedules.ExponentialDecay(0.5, 5, 0.5)
    model = network(keras.optimizers.LossScaleOptimizer(sgd()))
    assert column(model, "rate") == ["0.05"] * 3
    model = network(keras.optimizers.SGD(decay))
    assert column(model, "rate") == ["0.5"] * 3


class Block(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="block")
        self.norms = [keras.layers.BatchNormalization() for _ in range(2)]

    def build(self, shape):
        for norm in self.norms:
            norm.build(shape)

    def call(self, x, training=False):
        return self.norms[1](self.norms[0](x, training=training))


def test_batchnorm_inside_another_layer():
    model = keras.Sequential([keras.Input((4,)), Block(), Dense(1)])
    freeze_to(model, 1, train_batchnorm=True)
    assert column(model, "trains", [[each] for each in model.layers]) == [
        "16",
        "5",
    ]
    model.layers[0].norms[1].trainable = False
    groups = [[each] for each in model.layers]
    assert column(model, "batchnorm", groups) == ["frozen and trains", "-"]


def test_thousands_have_a_comma():
    model = keras.Sequential([keras.Input((99,)), Dense(20)])
    groups = [model.layers]
    assert column(model, "parameters", groups) == ["2,000"]
    assert column(model, "trains", groups) == ["2,000"]


def test_it_prints_as_an_aligned_table():
    model = network(sgd())
    freeze_to(model, 1)
    plan = training_plan(model)
    assert repr(plan) == str(plan)
    assert str(plan) == (
        "group  layers            parameters  trains  rate  decay  batchnorm\n"
        "0      norm … first (2)  36          0       0     0      frozen\n"
        "1      second (1)        10          10      0.05  0      -\n"
        "2      last (1)          3           3       0.05  0      -"
    )


def test_html_escapes():
    model = keras.Sequential([keras.Input((4,)), Dense(1, name="a<b&c")])
    html = training_plan(model, [model.layers])._repr_html_()
    assert html == (
        "<table><tr><th>group</th><th>layers</th><th>parameters</th>"
        "<th>trains</th><th>rate</th><th>decay</th><th>batchnorm</th></tr>"
        "<tr><td>0</td><td>a&lt;b&amp;c (1)</td><td>5</td><td>5</td><td>-</td>"
        "<td>-</td><td>-</td></tr></table>"
    )


def test_it_changes_nothing():
    model = layer_wise(sgd())
    before = model.get_weights()
    training_plan(model)
    assert not model.optimizer.built
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
