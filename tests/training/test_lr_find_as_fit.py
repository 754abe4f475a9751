"""Does a sweep ask no more of model and data than TensorFlow's `fit()` does?

There `fit()` calls nothing but `train_step`: a model with one of its own need
not be called on `x`, and strings are tensors.
"""

import keras
import numpy as np
import pytest
from helpers import state

from keras_fast import lr_find

pytestmark = pytest.mark.tensorflow_only


def strings():
    words = keras.layers.TextVectorization(output_sequence_length=2)
    words.adapt(["a b c"])
    inputs = keras.Input((), dtype="string")
    x = keras.layers.Embedding(6, 2)(words(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1)(x[:, 0]))
    x = np.array(["a b", "b c", "c a", "a a"] * 4, object)
    return model, x, np.arange(16.0) % 2


def dataset_of_strings():
    import tensorflow as tf

    model, *arrays = strings()
    return model, tf.data.Dataset.from_tensor_slices((*arrays,)).batch(4), None


def own_step(loss_of):
    """A model whose `train_step` computes this loss."""
    import tensorflow as tf

    class OwnStep(keras.Model):
        def train_step(self, data):
            with tf.GradientTape() as tape:
                loss = loss_of(self, data)
            variables = self.trainable_variables
            self.optimizer.apply(tape.gradient(loss, variables), variables)
            return {"loss": loss}

    return OwnStep


def pairs():
    """Metric learning: x is (2, batch, features)."""
    import tensorflow as tf

    def loss_of(model, data):
        a, b = (model(data[0][i], training=True) for i in range(2))
        likeness = tf.matmul(a, b, transpose_b=True)
        return model.compute_loss(y=tf.eye(4), y_pred=likeness)

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return (np.random.default_rng(i).random((2, 4, 3), "float32"),)

    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(2)(inputs)
    return own_step(loss_of)(inputs, outputs), Batches(), None


def no_call():
    """An autoencoder that nobody can call."""

    def loss_of(model, x):
        codes = model.encoder(x, training=True)
        return model.compute_loss(y=x, y_pred=model.decoder(codes))

    model = own_step(loss_of)()
    model.encoder = keras.layers.Dense(2, activation="tanh")
    model.decoder = keras.layers.Dense(3)
    return model, np.random.default_rng(0).random((16, 3), "float32"), None


class ByHand(keras.callbacks.Callback):
    """Sets the rate of each batch as plain Keras can, and keeps its loss."""

    def __init__(self, rates):
        super().__init__()
        self.rates, self.losses = iter(rates), []

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = next(self.rates)
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(logs["loss"])


@pytest.mark.parametrize("make", [strings, dataset_of_strings, pairs, no_call])
def test_works_where_fit_works(make):
    def made():
        keras.utils.set_random_seed(0)
        model, x, y = make()
        model.compile("sgd", "mse")
        return model, x, y

    arguments = {"shuffle": False}
    if make in (strings, no_call):
        arguments["batch_size"] = 4
    model, x, y = made()
    found = lr_find(
        model, x, y, start_lr=0.01, end_lr=1.0, num_steps=8, **arguments
    )
    plain, x, y = made()
    by_hand = ByHand(found.learning_rates)
    plain.fit(x, y, epochs=2, verbose=0, callbacks=[by_hand], **arguments)
    np.testing.assert_allclose(found.losses, by_hand.losses, rtol=1e-5)
    # And the model trains as if there had been no sweep.
    plain, x, y = made()
    for each in (model, plain):
        each.fit(x, y, verbose=0, **arguments)
    for swept, unswept in zip(state(model), state(plain), strict=True):
        np.testing.assert_array_equal(swept, unswept)
