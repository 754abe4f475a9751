"""Does what Keras does not list come through a sweep and a resume unharmed?"""

import keras
import numpy as np
import pytest
from helpers import BACKEND, data, fit, mlp, sgd, weights

import keras_fast
from keras_fast._keras.held import optimizers_of, variables_of
from keras_fast.callbacks import (
    SGDR,
    ResumableCheckpoint,
    SnapshotEnsemble,
    WeightAveraging,
)

tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="steps of TensorFlow's form"
)
trains_stateful = pytest.mark.skipif(
    BACKEND == "torch", reason="Keras can't train a stateful RNN on PyTorch"
)
ops = keras.ops


class Box:
    """An object of the user's own."""

    def __init__(self, **attributes):
        vars(self).update(attributes)


class Holder(keras.layers.Layer):
    """Holds what Keras does not list."""

    def __init__(self, **attributes):
        super().__init__()
        # Setattr would track it.
        vars(self).update(attributes)

    def call(self, x):
        return x


def number(value=1.0):
    return keras.Variable(value, trainable=False, name="number")


def holding(place, held):
    """A compiled model that holds this there."""
    layer = Holder(**{"layer": {"held": held}}.get(place, {}))
    model = mlp(sgd(), layer)
    if place == "model":
        vars(model)["held"] = held
    elif place == "loss":
        loss = keras.losses.MeanSquaredError()
        loss.held = held
        model.compile(sgd(), loss)
    elif place == "optimizer":
        vars(model.optimizer)["held"] = held
    elif place == "cell":
        # Of an RNN beside the calls of the model.
        cell = keras.layers.LSTMCell(2)
        vars(cell)["held"] = held
        model.recurrent = keras.layers.RNN(cell)
    return model


PLACES = ["model", "layer", "loss", "optimizer", "cell"]
WAYS = {
    "itself": (lambda v: v, ""),
    "list": (lambda v: [None, v], ".1"),
    "nested": (lambda v: {"a": ({"b": v},)}, ".a.0.b"),
    "object": (lambda v: Box(queue=[v]), ".queue.0"),
    "method": (lambda v: Box(queue=v).__init__, ".__self__.queue"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("way", WAYS)
def test_variables_are_found_by_attributes(place, way):
    variable = number()
    wrapped, path = WAYS[way]
    _, others = variables_of(holding(place, wrapped(variable)))
    assert [each for _, each in others] == [variable]
    assert others[0][0].endswith(f"held{path}")


@pytest.mark.parametrize("place", ["model", "layer", "loss"])
def test_optimizers_are_found_after_the_compiled_one(place):
    other = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam())
    model = holding(place, [{"probe": other}])
    assert optimizers_of(model) == [model.optimizer, other]


def test_what_keras_lists_is_no_other():
    model = mlp(
        keras.optimizers.Adam(use_ema=True),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.1),
        metrics=["mae", keras.metrics.AUC()],
    )
    fit(model, *data(2), epochs=1)
    listed, others = variables_of(model)
    assert others == []
    wanted = [
        *model.variables,
        *model.metrics_variables,
        *model.optimizer.variables,
    ]
    assert {*map(id, listed)} == {*map(id, wanted)}


class Counts(keras.callbacks.Callback):
    """Changes a variable from outside of the step, as KL annealing does."""

    def __init__(self, variable):
        super().__init__()
        self.variable = variable

    def on_train_batch_end(self, batch, logs=None):
        self.variable.assign(self.variable + 1.0)


@pytest.mark.parametrize("way", ["itself", "object"])
def test_sweep_puts_back_what_a_callback_changes(way):
    variable = number()
    model = holding("layer", WAYS[way][0](variable))
    callbacks = [Counts(variable)]
    keras_fast.lr_find(model, *data(), num_steps=6, callbacks=callbacks)
    assert float(variable.numpy()) == 1


STATEFUL = {
    "lstm": lambda: keras.layers.LSTM(3, stateful=True),
    "gru": lambda: keras.layers.GRU(3, stateful=True),
    "stacked": lambda: keras.layers.RNN(
        [keras.layers.LSTMCell(2), keras.layers.GRUCell(2)], stateful=True
    ),
    "both ways": lambda: keras.layers.Bidirectional(
        keras.layers.SimpleRNN(2, stateful=True)
    ),
}


def recurrent(kind):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(4, 3, 2)),
            STATEFUL[kind](),
            keras.layers.Dense(1),
        ]
    )
    model.compile(sgd(), "mse")
    return model


def sequences():
    x = np.random.default_rng(0).normal(size=(24, 3, 2)).astype("float32")
    return x, x.sum((1, 2))[:, None]


@trains_stateful
@pytest.mark.parametrize("kind", STATEFUL)
@pytest.mark.matrix(1)
def test_states_of_a_stateful_rnn_come_through_a_sweep(kind):
    plain, found = recurrent(kind), recurrent(kind)
    keras_fast.lr_find(found, *sequences(), batch_size=4, num_steps=6)
    for model in (plain, found):
        fit(model, *sequences(), epochs=1)
    np.testing.assert_array_equal(weights(found), weights(plain))


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    def __init__(self, batch):
        super().__init__()
        self.left = batch

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Killed


def assert_resumes(make, x, y, path, save_freq, batch_size=4):
    """Killed in its second epoch, it comes to what it would have come to."""

    def run(*callbacks):
        keras.utils.set_random_seed(0)
        model = make()
        arguments = {"epochs": 3, "batch_size": batch_size, "verbose": 0}
        model.fit(x, y, callbacks=[*callbacks], **arguments)
        return model

    def checkpoint():
        return ResumableCheckpoint(path, save_freq=save_freq)

    whole = run()
    with pytest.raises(Killed):
        run(checkpoint(), Kill(len(x) // batch_size + 3))
    resumed = run(checkpoint())
    for a, b in zip(held(whole), held(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def held(model):
    """All but the compiled optimizer, which is built earlier or not at all."""
    _, others = variables_of(model)
    variables = [*model.variables, *(variable for _, variable in others)]
    for optimizer in optimizers_of(model)[1:]:
        variables += optimizer.variables
    return [np.array(v.numpy()) for v in variables]


@tensorflow
@pytest.mark.parametrize("save_freq", ["epoch", 2])
@pytest.mark.matrix(1)
def test_states_of_a_stateful_rnn_are_resumed(save_freq, tmp_path):
    path = tmp_path / "training.save"
    assert_resumes(lambda: recurrent("lstm"), *sequences(), path, save_freq)


@trains_stateful
def test_ensemble_of_stateful_snapshots_leaves_no_trace(tmp_path):
    model = recurrent("gru")
    ensemble = SnapshotEnsemble(tmp_path)
    fit(model, *sequences(), SGDR(0.1, cycle_len=1), ensemble, epochs=2)
    before = held(model)
    first = ensemble.predict(sequences()[0], batch_size=4)
    for a, b in zip(before, held(model), strict=True):
        np.testing.assert_array_equal(a, b)
    again = ensemble.predict(sequences()[0], batch_size=4)
    np.testing.assert_array_equal(first, again)


def test_new_statistics_leave_states_alone():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(4, 3, 2)),
            keras.layers.LSTM(3, stateful=True),
            keras.layers.BatchNormalization(),
        ]
    )
    states = model.layers[0].states
    keras_fast.update_batch_norm(model, sequences()[0], batch_size=4)
    for state in states:
        assert not state.numpy().any()


if BACKEND == "tensorflow":
    import tensorflow as tf

    class Annealed(keras.layers.Layer):
        """Counts in a variable of TensorFlow's, and draws from a generator."""

        def __init__(self):
            super().__init__()
            self.steps = tf.Variable(0.0, trainable=False)
            self.bank = [tf.Variable(tf.zeros(5))]
            self.generator = tf.random.Generator.from_seed(1)

        def call(self, x, training=False):
            if training:
                self.steps.assign_add(1.0)
                self.bank[0].assign(x[0])
                x += 0.1 * self.generator.normal(tf.shape(x))
            share = ops.minimum(1.0, self.steps / 50)
            self.add_loss(share * ops.mean((x - self.bank[0]) ** 2))
            return x

    class Scaled(keras.losses.Loss):
        """Divides by a running mean."""

        def __init__(self):
            super().__init__()
            self.scale = tf.Variable(1.0)

        def call(self, y_true, y_pred):
            error = ops.mean((y_true - y_pred) ** 2, axis=-1)
            self.scale.assign(0.9 * self.scale + 0.1 * ops.mean(error))
            return error / tf.stop_gradient(self.scale)

    class Probe(keras.Model):
        """SimCLR's: what it has learned is probed by a second optimizer."""

        def __init__(self):
            super().__init__()
            self.body = keras.layers.Dense(4)
            self.end, self.probe = keras.layers.Dense(1), keras.layers.Dense(1)
            self.optimizers = {"probe": keras.optimizers.Adam(0.01)}
            self.steps = tf.Variable(0)

        def call(self, x):
            features = self.body(x)
            self.probe(features)
            return self.end(features)

        def train_step(self, batch):
            x, y = batch
            self.steps.assign_add(1)
            with tf.GradientTape(persistent=True) as tape:
                features = self.body(x)
                loss = self.compute_loss(y=y, y_pred=self.end(features))
                probed = self.probe(tf.stop_gradient(features))
                error = tf.reduce_mean((probed - y) ** 2)
            own = self.body.trainable_weights + self.end.trainable_weights
            self.optimizer.apply(tape.gradient(loss, own), own)
            own = self.probe.trainable_weights
            self.optimizers["probe"].apply(tape.gradient(error, own), own)
            return {"loss": loss}

    class GAN(keras.Model):
        """In keras.io's form: no `call()`, an optimizer for each part."""

        def __init__(self):
            super().__init__()
            self.generator = keras.Sequential(
                [keras.Input((2,)), keras.layers.Dense(4)]
            )
            self.critic = keras.Sequential(
                [
                    keras.Input((4,)),
                    keras.layers.Dropout(0.2),
                    keras.layers.Dense(1),
                ]
            )
            self.seeds = keras.random.SeedGenerator(3)

        def compile(self, critic_optimizer, generator_optimizer):
            super().compile()
            self.critic_optimizer = critic_optimizer
            self.generator_optimizer = generator_optimizer

        def train_step(self, batch):
            x, _ = batch
            noise = keras.random.normal((ops.shape(x)[0], 2), seed=self.seeds)
            with tf.GradientTape(persistent=True) as tape:
                made = self.generator(noise, training=True)
                true, false = (self.critic(each) for each in (x, made))
                critic = ops.mean(ops.softplus(-true) + ops.softplus(false))
                generator = ops.mean(ops.softplus(-false))
            for part, loss, optimizer in (
                (self.critic, critic, self.critic_optimizer),
                (self.generator, generator, self.generator_optimizer),
            ):
                own = part.trainable_weights
                optimizer.apply(tape.gradient(loss, own), own)
            return {"loss": critic}

    def annealed():
        return mlp(sgd(), Annealed())

    def scaled():
        model = mlp(sgd())
        model.compile(sgd(), Scaled())
        return model

    def probed():
        model = Probe()
        model.compile(sgd(), "mse")
        model(data()[0][:1])
        return model

    def gan():
        model = GAN()
        model.compile(
            keras.optimizers.Adam(0.01, beta_1=0.5), keras.optimizers.Adam(0.01)
        )
        return model

    def in_closure():
        """A loss whose running scale no attribute leads to."""
        scale = tf.Variable(1.0)

        def loss(y_true, y_pred):
            scale.assign(0.9 * scale + 0.1 * ops.mean((y_true - y_pred) ** 2))
            error = ops.mean((y_true - y_pred) ** 2, axis=-1)
            return error / tf.stop_gradient(scale)

        model = mlp(sgd())
        model.compile(sgd(), loss)
        vars(model)["scale_for_the_test"] = lambda: scale
        return model


MODELS = ["annealed", "scaled", "probed", "gan", "in_closure"]


@tensorflow
@pytest.mark.parametrize("make", MODELS)
@pytest.mark.matrix(2)
def test_training_is_the_same_after_a_sweep(make):
    models = []
    for sweeps in (0, 2):
        keras.utils.set_random_seed(0)
        model = globals()[make]()
        swept = {"optimizer": getattr(model, "critic_optimizer", None)}
        swept |= {"batch_size": 4, "num_steps": 6}
        for _ in range(sweeps):  # the second by the trace of the first
            keras_fast.lr_find(model, *data(), **swept)
        keras.utils.set_random_seed(1)
        fit(model, *data(), epochs=1)
        models.append(model)
    for a, b in zip(*map(held, models), strict=True):
        np.testing.assert_array_equal(a, b)


@tensorflow
@pytest.mark.parametrize("save_freq", ["epoch", 2])
@pytest.mark.parametrize("make", MODELS[:-1])
@pytest.mark.matrix(3)
def test_all_that_is_held_is_resumed(make, save_freq, tmp_path):
    path = tmp_path / "training.save"
    assert_resumes(globals()[make], *data(), path, save_freq)


@tensorflow
def test_checkpoint_refuses_what_it_can_not_find(tmp_path):
    model, path = in_closure(), tmp_path / "training.save"
    message = "Make it an attribute of the model, a layer, a loss or a metric. "
    with pytest.raises(ValueError, match=message):
        fit(model, *data(), ResumableCheckpoint(path))
    assert not path.exists()
    fit(model, *data(), epochs=1)


@tensorflow
def test_file_of_other_optimizers_is_refused(tmp_path):
    path = tmp_path / "training.save"
    with pytest.raises(Killed):
        fit(probed(), *data(), ResumableCheckpoint(path), Kill(12), epochs=3)
    model = probed()
    model.optimizers["probe"] = keras.optimizers.SGD(0.01)
    with pytest.raises(ValueError, match="which has Adam where the model"):
        fit(model, *data(), ResumableCheckpoint(path), epochs=3)


@tensorflow
def test_models_without_call_are_saved(tmp_path):
    model = gan()
    callbacks = [
        SGDR(0.1, optimizer=model.critic_optimizer),
        SnapshotEnsemble(tmp_path),
        WeightAveraging(0),
        ResumableCheckpoint(tmp_path / "training.save"),
    ]
    fit(model, *data(), *callbacks, epochs=1)
    assert len(list(tmp_path.glob("*.snapshot"))) == 1


class InName(keras.Model):
    """Built by `build()`, which in Keras 3 builds no layers."""

    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(1, name="first")

    def call(self, x):
        return self.first(x)


@tensorflow
@pytest.mark.filterwarnings("ignore:`build")
@pytest.mark.parametrize("kind", [ResumableCheckpoint, WeightAveraging])
def test_what_is_built_in_name_alone_is_refused(kind, tmp_path):
    model = InName()
    model.build((None, 4))
    model.compile("sgd", "mse")
    path = tmp_path / "training.save"
    callback = kind(path) if kind is ResumableCheckpoint else kind(0)
    with pytest.raises(ValueError, match=r"not built: first\)"):
        fit(model, *data(), callback, epochs=1)
    fit(model, *data(), epochs=1)
    fit(model, *data(), callback, epochs=1)  # now it is


@tensorflow  # others build before callbacks hear
def test_unbuilt_layers_are_named(tmp_path):
    model = keras.Sequential([keras.layers.Dense(1, name="first")])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"not built: first\)"):
        fit(model, *data(), ResumableCheckpoint(tmp_path / "training.save"))
