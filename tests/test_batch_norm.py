"""Are the statistics those of the data, and nothing else moved?"""

import keras
import numpy as np
import pytest
from helpers import data, distance, mlp, sgd

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
