"""What does a sweep see and say, on all that `fit()` takes?"""

from functools import cache, partial

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    EXECUTIONS,
    adam,
    by_hand,
    data,
    mlp,
    sgd,
)

from keras_fast import LRFinderResult, callbacks, fine_tune, lr_find


def sweep(model, x, y=None, **arguments):
    defaults = {"start_lr": 1e-4, "end_lr": 1e-1, "num_steps": 12}
    return lr_find(model, x, y, **defaults | arguments)


# Three batches: the sweep goes round four times.
@cache
def wanted():
    rates = 10 ** (-4 + 3 * np.arange(12) / 12)
    reference = mlp(sgd(), run_eagerly=True)
    curve = {"learning_rate": rates}
    return rates, by_hand(reference, *data(3), curve, epochs=4)


def assert_wanted(result):
    rates, losses = wanted()
    np.testing.assert_allclose(result.learning_rates, rates)
    np.testing.assert_allclose(result.losses, losses, atol=1e-5)
    assert result.losses.dtype == result.smoothed_losses.dtype == "float64"
    assert result.stop_reason == "completed"


@pytest.mark.parametrize("executions", EXECUTIONS)
def test_losses_are_those_of_train_on_batch(executions):
    model = mlp(sgd(), steps_per_execution=executions)
    result = sweep(model, *data(3), batch_size=4, shuffle=False)
    if executions == 1:
        assert_wanted(result)
    else:  # five steps do not fit into an epoch of three
        assert result.losses.shape == (12,)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        x, y = data(3)
        return x[4 * index : 4 * index + 4], y[4 * index : 4 * index + 4]


def one_by_one(count):
    """Batches, one after the other, `count` epochs of them."""
    batches = Batches()
    for _ in range(count):
        for i in range(3):
            yield batches[i]


def as_dataset(kind):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(data(3)).batch(4)
    match kind:
        case "infinite":
            return dataset.repeat()
        case "unknown":
            return dataset.filter(lambda x, y: True)
    return dataset


@pytest.mark.parametrize(
    ("make_x", "arguments"),
    [
        (lambda: as_dataset("finite"), {}),
        (lambda: as_dataset("unknown"), {}),
        (lambda: as_dataset("infinite"), {"steps_per_epoch": 3}),
        (lambda: as_dataset("infinite"), {}),
        (Batches, {"shuffle": False}),
        (lambda: one_by_one(1), {}),
        (lambda: one_by_one(10**9), {}),
        (lambda: one_by_one(10**9), {"steps_per_epoch": 3}),
    ],
    ids=[
        "finite",
        "unknown",
        "infinite-steps",
        "infinite",
        "PyDataset",
        "short generator",
        "endless generator",
        "endless generator-steps",
    ],
)
def test_whatever_fit_takes(make_x, arguments):
    assert_wanted(sweep(mlp(sgd()), make_x(), **arguments))


@pytest.mark.skipif(BACKEND != "torch", reason="for PyTorch")
def test_data_loader():
    import torch

    tensors = [torch.from_numpy(array) for array in data(3)]
    dataset = torch.utils.data.TensorDataset(*tensors)
    loader = torch.utils.data.DataLoader(dataset, batch_size=4)
    assert_wanted(sweep(mlp(sgd()), loader))


def test_dict_inputs():
    network = mlp(sgd())
    inputs = {
        "a": keras.Input((2,), name="a"),
        "b": keras.Input((2,), name="b"),
    }
    joined = keras.layers.Concatenate()([inputs["a"], inputs["b"]])
    model = keras.Model(inputs, network(joined))
    model.compile(sgd(), "mse")
    x, y = data(3)
    x = {"a": x[:, :2], "b": x[:, 2:]}
    assert_wanted(sweep(model, x, y, batch_size=4, shuffle=False))


def test_sample_weight_and_class_weight():
    x, y = data(3)
    y = (y > 0).astype("int32")
    model = mlp(sgd())
    weights = np.where(y[:, 0] == 1, 3.0, 0.5).astype("float32")
    arguments = {"batch_size": 4, "shuffle": False}
    by_sample = sweep(model, x, y, sample_weight=weights, **arguments)
    by_class = sweep(model, x, y, class_weight={0: 0.5, 1: 3.0}, **arguments)
    plain = sweep(model, x, y, **arguments)
    np.testing.assert_allclose(by_sample.losses, by_class.losses, rtol=1e-6)
    assert np.abs(by_sample.losses - plain.losses).max() > 0.1
    first = np.mean((model.predict(x[:4], verbose=0) - y[:4]) ** 2, axis=1)
    np.testing.assert_allclose(
        by_sample.losses[0], np.mean(first * weights[:4]), rtol=1e-5
    )


@pytest.mark.tensorflow_only
def test_custom_train_step():
    import tensorflow as tf

    class Doubled(keras.Model):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def call(self, x):
            return self.network(x)

        def train_step(self, batch):
            x, y = batch
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    model = Doubled(mlp(sgd()))
    model.compile(sgd(), "mse")
    assert_wanted(sweep(model, *data(3), batch_size=4, shuffle=False))


def test_nothing_but_nan():
    x, y = data(3)
    model = mlp(sgd())
    result = sweep(model, x, np.full_like(y, np.nan), batch_size=4)
    assert result.stop_reason == "non_finite"
    assert result.losses.shape == result.learning_rates.shape == (0,)
    assert set(result.suggestions.values()) == {None}
    assert result.rule is result.spread is None
    with pytest.raises(ValueError) as caught:
        result.suggestion  # noqa: B018
    assert str(caught.value) == (
        "The loss must fall or rise somewhere for a suggestion. Look at "
        "`plot()`, and check the data, the loss and the range of rates. "
        "Received: stop_reason='non_finite' after 0 updates"
    )


def test_suggestions():
    result = lr_find(mlp(adam()), *data(40), batch_size=32)
    rates = {k: v for k, v in result.suggestions.items() if v is not None}
    assert next(iter(result.suggestions)) == "highest"
    assert result.rule == next(iter(rates))
    assert result.suggestion == rates[result.rule]
    assert result.spread == max(rates.values()) / min(rates.values())
    assert all(1e-8 <= rate <= 10 for rate in rates.values())
    assert result.plot().lines


def test_plot_of_few_updates():
    result = sweep(mlp(sgd()), *data(3), batch_size=4)
    assert result.plot(skip_start=2, skip_end=1).lines


def test_twice_is_the_same():
    model = mlp(adam())
    first, second = (
        lr_find(model, *data(), batch_size=4, num_steps=25, shuffle=False)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.losses, second.losses)
    np.testing.assert_array_equal(first.smoothed_losses, second.smoothed_losses)
    assert first.suggestions == second.suggestions


def test_repr():
    arrays = (np.ones(70), np.ones(70), np.ones(70))
    found = {"highest": None, "trained": 1.234e-3}
    assert repr(LRFinderResult(*arrays, "diverged", found)) == (
        "LRFinderResult(diverged after 70 updates, suggestion=0.00123, "
        "rule='trained')"
    )
    assert repr(LRFinderResult(*arrays, "non_finite", {})) == (
        "LRFinderResult(non_finite after 70 updates, no suggestion)"
    )


def test_result_is_frozen():
    result = LRFinderResult(np.ones(1), np.ones(1), np.ones(1), "completed", {})
    with pytest.raises(AttributeError):
        result.losses = np.zeros(1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 3),
        ("initial_epoch", 1),
        ("validation_data", (1, 2)),
        ("validation_split", 0.2),
        ("validation_steps", 3),
        ("validation_batch_size", 8),
        ("validation_freq", 2),
    ],
)
def test_refused(name, value):
    with pytest.raises(ValueError) as caught:
        lr_find(mlp(adam()), *data(), **{name: value})
    assert str(caught.value) == (
        f"`{name}` must not be given: the sweep runs for `num_steps` updates "
        f"of training alone. Leave it out. Received: {name}={value!r}"
    )


def test_no_data():
    with pytest.raises(ValueError, match=r"`x` must have at least one batch"):
        lr_find(mlp(adam()), iter([]))


def test_not_compiled():
    model = keras.Sequential([keras.layers.Dense(1)])
    with pytest.raises(ValueError) as caught:
        lr_find(model, *data())
    assert str(caught.value) == (
        "`model` must be compiled. Call `model.compile(optimizer, loss)` "
        f"first. Received: model={model.name} (not compiled)"
    )


@pytest.mark.parametrize("function", [lr_find, partial(fine_tune, epochs=1)])
def test_what_no_fit_takes(function):
    with pytest.raises(TypeError) as caught:
        function(mlp(adam()))
    assert str(caught.value) == (
        "`x` must be the data to train on. Pass what `fit()` takes: arrays "
        "`x` and `y`, or a dataset. Received: x=None"
    )
    with pytest.raises(TypeError) as caught:
        function(mlp(adam()), *data(), batch=16)
    assert str(caught.value) == (
        "`batch` must be an argument of this function or of `fit()`. Check "
        "its spelling. Received: batch=16"
    )


class Counts(keras.callbacks.Callback):
    batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1


@pytest.mark.parametrize(
    "given",
    [
        lambda callback: callback,
        lambda callback: (callback,),
        lambda callback: [[callback]],
        lambda callback: keras.callbacks.CallbackList([callback]),
    ],
    ids=["alone", "tuple", "nested", "CallbackList"],
)
def test_callbacks_as_fit_takes_them(given):
    counts = Counts()
    arguments = {"batch_size": 4, "callbacks": given(counts)}
    result = sweep(mlp(sgd()), *data(3), **arguments)
    assert counts.batches == len(result.losses) == 12


def test_a_callback_may_end_the_sweep():
    class Ends(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    model = mlp(sgd())
    result = sweep(model, *data(3), batch_size=4, callbacks=Ends())
    assert result.stop_reason == "stopped"
    assert result.losses.shape == (1,)
    assert not model.stop_training


def test_callbacks_that_save_a_training_are_refused(tmp_path):
    path = tmp_path / "training.save"
    for saving in (
        callbacks.ResumableCheckpoint(path),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.keras"),
    ):
        with pytest.raises(ValueError) as caught:
            lr_find(mlp(sgd()), *data(), num_steps=6, callbacks=[saving])
        name = type(saving).__name__
        assert str(caught.value) == (
            "`callbacks` must not save a training: a sweep would take the "
            f"place of yours in its file. Leave out {name}. Received: "
            f"callbacks with {name}"
        )
