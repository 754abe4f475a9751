import copy
import csv
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from helpers import BACKEND, EXECUTIONS, JIT, adam, by_hand, data, fit, mlp, sgd

from keras_fast.callbacks import OneCycle, Recorder


@pytest.mark.parametrize("executions", EXECUTIONS)
def test_losses_are_those_of_train_on_batch(executions):
    recorder = Recorder()
    # Eleven batches, the last one short.
    x, y = (array[:-1] for array in data(11))
    fit(mlp(adam(), steps_per_execution=executions), x, y, recorder)
    wanted = by_hand(mlp(adam(), run_eagerly=True), x, y, {})
    assert recorder.losses.dtype == "float64"
    np.testing.assert_allclose(recorder.losses, wanted, atol=1e-6)


def test_weighted_losses():
    x, y = data()
    sample_weight = np.linspace(0.0, 2.0, len(x)).astype("float32")
    recorder, reference = Recorder(), mlp(sgd())
    fit(mlp(sgd()), x, y, recorder, epochs=1, sample_weight=sample_weight)
    wanted = []
    for start in range(0, len(x), 4):
        rows = slice(start, start + 4)
        reference.reset_metrics()
        wanted.append(
            reference.train_on_batch(
                x[rows], y[rows], sample_weight=sample_weight[rows]
            )
        )
    np.testing.assert_allclose(recorder.losses, wanted, atol=1e-6)


def test_the_model_may_hold_layers_in_a_tuple():
    model, recorder = mlp(sgd()), Recorder()
    model.parts = tuple(model.layers)  # TensorFlow wraps it
    history = fit(model, *data(2), recorder, epochs=1)
    np.testing.assert_allclose(
        recorder.losses.mean(), history.history["loss"][0], atol=1e-6
    )


def test_validation_and_other_losses_are_not_recorded():
    x, y = data()
    recorder, model = Recorder(), mlp(sgd())
    fit(model, x, y, recorder, validation_data=(x, y))
    assert recorder.losses.shape == (20,)
    model.evaluate(x, y, verbose=0)
    model.train_on_batch(x, y)
    assert recorder.losses.shape == (20,)
    fit(model, x, y, recorder, epochs=1)
    assert recorder.losses.shape == (10,)


def test_schedule_is_recorded_and_enters_the_logs(tmp_path):
    recorder, scheduler = Recorder(), OneCycle(0.05)
    path = tmp_path / "log.csv"
    history = fit(
        mlp(adam()),
        *data(),
        scheduler,
        recorder,
        keras.callbacks.CSVLogger(path),
    ).history
    curve = scheduler.curve(20)
    np.testing.assert_allclose(
        recorder.learning_rates, curve["learning_rate"], rtol=1e-12
    )
    np.testing.assert_allclose(
        recorder.momentums, curve["momentum"], rtol=1e-12
    )
    ends = [9, 19]
    np.testing.assert_allclose(
        history["learning_rate"], curve["learning_rate"][ends]
    )
    np.testing.assert_allclose(history["momentum"], curve["momentum"][ends])
    with path.open() as file:
        rows = list(csv.DictReader(file))
    np.testing.assert_allclose(
        [float(row["momentum"]) for row in rows], curve["momentum"][ends]
    )


def test_order_of_the_callbacks_does_not_matter():
    recorder, scheduler = Recorder(), OneCycle(0.05)
    fit(mlp(adam()), *data(), recorder, scheduler)
    np.testing.assert_allclose(
        recorder.learning_rates, scheduler.curve(20)["learning_rate"]
    )


def test_own_hyperparameters_without_a_schedule():
    recorder = Recorder()
    history = fit(mlp(sgd()), *data(), recorder).history
    np.testing.assert_allclose(recorder.learning_rates, [0.05] * 20)
    np.testing.assert_allclose(recorder.momentums, [0.9] * 20)
    np.testing.assert_allclose(history["learning_rate"], [0.05] * 2)


def test_no_momentum_is_nan():
    recorder = Recorder()
    history = fit(
        mlp(keras.optimizers.Adagrad(0.05)), *data(), recorder
    ).history
    assert np.isnan(recorder.momentums).all()
    assert "momentum" not in history


def test_accumulation():
    recorder, scheduler = Recorder(), OneCycle(0.05)
    model = mlp(adam(gradient_accumulation_steps=3))
    fit(model, *data(), scheduler, recorder)
    # Six updates of three batches; the last two batches make none.
    np.testing.assert_allclose(
        recorder.learning_rates, scheduler.curve(6)["learning_rate"]
    )
    reference = mlp(adam(gradient_accumulation_steps=3), run_eagerly=True)
    batches = by_hand(reference, *data(), scheduler.curve(6))
    np.testing.assert_allclose(
        recorder.losses, batches[:18].reshape(6, 3).mean(axis=1), atol=1e-6
    )


def test_more_losses_than_the_tape_holds():
    recorder = Recorder()
    model = mlp(sgd(), jit_compile=JIT[-1])
    x, y = data(1)
    reference = by_hand(mlp(sgd(), run_eagerly=True), x, y, {}, epochs=20)
    x, y = np.tile(x, (1100, 1)), np.tile(y, (1100, 1))
    fit(model, x, y, recorder, epochs=1)
    assert recorder.losses.shape == (1100,)
    np.testing.assert_allclose(recorder.losses[:20], reference, atol=1e-6)
    np.testing.assert_allclose(recorder.losses[1000:], 0, atol=1e-6)


class OwnLoss(keras.Sequential):
    """Its loss is not told whether it is for training."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return keras.ops.mean(keras.ops.abs(y - y_pred))


def test_losses_of_the_validation_are_none():
    recorder, x, y = Recorder(), *data()
    model = OwnLoss(mlp(sgd()).layers)
    model.compile(sgd())
    start = np.mean(np.abs(model.predict(x[:4], verbose=0) - y[:4]))
    fit(model, x, y, recorder, validation_data=(x, y))
    assert recorder.losses.shape == (20,)
    np.testing.assert_allclose(recorder.losses[0], start, rtol=1e-6)


def test_plots():
    recorder = Recorder()
    fit(mlp(sgd()), *data(), OneCycle(0.05), recorder)
    assert recorder.plot().lines
    assert recorder.plot_schedule().lines


@pytest.mark.tensorflow_only
def test_tensorboard_shows_what_was_used(tmp_path):
    import tensorflow as tf

    board = keras.callbacks.TensorBoard(tmp_path, write_graph=False)
    shown = []
    # The scalars of tf.summary come with a package that is not here.
    board._summary_module = SimpleNamespace(
        create_file_writer=tf.summary.create_file_writer,
        scalar=lambda name, value, step: shown.append((name, value)),
    )
    recorder = Recorder()
    fit(mlp(sgd()), *data(), OneCycle(0.1), recorder, board)
    for name, values in (
        ("epoch_learning_rate", recorder.learning_rates),
        ("epoch_momentum", recorder.momentums),
    ):
        found = [value for each, value in shown if each == name]
        np.testing.assert_array_equal(found, values[9::10])
    # Used again without a Recorder it is plain.
    shown.clear()
    fit(mlp(sgd()), *data(2), board, epochs=1)
    assert dict(shown)["epoch_learning_rate"] == pytest.approx(0.05)


def test_two_recorders_record_the_same():
    first, second = Recorder(), Recorder()
    fit(mlp(sgd()), *data(), first, OneCycle(0.05), second)
    for name in "losses", "learning_rates", "momentums":
        wanted = getattr(first, name)
        assert len(wanted) == 20
        np.testing.assert_array_equal(getattr(second, name), wanted)


def test_rates_of_keras_s_own_schedules_are_those_used():
    decay = keras.optimizers.schedules.ExponentialDecay(0.1, 4, 0.5)
    recorder = Recorder()
    history = fit(mlp(keras.optimizers.SGD(decay)), *data(), recorder).history
    wanted = 0.1 * 0.5 ** (np.arange(20) / 4)
    np.testing.assert_allclose(recorder.learning_rates, wanted, rtol=1e-6)
    np.testing.assert_allclose(history["learning_rate"], wanted[[9, 19]])


class Sets(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 0.1 / (epoch + 1)

    def on_epoch_end(self, epoch, logs=None):
        self.model.optimizer.learning_rate = 9.0


def test_rates_that_a_callback_sets_are_those_used():
    recorder = Recorder()
    fit(mlp(sgd()), *data(), Sets(), recorder)
    wanted = np.repeat([0.1, 0.05], 10)
    np.testing.assert_allclose(recorder.learning_rates, wanted, rtol=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
def test_a_momentum_that_does_not_arrive_is_not_recorded():
    class Changes(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                self.model.optimizer.momentum = 0.5

    recorder, model = Recorder(), mlp(sgd(), jit_compile=BACKEND == "jax")
    fit(model, *data(), recorder, Changes())
    np.testing.assert_allclose(recorder.momentums, 0.9)
    eager = Recorder()
    fit(mlp(sgd(), run_eagerly=True), *data(), eager, Changes())
    np.testing.assert_allclose(eager.momentums[:10], 0.9)


def test_a_recorder_can_be_copied_within_a_fit():
    copies = []

    class Copies(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            copies.append(copy.deepcopy(recorder))

    recorder = Recorder()
    fit(mlp(sgd()), *data(), recorder, Copies())
    np.testing.assert_array_equal(copies[0].losses, recorder.losses[:10])
