import keras
import numpy as np
import pytest
from helpers import adam, data, distance, fit, mlp, sgd

from keras_fast import update_batch_norm
from keras_fast.callbacks import WeightAveraging


class Weights(keras.callbacks.Callback):
    """Takes down the weights at the end of each epoch."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append(self.model.get_weights())


@pytest.mark.parametrize("start", [0, 2, 4])
def test_the_mean_of_the_last_epochs(start):
    model, taken = mlp(adam()), Weights()
    averaging = WeightAveraging(start)
    fit(model, *data(), averaging, taken, epochs=5)
    assert averaging.num_averaged == 5 - start
    counted = zip(*taken.epochs[start:], strict=True)
    for got, epochs in zip(model.get_weights(), counted, strict=True):
        assert distance(got, np.mean(epochs, axis=0, dtype="float64")) <= 1e-6
    fit(model, *data(), averaging, epochs=5)
    assert averaging.num_averaged == 5 - start


def test_statistics_fit_the_mean():
    def normalized():
        norm = keras.layers.BatchNormalization(momentum=0.9)
        return mlp(adam(), norm, keras.layers.Dropout(0.3))

    x, y = data()
    model = normalized()
    fit(model, x, y, WeightAveraging(1, x=x, batch_size=8), epochs=3)
    trained = model.get_weights()
    other = normalized()
    other.set_weights(trained)
    other.layers[1].moving_mean.assign(np.zeros(5))
    update_batch_norm(other, x, batch_size=8)
    for got, value in zip(other.get_weights(), trained, strict=True):
        np.testing.assert_array_equal(got, value)


def test_training_that_ends_before_changes_nothing():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    model, plain = mlp(sgd()), mlp(sgd())
    fit(model, *data(), WeightAveraging(1), Stop())
    fit(plain, *data(), epochs=1)
    for got, value in zip(
        model.get_weights(), plain.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(got, value)


def test_no_data_for_batch_normalization():
    model = mlp(sgd(), keras.layers.BatchNormalization())
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), WeightAveraging(1))
    assert str(caught.value) == (
        "A model with BatchNormalization must get new statistics for averaged "
        "weights. Pass the training data, `WeightAveraging(1, x=...)`. "
        "Received: x=None"
    )


def test_an_epoch_that_never_comes():
    with pytest.raises(ValueError) as caught:
        fit(mlp(sgd()), *data(), WeightAveraging(2))
    assert str(caught.value) == (
        "`start` must be an epoch of this training. Pass one below `epochs`. "
        "Received: start=2, epochs=2"
    )
