import keras
import numpy as np
import pytest
from helpers import BACKEND, adam, data, distance, fit, mlp, sgd, weights

from keras_fast import freeze, freeze_to, layer_groups, unfreeze
from keras_fast.callbacks import OneCycle

Dense = keras.layers.Dense
Norm = keras.layers.BatchNormalization


def three(optimizer=None, **arguments):
    """A network of three layers, each a group."""
    hidden = Dense(5, activation="tanh")
    jit = BACKEND == "jax"
    return mlp(optimizer or sgd(), hidden, jit_compile=jit, **arguments)


def marks(model):
    return [layer.trainable for layer in model.layers]


def moved(model, before):
    """Which layers a fit moved; the others must not by a single bit."""
    pairs = zip(model.get_weights(), before, strict=True)
    changed = [bool(np.any(a != b)) for a, b in pairs]
    assert changed[::2] == changed[1::2]
    return changed[::2]


@pytest.mark.parametrize(
    ("group", "wanted"),
    [
        (0, [True, True, True]),
        (1, [False, True, True]),
        (2, [False, False, True]),
        (-1, [False, False, True]),
        (-2, [False, True, True]),
        (-3, [True, True, True]),
    ],
)
def test_groups_before_the_first_that_trains_are_frozen(group, wanted):
    model = three()
    freeze_to(model, group)
    assert marks(model) == wanted
    assert len(model.trainable_variables) == 2 * sum(wanted)


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (
            3,
            "`group` must be below the number of groups, 3. Pass 2 for the "
            "last. Received: group=3",
        ),
        (
            -4,
            "`group` must be a whole number of at least -3. Pass an int of -3 "
            "or more. Received: group=-4",
        ),
    ],
)
def test_no_such_group(group, message):
    model = three()
    with pytest.raises(ValueError) as caught:
        freeze_to(model, group)
    assert str(caught.value) == message
    assert marks(model) == [True, True, True]


def test_freeze_leaves_the_last_group():
    model = three()
    freeze(model)
    assert marks(model) == [False, False, True]
    unfreeze(model)
    assert marks(model) == [True, True, True]


def test_given_groups():
    model = three()
    first, second, third = model.layers
    freeze_to(model, 1, [[first, third], [second]])
    assert marks(model) == [False, True, False]


def test_models_of_one_and_two_layers():
    for count in (1, 2):
        layers = [Dense(2) for _ in range(count)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        freeze(model)
        assert marks(model) == [False] * (count - 1) + [True]


def test_unfreeze_opens_what_keras_would_leave_shut():
    # K28: a model whose own flag is True passes nothing on.
    body = keras.Sequential([keras.Input((4,)), Dense(3), Dense(3)])
    model = keras.Sequential([keras.Input((4,)), body, Dense(1)])
    freeze(model)
    model.trainable = True
    assert model.trainable
    body.trainable = False
    unfreeze(model)
    assert all(layer.trainable for layer in model._flatten_layers())
    assert len(model.trainable_variables) == 6


def test_uncompiled_model():
    model = keras.Sequential([keras.Input((4,)), Dense(3), Dense(2), Dense(1)])
    freeze(model)
    assert marks(model) == [False, False, True]
    before = model.get_weights()
    model.compile("sgd", "mse")
    fit(model, *data(2))
    assert moved(model, before) == [False, False, True]


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.matrix(2)
def test_takes_effect_without_a_compile_by_the_user(optimizer, trained):
    model = three(optimizer())
    if trained:
        fit(model, *data(2))
    own = model.optimizer
    for group in (1, 2, 0, -1, 0):
        freeze_to(model, group)
        before = model.get_weights()
        fit(model, *data(2), epochs=1)
        wanted = [i >= group % 3 for i in range(3)]
        assert moved(model, before) == wanted
    assert model.optimizer is own


def test_train_on_batch_takes_it_too():
    model, (x, y) = three(), data(1)
    model.train_on_batch(x, y)
    freeze(model)
    before = model.get_weights()
    model.train_on_batch(x, y)
    assert moved(model, before) == [False, False, True]


def test_evaluate_and_predict_are_what_they_were():
    model, (x, y) = three(), data(2)
    fit(model, x, y)
    before = [model.evaluate(x, y, verbose=0), model.predict(x, verbose=0)]
    freeze(model)
    assert model.evaluate(x, y, verbose=0) == before[0]
    np.testing.assert_array_equal(model.predict(x, verbose=0), before[1])


class UnfreezeAt(keras.callbacks.Callback):
    """ULMFiT's gradual unfreezing: a group more every epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        freeze_to(self.model, max(2 - epoch, 0))


def test_gradual_unfreezing_in_one_fit():
    whole, steps = three(adam()), three(adam())
    fit(whole, *data(2), UnfreezeAt(), epochs=3)
    for group in (2, 1, 0):
        freeze_to(steps, group)
        fit(steps, *data(2), epochs=1)
    np.testing.assert_array_equal(weights(whole), weights(steps))


def normalized(*, first=Norm):
    """The statistics of its first layer are those of the data."""
    model = keras.Sequential(
        [
            keras.Input((4,)),
            first(momentum=0.9, epsilon=0.5),
            Dense(5, activation="tanh"),
            Dense(1),
        ]
    )
    model.compile(sgd(), "mse", jit_compile=BACKEND == "jax")
    return model


def statistics(x, updates):
    kept = 0.9**updates
    mean, variance = x.mean(axis=0), x.var(axis=0)
    return [mean * (1 - kept), variance * (1 - kept) + kept]


def by_numpy(model, x):
    """What the model says where the first layer is run as in inference."""
    kernel, bias, last, end = model.get_weights()[4:]
    return np.tanh(x / np.sqrt(1.5) @ kernel + bias) @ last + end


@pytest.mark.parametrize("group", [1, 2])
def test_frozen_batchnorm_is_run_as_in_inference(group):
    model, (x, y) = normalized(), data(1)
    freeze_to(model, group)
    wanted = np.mean((by_numpy(model, x) - y) ** 2)
    history = fit(model, x, y, epochs=5)
    np.testing.assert_allclose(history.history["loss"][0], wanted, rtol=1e-5)
    scale, offset, mean, variance = model.layers[0].get_weights()
    np.testing.assert_array_equal([scale, variance], np.ones((2, 4)))
    np.testing.assert_array_equal([offset, mean], np.zeros((2, 4)))


@pytest.mark.parametrize("group", [0, 1, 2])
def test_batchnorm_that_trains_keeps_its_statistics_moving(group):
    model, (x, y) = normalized(), data(1)
    freeze_to(model, group, train_batchnorm=True)
    start = model.get_weights()
    fit(model, x, y, epochs=5)
    scale, offset, *found = model.layers[0].get_weights()
    np.testing.assert_allclose(found, statistics(x, 5), atol=1e-6)
    assert np.any(scale != 1)
    assert np.any(offset != 0)
    still = distance(model.get_weights()[4], start[4]) == 0
    assert still == (group == 2)


def test_statistics_stand_while_frozen_and_go_on_after():
    model, (x, y) = normalized(), data(1)
    fit(model, x, y, epochs=3)
    freeze_to(model, 1)
    fit(model, x, y, epochs=3)
    found = model.layers[0].get_weights()[2:]
    np.testing.assert_allclose(found, statistics(x, 3), atol=1e-6)
    unfreeze(model)
    fit(model, x, y, epochs=2)
    found = model.layers[0].get_weights()[2:]
    np.testing.assert_allclose(found, statistics(x, 5), atol=1e-6)


@pytest.mark.parametrize("first", [Norm, lambda **a: Block(**a)])
def test_unfrozen_but_for_batchnorm(first):
    model, (x, y) = normalized(first=first), data(1)
    unfreeze(model, train_batchnorm=False)
    start = model.get_weights()
    fit(model, x, y, epochs=2)
    moved = [
        np.any(a != b) for a, b in zip(model.get_weights(), start, strict=True)
    ]
    assert moved[:4] == [False] * 4
    assert all(moved[4:])


class Block(keras.layers.Layer):
    """BatchNormalization within a layer that counts as one."""

    def __init__(self, **arguments):
        super().__init__()
        self.norm, self.dense = Norm(**arguments), Dense(4)

    def build(self, shape):
        self.norm.build(shape)
        self.dense.build(shape)

    def call(self, x, training=False):
        return self.dense(self.norm(x, training=training))


@pytest.mark.parametrize("trains", [False, True])
def test_batchnorm_inside_another_layer(trains):
    model, (x, y) = normalized(first=Block), data(1)
    freeze_to(model, 1, train_batchnorm=trains)
    block = model.layers[0]
    before = block.dense.get_weights()
    fit(model, x, y, epochs=2)
    for a, b in zip(block.dense.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    wanted = statistics(x, 2 if trains else 0)
    found = block.norm.get_weights()[2:]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert np.any(block.norm.gamma.numpy() != 1) == trains


def test_a_nested_backbone():
    body = keras.Sequential([keras.Input((4,)), Norm(), Dense(3), Dense(3)])
    model = keras.Sequential([keras.Input((4,)), body, Dense(1)])
    model.compile(adam(), "mse")
    fit(model, *data(2))
    freeze(model)
    assert layer_groups(model)[-1] == [model.layers[-1]]
    before, head = body.get_weights(), model.layers[-1].get_weights()
    fit(model, *data(2))
    for a, b in zip(body.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert distance(model.layers[-1].get_weights()[0], head[0]) > 0


def test_with_a_schedule_the_frozen_stay():
    model = three(adam())
    fit(model, *data(2), OneCycle(0.05))
    freeze(model)
    before = model.get_weights()
    fit(model, *data(2), OneCycle(0.05))
    assert moved(model, before) == [False, False, True]


def test_every_normalization_can_go_on_training():
    kinds = [
        Norm(),
        keras.layers.GroupNormalization(1),
        keras.layers.LayerNormalization(),
        keras.layers.RMSNormalization(),
    ]
    model = keras.Sequential([keras.Input((4,)), *kinds, Dense(1)])
    freeze(model, train_batchnorm=True)
    assert all(layer.trainable for layer in model.layers)
    freeze(model)
    assert not any(layer.trainable for layer in kinds)


def test_a_model_of_unknown_order_is_refused_before_anything_changes():
    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.norm, self.dense = Norm(), Dense(1)

        def call(self, x):
            return self.dense(self.norm(x))

    model = Mine()
    model(np.ones((1, 4)))
    model.norm.trainable = False
    with pytest.raises(ValueError, match="`model` must be functional or Seq"):
        unfreeze(model, train_batchnorm=False)
    assert not model.norm.trainable
