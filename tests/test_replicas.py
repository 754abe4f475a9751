"""Is training on two replicas that on one?

TensorFlow's two logical CPUs stand for two devices.
"""

import keras
import numpy as np
import pytest
from helpers import adam, data, distance, fit, mlp, sgd, state, weights

from keras_fast import lr_find
from keras_fast.callbacks import OneCycle, Recorder
from keras_fast.optimizers import DiscriminativeOptimizer

pytestmark = pytest.mark.tensorflow_only


def in_groups():
    return DiscriminativeOptimizer(adam(), [0.1, 0.1, 1.0, 1.0])


def averaged():
    # Keras can't overwrite the weights, or accumulate, on two replicas.
    return adam(use_ema=True, ema_momentum=0.9)


def mirrored(optimizer):
    import tensorflow as tf

    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        return mlp(optimizer())


def pair(optimizer):
    return [mirrored(optimizer), mlp(optimizer())]


@pytest.mark.parametrize("optimizer", [sgd, in_groups, averaged])
def test_weights_and_losses_are_those_of_one(optimizer):
    weighed, losses = [], []
    for model in pair(optimizer):
        recorder = Recorder()
        fit(model, *data(), OneCycle(0.05), recorder)
        weighed.append(weights(model))
        losses.append(recorder.losses)
    assert len(losses[0]) == 20
    assert distance(*losses) <= 1e-6
    assert distance(*weighed) <= 1e-6


@pytest.mark.parametrize("optimizer", [sgd, in_groups, averaged])
def test_sweep_finds_what_it_finds_on_one(optimizer):
    found = []
    for model in pair(optimizer):
        fit(model, *data(), epochs=1)
        before = state(model)
        found.append(
            lr_find(
                model,
                *data(),
                batch_size=4,
                num_steps=20,
                end_lr=0.1,
                stop_factor=1e9,
                shuffle=False,
            )
        )
        for value, wanted in zip(state(model), before, strict=True):
            np.testing.assert_array_equal(value, wanted)
    assert found[0].stop_reason == found[1].stop_reason == "completed"
    two, one = (result.losses for result in found)
    np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-6)


def test_losses_are_of_the_whole_batch():
    # Each replica sees one of two samples: of loss 1 and of loss 9.
    model = mirrored(lambda: keras.optimizers.SGD(0.0))
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    recorder = Recorder()
    x, y = np.zeros((4, 4)), np.array([[1.0], [3.0]] * 2)
    fit(model, x, y, recorder, batch_size=2, epochs=1)
    assert recorder.losses.tolist() == [5.0, 5.0]
