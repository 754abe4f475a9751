"""The loss on a plane: against a model that really has those weights."""

import keras
import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_fast.inference import LossLandscape, loss_landscape

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 8, 8, 3)).astype("float32")
Y = RNG.integers(0, 3, 40)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    made = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(4, 3, padding="same", kernel_regularizer="l2"),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("relu"),
            keras.layers.Dropout(0.5),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    made.compile("adam", "sparse_categorical_crossentropy")
    made.fit(X, Y, epochs=1, verbose=0)
    return made


def test_each_point_is_the_loss_with_those_weights(model):
    before = [keras.ops.convert_to_numpy(v) for v in model.variables]
    how = {"points": 3, "span": 0.5, "seed": 4}
    result = loss_landscape(model, X, Y, **how)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(variable), value
        )
    np.testing.assert_array_equal(result.steps, [-0.5, 0, 0.5])
    # The directions, drawn again and scaled filter by filter.
    rng = np.random.default_rng(4)
    kernels = [v for v in model.trainable_variables if len(v.shape) > 1]
    starts = [keras.ops.convert_to_numpy(v) for v in kernels]
    planes = []
    for start in starts:
        drawn = rng.standard_normal((2, *start.shape), "float32")
        for direction in drawn:
            for f in range(start.shape[-1]):
                direction[..., f] *= np.linalg.norm(
                    start[..., f]
                ) / np.linalg.norm(direction[..., f])
        planes.append(drawn)
    try:
        for i, j in ((0, 2), (1, 1), (2, 0)):
            at = result.steps[[i, j]]
            for kernel, start, plane in zip(
                kernels, starts, planes, strict=True
            ):
                kernel.assign(start + at[0] * plane[0] + at[1] * plane[1])
            loss = model.evaluate(X, Y, verbose=0)
            np.testing.assert_allclose(result.losses[i, j], loss, rtol=1e-5)
    finally:
        for kernel, start in zip(kernels, starts, strict=True):
            kernel.assign(start)


def test_batches_count_by_their_rows(model):
    whole = loss_landscape(model, X, Y, points=3)
    parts = loss_landscape(model, X, Y, points=3, batch_size=16)
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-5)


def test_frozen_kernels_stay(model):
    model.layers[0].trainable = False
    try:
        conv = keras.ops.convert_to_numpy(model.layers[0].kernel)
        result = loss_landscape(model, X, Y, points=3)
        assert np.ptp(result.losses) > 0
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(model.layers[0].kernel), conv
        )
    finally:
        model.layers[0].trainable = True


def test_training_goes_on_as_if_nothing_had_happened():
    weights = []
    for look in (False, True):
        keras.utils.set_random_seed(2)
        network = keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(3)]
        )
        network.compile("adam", "sparse_categorical_crossentropy")
        x = X[:, 0, 0].repeat(2, axis=-1)[:, :4]
        for _ in range(2):
            network.fit(x, Y, batch_size=8, verbose=0)
            if look:
                loss_landscape(network, x, Y, points=3)
        weights.append(network.get_weights())
    for plain, looked in zip(*weights, strict=True):
        np.testing.assert_array_equal(looked, plain)


def test_plots_contours_and_a_surface():
    steps = np.linspace(-1, 1, 5)
    losses = 0.01 + 10 * (steps[:, None] ** 2 + steps**2)
    losses[0, 0] = np.nan
    contours, surface = LossLandscape(losses, steps).plot()
    assert contours.get_ylabel() == "first direction"
    assert surface.get_zlabel() == "log10 of the loss"
    flat = LossLandscape(np.full((3, 3), 2.0), np.linspace(-1, 1, 3))
    assert flat.plot()[1].get_zlabel() == "loss"
    assert "3 x 3 points, loss 2 in the middle" in repr(flat)
    plt.close("all")


def test_bad_arguments(model):
    with pytest.raises(ValueError, match=r"`points` must be odd.*points=4"):
        loss_landscape(model, X, Y, points=4)
    new = keras.Sequential([keras.layers.Dense(2)])
    new.compile("sgd", "mse")
    with pytest.raises(ValueError, match="must be built and have kernels"):
        loss_landscape(new, np.zeros((4, 3)), np.zeros((4, 2)))


def test_penalties_of_outputs_and_losses_that_are_added():
    @keras.saving.register_keras_serializable("test")
    class Adds(keras.layers.Layer):
        def call(self, x):
            self.add_loss(keras.ops.mean(x**2))
            return x

    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, activity_regularizer="l2"),
            Adds(),
        ]
    )
    network.compile("sgd")  # with no other loss
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    found = loss_landscape(network, x, points=1).losses
    expected = network.evaluate(x, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected > 0


def test_a_plot_of_nothing():
    empty = LossLandscape(np.full((3, 3), np.nan), np.linspace(-1, 1, 3))
    with pytest.raises(ValueError, match="`losses` must be finite somewhere"):
        empty.plot()
