"""Are the statistics those of the data, and nothing else moved?"""

import keras
import numpy as np
import pytest
from helpers import data, distance, mlp, sgd, since

from keras_fast import freeze, update_batch_norm


def normalized():
    norm = keras.layers.BatchNormalization(momentum=0.9)
    return mlp(sgd(), keras.layers.Dropout(0.5), norm), norm


def statistics(inputs, layer_inputs):
    """Means of the mean and the variance of each batch, in NumPy."""
    hidden = [layer_inputs(batch.astype("float64")) for batch in inputs]
    return (
        np.mean([h.mean(axis=0) for h in hidden], axis=0),
        np.mean([h.var(axis=0) for h in hidden], axis=0),
    )


def test_statistics_are_the_means_of_those_of_the_batches():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, activation="tanh"),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Dense(1),
        ]
    )
    x = data(7, 3)[0]
    dense, norm, _ = model.layers
    norm.moving_mean.assign(np.full(5, 9.0))
    kernel, bias = (w.astype("float64") for w in dense.get_weights())
    update_batch_norm(model, x, batch_size=4)  # the last batch has one row
    batches = [x[i : i + 4] for i in range(0, 21, 4)]
    mean, variance = statistics(batches, lambda b: np.tanh(b @ kernel + bias))
    assert distance(norm.moving_mean.numpy(), mean) <= 1e-6
    assert distance(norm.moving_variance.numpy(), variance) <= 1e-6
    assert norm.momentum == 0.9


def everything_else(model, norm):
    moved = (norm.moving_mean, norm.moving_variance)
    return [
        np.array(v.numpy())
        for v in model.variables
        if not any(v is each for each in moved)
    ]


def test_all_else_stays():
    model, norm = normalized()
    before = everything_else(model, norm)
    assert len(before) == 7  # with the state of Dropout
    old = norm.get_weights()[2]
    update_batch_norm(model, data()[0])
    for got, value in zip(everything_else(model, norm), before, strict=True):
        np.testing.assert_array_equal(got, value)
    assert distance(norm.get_weights()[2], old) > 1e-3


def test_a_dataset_with_targets_and_an_end():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            rows = slice(4 * index, 4 * index + 4)
            return x[rows], y[rows]

    x, y = data()
    model, norm = normalized()
    model.layers[1].rate = 0.0
    update_batch_norm(model, Batches(), steps_per_epoch=3)
    got = norm.get_weights()
    update_batch_norm(model, x[:12], batch_size=4)
    for one, other in zip(got, norm.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_frozen_layers_stay():
    model, norm = normalized()
    freeze(model)
    before = norm.get_weights()
    update_batch_norm(model, data()[0])
    for got, value in zip(norm.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, value)


def test_a_failure_leaves_nothing():
    model, norm = normalized()
    before = [np.array(v.numpy()) for v in model.variables]
    x = data()[0]

    def batches():
        yield (x[:4],)
        yield (x[4:8],)
        raise RuntimeError("no more")

    # TensorFlow is not asked: the batches come as NumPy's.
    with pytest.raises(RuntimeError, match="no more"):
        update_batch_norm(model, batches(), steps_per_epoch=3)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert norm.momentum == 0.9


class Branches(keras.Model):
    """Two inputs by name, a branch for each, one layer on both."""

    def __init__(self):
        super().__init__()
        self.norm = keras.layers.BatchNormalization()
        self.noise = keras.layers.Dropout(0.5, seed=1)
        self.head = keras.layers.Dense(1)

    def call(self, inputs, training=None):
        a = self.norm(inputs["a"], training=training)
        b = self.noise(inputs["b"], training=training)
        b = self.norm(b, training=training)
        return self.head(keras.ops.mean(a + b, axis=1))


class Lengths(keras.utils.PyDataset):
    """Batches of another shape each, some of which come again."""

    shapes = ((4, 3), (4, 3), (2, 3), (2, 3), (4, 5), (2, 3))

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        shape = (*self.shapes[index], 4)
        names = ("a", "b")
        return ({k: rng.normal(1, 2, shape).astype("float32") for k in names},)


@pytest.mark.parametrize("eagerly", [False, True])
def test_each_call_counts_alike(eagerly):
    model = Branches()
    model.compile(run_eagerly=eagerly)
    model(Lengths()[0][0])
    model.noise.rate = 0.0
    update_batch_norm(model, Lengths())
    batches = [
        x for i in range(len(Lengths())) for x in Lengths()[i][0].values()
    ]
    rows = [x.reshape(-1, 4).astype("float64") for x in batches]
    mean, variance = statistics(rows, lambda x: x)
    assert distance(model.norm.moving_mean.numpy(), mean) <= 1e-6
    assert distance(model.norm.moving_variance.numpy(), variance) <= 2e-6


def test_a_layer_at_each_step_of_time():
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential(
        [keras.Input((3, 4)), keras.layers.TimeDistributed(norm)]
    )
    x = np.random.default_rng(0).normal(1, 2, (12, 3, 4)).astype("float32")
    update_batch_norm(model, x, batch_size=6)
    steps = [x[i : i + 6, t] for i in (0, 6) for t in range(3)]
    mean, variance = statistics(steps, lambda x: x)
    assert distance(norm.moving_mean.numpy(), mean) <= 1e-6
    assert distance(norm.moving_variance.numpy(), variance) <= 1e-6


def test_it_is_what_eager_calls_give():
    x = data()[0]
    got = []
    for eagerly in (False, True):
        keras.utils.set_random_seed(3)
        model, norm = normalized()
        model.compile(run_eagerly=eagerly)
        update_batch_norm(model, x[:-1], batch_size=4)
        got.append(norm.get_weights())
    for one, other in zip(*got, strict=True):  # with the masks of Dropout
        assert distance(one, other) <= 1e-6


def test_a_model_that_can_only_run_eagerly():
    class Looks(keras.layers.Layer):
        def call(self, inputs):
            return inputs * float(keras.ops.max(keras.ops.abs(inputs)))

        def compute_output_spec(self, inputs):
            return keras.KerasTensor(inputs.shape, inputs.dtype)

    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((4,)), Looks(), norm])
    model.compile(run_eagerly=True)
    x = data()[0]
    update_batch_norm(model, x, batch_size=20)
    batches = [batch * np.abs(batch).max() for batch in (x[:20], x[20:])]
    mean, _ = statistics(batches, lambda x: x)
    assert distance(norm.moving_mean.numpy(), mean) <= 1e-6


class Interrupted(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index == 3:
            raise KeyboardInterrupt
        return (data()[0][:4],)


@since("3.14")
def test_ctrl_c_leaves_nothing():
    norm = keras.layers.BatchNormalization(momentum=0.9, renorm=True)
    penalty = keras.layers.ActivityRegularization(l2=0.1)
    model = mlp(sgd(), keras.layers.Dropout(0.5), norm, penalty)
    before = [np.array(v.numpy()) for v in model.variables]
    attributes = dict(vars(norm))
    with pytest.raises(KeyboardInterrupt):
        update_batch_norm(model, Interrupted())
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    assert vars(norm) == attributes
    assert model.losses == []


def test_statistics_that_were_no_numbers():
    model, norm = normalized()
    norm.moving_mean.assign(np.full(5, np.nan))
    norm.moving_variance.assign(np.full(5, np.inf))
    update_batch_norm(model, data()[0])
    assert np.isfinite(norm.get_weights()).all()


@since("3.14")
def test_training_goes_on_from_there_with_renorm():
    norm = keras.layers.BatchNormalization(momentum=1.0, renorm=True)
    model = mlp(sgd(), norm)
    x, y = data()
    update_batch_norm(model, x, batch_size=8)
    estimated = norm.moving_variance.numpy()
    hidden = keras.ops.convert_to_numpy(model.layers[0](x)).astype("float64")
    _, variance = statistics(np.split(hidden, 5), lambda x: x)
    assert distance(estimated, variance) <= 1e-6
    model.fit(x, y, batch_size=8, verbose=0)
    assert distance(norm.moving_variance.numpy(), estimated) <= 1e-6


def test_layers_that_run_for_prediction_alone_stay():
    class Half(keras.Model):
        def __init__(self):
            super().__init__()
            self.still = keras.layers.BatchNormalization()
            self.norm = keras.layers.BatchNormalization()

        def call(self, inputs, training=None):
            still = self.still(inputs, training=False)
            return self.norm(still, training=training)

    model, x = Half(), data()[0]
    model(x)
    model.still.moving_mean.assign([0.1, 0.2, 0.3, 0.4])
    before = model.still.get_weights()
    update_batch_norm(model, x)
    for got, value in zip(model.still.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, value)
    assert distance(model.norm.moving_mean.numpy(), 0) > 0.05


def test_a_model_without_weights():
    model = keras.Sequential([keras.layers.BatchNormalization()], name="m")
    with pytest.raises(ValueError) as caught:
        update_batch_norm(model, data()[0])
    assert str(caught.value) == (
        "`model` must be built. Give it an `Input`, or call it on a batch "
        "first. Received: model=m (not built)"
    )
