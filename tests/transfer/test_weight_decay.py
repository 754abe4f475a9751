"""Does weight decay spare what it shall, whenever it is told so?"""

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    BATCH,
    EXECUTIONS,
    data,
    distance,
    fit,
    leaf,
    mlp,
    since,
    weights,
)
from references import Momentum

from keras_fast import (
    decay_weights_only,
    fine_tune,
    freeze_to,
    layer_multipliers,
    training_plan,
    unfreeze,
)
from keras_fast.optimizers import DiscriminativeOptimizer

layers, optimizers = keras.layers, keras.optimizers
JIT = BACKEND == "jax"
RATE, DECAY = 0.05, 2.0
MULTIPLIERS = [0.1, 0.1, 0.5, 0.5, 1.0, 1.0]


def sgd():
    return optimizers.SGD(RATE, momentum=0.9, weight_decay=DECAY)


def network(optimizer, **arguments):
    hidden = layers.Dense(5, activation="tanh", dtype="float32")
    return mlp(optimizer, hidden, jit_compile=JIT, **arguments)


class Decayed(Momentum):
    """With weight decay before each step."""

    def __init__(self, weights):
        super().__init__(weights, RATE)
        self.decayed = [True] * len(weights)

    def step(self, slot, gradient, i):
        decay = self.decayed[i] * DECAY * self.rates[i] * self.weights[i]
        return super().step(slot, gradient, i) - decay


def assert_equal(model, reference):
    pairs = zip(model.get_weights(), reference.weights, strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 1e-6


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.matrix(1)
def test_at_any_time_frozen_or_not(wrapped):
    optimizer = sgd()
    if wrapped:
        optimizer = DiscriminativeOptimizer(optimizer, MULTIPLIERS)
        optimizer = optimizers.LossScaleOptimizer(optimizer)
    model = network(optimizer, steps_per_execution=EXECUTIONS[-1])
    reference = Decayed(model.get_weights())
    if wrapped:
        reference.rates = [RATE * m for m in MULTIPLIERS]
    for stage in ("all", "spared", 2, 0):
        if stage == "spared":
            decay_weights_only(model)
            reference.decayed = [True, False] * 3
        elif stage != "all":
            freeze_to(model, stage) if stage else unfreeze(model)
            reference.trained = [i // 2 >= stage for i in range(6)]
        fit(model, *data(5), epochs=1)
        reference.train(*data(5), BATCH)
        assert_equal(model, reference)


@pytest.mark.parametrize("built", [False, True])
def test_equals_what_keras_excludes_before_it_is_built(built):
    found, wanted = (network(sgd()) for _ in range(2))
    for model in (found, wanted):
        optimizer = optimizers.AdamW(0.01, weight_decay=DECAY)
        if model is wanted:
            optimizer.exclude_from_weight_decay(
                [v for v in model.variables if v.name == "bias"]
            )
        model.compile(optimizer, "mse", jit_compile=JIT)
        if built:
            optimizer.build(model.trainable_variables)
    decay_weights_only(found)
    for model in (found, wanted):
        fit(model, *data(3))
    np.testing.assert_array_equal(weights(found), weights(wanted))


def test_within_a_fit():
    model = network(sgd())
    reference = Decayed(model.get_weights())

    class Spare(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                decay_weights_only(self.model)

    fit(model, *data(3), Spare(), epochs=2)
    reference.train(*data(3), BATCH)
    reference.decayed = [True, False] * 3
    reference.train(*data(3), BATCH)
    assert_equal(model, reference)


class Scaled(layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        self.gain = self.add_weight(shape=(), name="gain")
        self.mix = self.add_weight(shape=(shape[-1],) * 2, name="mix")

    def call(self, x):
        return x @ self.mix * self.scale * self.gain


def test_what_is_spared():
    body = keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            layers.Embedding(7, 4),
            layers.LayerNormalization(axis=(1, 2)),
            layers.Conv1D(4, 2, padding="same"),
            layers.BatchNormalization(),
        ]
    )
    last = [layers.GRU(2), Scaled(), layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,), dtype="int32"), body, *last])
    model.compile(optimizers.AdamW(), "mse")
    decay_weights_only(model)
    decayed = [
        (variable.name, len(variable.shape))
        for variable in model.trainable_variables
        if model.optimizer._use_weight_decay(variable)
    ]
    assert decayed == [
        ("embeddings", 2),
        ("kernel", 3),
        ("kernel", 2),
        ("recurrent_kernel", 2),
        ("mix", 2),
        ("kernel", 2),
    ]
    assert len(model.trainable_variables) == 15


def test_what_was_excluded_stays_so():
    model = network(sgd())
    first, second, third = (layer.kernel for layer in model.layers)
    optimizer = optimizers.AdamW()
    optimizer.exclude_from_weight_decay([first], ["nothing", "other"])
    model.compile(optimizer, "mse")
    decay_weights_only(model)
    assert optimizer._exclude_from_weight_decay_pattern.search("other")
    use = [optimizer._use_weight_decay(v) for v in (first, second, third)]
    assert use == [False, True, True]


@pytest.mark.parametrize(
    ("how", "frozen"), [("ours", 2), ("wrapper", 0), ("inner", 2)]
)
@pytest.mark.matrix(1)
def test_saved_with_the_multipliers(tmp_path, how, frozen):
    model = network(sgd())
    reference = Decayed(model.get_weights())
    reference.rates = [RATE * m for m in MULTIPLIERS]
    reference.decayed = [True, False] * 3
    multipliers = layer_multipliers(model, [0.1, 0.5, 1.0])
    optimizer = DiscriminativeOptimizer(sgd(), multipliers)
    biases = [v for v in model.variables if v.name == "bias"]
    if how == "wrapper":
        optimizer.exclude_from_weight_decay(biases)
    elif how == "inner":
        optimizer.inner_optimizer.exclude_from_weight_decay(var_names=["bias"])
    freeze_to(model, frozen)
    model.compile(optimizer, "mse", jit_compile=JIT)
    if how == "ours":
        decay_weights_only(model)
    assert optimizer.get_config()["without_decay"] == [1, 3, 5]
    for group in (frozen, 1):
        freeze_to(model, group)
        reference.trained = [i // 2 >= group for i in range(6)]
        fit(model, *data(2), epochs=1)
        reference.train(*data(2), BATCH)
        assert_equal(model, reference)
        # Twice: what is frozen is known by its position alone.
        for _ in range(2):
            model.save(tmp_path / "model.keras")
            model = keras.models.load_model(tmp_path / "model.keras")
        reference.forget_frozen()
        config = model.optimizer.get_config()
        assert config["without_decay"] == [1, 3, 5]


def test_new_exclusions_replace_those_of_the_file():
    config = DiscriminativeOptimizer(sgd(), MULTIPLIERS).get_config()
    assert "without_decay" not in config
    config["without_decay"] = [1, 3, 5]
    model = network(DiscriminativeOptimizer.from_config(config))
    optimizer = model.optimizer
    assert optimizer.get_config()["without_decay"] == [1, 3, 5]
    optimizer.exclude_from_weight_decay(model.trainable_variables[:1])
    assert optimizer.get_config()["without_decay"] == [0]


def test_exclusions_of_unknown_variables_are_not_lost_in_a_config():
    optimizer = DiscriminativeOptimizer(sgd(), [0.5, 1.0])
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    with pytest.raises(ValueError) as caught:
        optimizer.get_config()
    assert str(caught.value) == (
        "`multipliers` must know their variables before a config can say which "
        "of them weight decay spares. Pass what "
        "`keras_fast.layer_multipliers(model, ...)` returns, or call "
        "`optimizer.place(...)` with the `variables` of that. Received: "
        "multipliers=[0.5, 1.0]"
    )
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    optimizer.place(layer_multipliers(model, [1.0]).variables)
    assert optimizer.get_config()["without_decay"] == [1]


def test_nor_are_those_of_layers_that_a_file_has_frozen(tmp_path):
    model = network(DiscriminativeOptimizer(sgd(), MULTIPLIERS))
    freeze_to(model, 2)
    model.save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    biases = [v for v in model.variables if v.name == "bias"]
    model.optimizer.exclude_from_weight_decay(biases)
    with pytest.raises(ValueError, match="must know their variables"):
        model.optimizer.get_config()
    training_plan(model)  # tells it
    assert model.optimizer.get_config()["without_decay"] == [1, 3, 5]


def test_the_plan_shows_it():
    model = network(sgd())
    assert [row["decay"] for row in training_plan(model).rows] == ["2"] * 3
    decay_weights_only(model)
    model.layers[0].bias.trainable = False
    freeze_to(model, 1)
    plan = [row["decay"] for row in training_plan(model).rows]
    assert plan == ["0", "0 to 2", "0 to 2"]


def test_fine_tune_keeps_to_it():
    found, wanted = (network(sgd()) for _ in range(2))
    biases = [v for v in wanted.variables if v.name == "bias"]
    wanted.optimizer.exclude_from_weight_decay(biases)
    decay_weights_only(found)
    for model in (found, wanted):
        recipe = {"head_epochs": 0, "freeze_epochs": 1, "lr_mult": 10}
        rate = {"epochs": 1, "base_lr": 0.05}
        quiet = {"batch_size": BATCH, "shuffle": False, "verbose": 0}
        fine_tune(model, *data(3), **recipe, **rate, **quiet)
    np.testing.assert_array_equal(weights(found), weights(wanted))
    assert not leaf(found.optimizer)._use_weight_decay(found.layers[0].bias)


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        (
            lambda: optimizers.Adam(),
            "The optimizer must have weight decay. Compile the model with one, "
            "such as `keras.optimizers.AdamW(weight_decay=0.01)`. Received: "
            "optimizer=Adam with weight_decay=None",
        ),
        pytest.param(
            lambda: optimizers.MultiOptimizer(lambda variable: sgd()),
            "The optimizer must be one optimizer: of several, each has its own "
            "decay. Use `keras_fast.optimizers.DiscriminativeOptimizer` for a "
            "learning rate per group. Received: optimizer=MultiOptimizer",
            marks=since("3.15"),
        ),
    ],
)
def test_optimizers_without_one_decay(optimizer, message):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile(optimizer(), "mse")
    with pytest.raises(ValueError) as caught:
        decay_weights_only(model)
    assert str(caught.value) == message


def test_a_model_that_is_not_compiled():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="`model` must be compiled"):
        decay_weights_only(model)


def test_a_model_that_is_not_built():
    model = keras.Sequential([layers.Dense(1)], name="empty")
    model.compile(optimizers.AdamW(), "mse")
    with pytest.raises(ValueError, match="`model` must be built and have"):
        decay_weights_only(model)


@since("3.13")
def test_muon_has_two():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    optimizer = optimizers.Muon(weight_decay=None, adam_weight_decay=0.1)
    model.compile(optimizer, "mse")
    decay_weights_only(model)
    kernel, bias = model.trainable_variables
    assert optimizer._use_weight_decay(kernel)
    assert not optimizer._use_weight_decay(bias)
