"""A train step of the user's own: scheduled right, recorded right, or told."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, adam, data, distance, fit, mlp, sgd, weights

import keras_fast
from keras_fast.callbacks import OneCycle, ParamScheduler, Recorder

tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="steps of TensorFlow's form"
)
RATES = OneCycle(0.05).curve(20)


def line(progress):
    return 0.1 * (1 - progress) + 1e-3


def scheduled(model, *more, **arguments):
    """Trained for 20 batches at rates along a line."""
    scheduler = ParamScheduler(learning_rate=line, **arguments)
    fit(model, *data(), scheduler, *more)
    return weights(model)


def of(kind, optimizer=None, **arguments):
    model = kind(mlp(sgd()).layers)
    model.compile(optimizer or sgd(), "mse", **arguments)
    return model


if BACKEND == "tensorflow":
    import tensorflow as tf

    def gradients(model, x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
        return loss, tape.gradient(loss, model.trainable_variables)

    class Decorated(keras.Sequential):
        @tf.function
        def train_step(self, batch):
            loss, grads = gradients(self, *batch)
            self.optimizer.apply(grads, self.trainable_variables)
            return {"loss": loss}

    class DecoratedWithin(keras.Sequential):
        @tf.function(jit_compile=True)
        def update(self, x, y):
            loss, grads = gradients(self, x, y)
            self.optimizer.apply(grads, self.trainable_variables)
            return loss

        def train_step(self, batch):
            return {"loss": self.update(*batch)}

    class Within(keras.Sequential):
        """Computes Keras's own loss within a function, and updates there."""

        @tf.function
        def update(self, x, y):
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            grads = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply(grads, self.trainable_variables)
            return loss

        def train_step(self, batch):
            return {"loss": self.update(*batch)}

    class Between(keras.Sequential):
        """The loss in a function, the update behind it."""

        @tf.function
        def gradients(self, x, y):
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            return loss, tape.gradient(loss, self.trainable_variables)

        def train_step(self, batch):
            loss, grads = self.gradients(*batch)
            self.optimizer.apply(grads, self.trainable_variables)
            return {"loss": loss}

    class Twice(keras.Sequential):
        def train_step(self, batch):
            for _ in range(2):
                loss, grads = gradients(self, *batch)
                self.optimizer.apply(grads, self.trainable_variables)
            return {"loss": loss}

    class EveryThird(keras.Sequential):
        """An update of the sum of three batches' gradients, by hand."""

        def train_step(self, batch):
            if not hasattr(self, "sums"):
                self.sums = [
                    tf.Variable(tf.zeros(v.shape), trainable=False)
                    for v in self.trainable_variables
                ]
                self.seen = tf.Variable(0, trainable=False)
            loss, grads = gradients(self, *batch)
            for total, grad in zip(self.sums, grads, strict=True):
                total.assign_add(grad)
            self.seen.assign_add(1)

            def update():
                values = [tf.identity(total) for total in self.sums]
                self.optimizer.apply(values, self.trainable_variables)
                for total in self.sums:
                    total.assign(tf.zeros_like(total))
                return 0

            tf.cond(self.seen % 3 == 0, update, lambda: 0)
            return {"loss": loss}

    class Mean(keras.Sequential):
        """Its logs are a running mean, as in the guides of Keras."""

        @property
        def metrics(self):
            if not hasattr(self, "mean"):
                self.mean = keras.metrics.Mean(name="total")
            return [self.mean]

        def train_step(self, batch):
            loss, grads = gradients(self, *batch)
            self.optimizer.apply(grads, self.trainable_variables)
            self.mean.update_state(loss)
            return {"loss": self.mean.result(), "other": 2 * loss}

    class Pair(keras.Sequential):
        """Two optimizers that take turns on the same weights."""

        def train_step(self, batch):
            for optimizer in self.first, self.second:
                loss, grads = gradients(self, *batch)
                optimizer.apply(grads, self.trainable_variables)
            return {"g_loss": loss}

    def by_hand(kind, rates, prepare=lambda model: None):
        """The same step, eagerly, at rates that are set before each batch."""
        model = of(kind, run_eagerly=True)
        prepare(model)
        x, y = data()
        losses = []
        for k in range(20):
            for optimizer, values in rates(model):
                optimizer.learning_rate = values[min(k, len(values) - 1)]
            rows = slice(4 * k % 40, 4 * k % 40 + 4)
            batch = tf.constant(x[rows]), tf.constant(y[rows])
            logs = model.train_step(batch)
            losses.append(float(logs.get("loss", logs.get("g_loss"))))
        return weights(model), losses

    def along_the_line(model):
        return [(model.optimizer, [line(k / 20) for k in range(20)])]


@tensorflow
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("name", ["Decorated", "DecoratedWithin"])
@pytest.mark.matrix(2)
def test_a_tf_function_has_no_trace_from_before(name, jit):
    kind = globals()[name]

    def first_fit(model):
        fit(model, *data(), epochs=1)

    model = of(kind, jit_compile=jit)
    first_fit(model)
    wanted, _ = by_hand(kind, along_the_line, first_fit)
    assert distance(scheduled(model), wanted) < 2e-6


@tensorflow
@pytest.mark.parametrize("name", ["Decorated", "DecoratedWithin"])
def test_what_is_frozen_stays_in_a_tf_function(name):
    model = of(globals()[name])
    fit(model, *data(), epochs=1)
    keras_fast.freeze(model)
    before = model.layers[0].get_weights()
    last = model.layers[-1].get_weights()
    fit(model, *data(), epochs=1)
    assert distance(model.layers[0].get_weights()[0], before[0]) == 0
    assert distance(model.layers[-1].get_weights()[0], last[0]) > 1e-3


@tensorflow
@pytest.mark.parametrize("executions", [1, 5])
@pytest.mark.parametrize("name", ["Twice", "EveryThird"])
def test_a_batch_is_a_batch_however_many_updates(name, executions):
    kind = globals()[name]
    recorder = Recorder()
    model = of(kind, steps_per_execution=executions)
    wanted, losses = by_hand(kind, along_the_line)
    assert distance(scheduled(model, recorder), wanted) < 2e-6
    np.testing.assert_allclose(recorder.losses, losses, rtol=1e-5)
    np.testing.assert_allclose(
        recorder.learning_rates, [line(k / 20) for k in range(20)]
    )


@tensorflow
@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("name", ["Within", "Between"])
def test_a_loss_within_a_function_is_recorded_once(name, eager):
    # In the first fit the optimizer is not built, and steps are traced twice.
    kind = globals()[name]
    recorder = Recorder()
    fit(of(kind, run_eagerly=eager), *data(), recorder)
    _, losses = by_hand(kind, lambda model: [])
    np.testing.assert_allclose(recorder.losses, losses, rtol=1e-5)


@tensorflow
def test_a_running_mean_is_taken_apart():
    model, recorder, other = of(Mean), Recorder(), Recorder(loss="other")
    fit(model, *data(), recorder, other)
    np.testing.assert_allclose(recorder.losses, other.losses / 2, rtol=1e-5)


@tensorflow
def test_the_finder_takes_a_loss_of_the_step():
    model = of(Mean)
    before = weights(model)
    found = keras_fast.lr_find(
        model, *data(), batch_size=4, num_steps=30, shuffle=False
    )
    assert distance(weights(model), before) == 0
    reference = by_hand(
        Decorated,
        lambda m: [(m.optimizer, found.learning_rates)],
    )[1]
    assert len(found.losses) >= 20
    np.testing.assert_allclose(found.losses[:20], reference, rtol=1e-4)


@tensorflow
def test_the_finder_sweeps_one_of_two_optimizers():
    model = of(Pair)
    pair(model)
    before = weights(model)
    found = keras_fast.lr_find(
        model,
        *data(),
        loss="g_loss",
        optimizer=model.second,
        batch_size=4,
        num_steps=20,
        shuffle=False,
    )
    assert distance(weights(model), before) == 0

    def rates(model):
        return [(model.second, found.learning_rates)]

    _, losses = by_hand(Pair, rates, pair)
    count = len(found.losses)
    np.testing.assert_allclose(found.losses, losses[:count], rtol=1e-4)
    # As if there had been no sweep.
    reference = of(Pair)
    pair(reference)
    for each in model, reference:
        fit(each, *data(), epochs=1)
    assert distance(weights(model), weights(reference)) == 0


def pair(model):
    model.first = keras.optimizers.SGD(0.01)
    model.second = keras.optimizers.Adam(0.01)


@tensorflow
def test_each_of_two_optimizers_has_its_schedule():
    def rates(model):
        return [(model.first, falling), (model.second, rising)]

    falling = [0.1 * (1 - k / 20) for k in range(20)]
    rising = [0.01 * k / 20 for k in range(20)]
    wanted, losses = by_hand(Pair, rates, pair)
    model = of(Pair)
    pair(model)
    recorder = Recorder(loss="g_loss", optimizer=model.second)
    fit(
        model,
        *data(),
        ParamScheduler(
            learning_rate=lambda p: 0.1 * (1 - p), optimizer=model.first
        ),
        ParamScheduler(
            learning_rate=lambda p: 0.01 * p, optimizer=model.second
        ),
        recorder,
    )
    assert distance(weights(model), wanted) < 2e-6
    np.testing.assert_allclose(recorder.losses, losses, rtol=1e-5)
    np.testing.assert_allclose(recorder.learning_rates, rising, atol=1e-9)
    assert float(model.first.learning_rate.numpy()) == np.float32(0.01)


@tensorflow
@pytest.mark.parametrize("eager", [False, True])
def test_an_optimizer_that_is_not_used_is_refused(eager):
    model = of(Pair, run_eagerly=eager)
    pair(model)
    with pytest.raises(ValueError) as caught:
        scheduled(model)
    assert str(caught.value) == (
        "The optimizer that is scheduled must update in `train_step()`. Pass "
        "`optimizer=` to schedule another that the model has, such as "
        "`optimizer=model.generator_optimizer`. If this one is used within a "
        "compiled function, make that a method of the model. Received: "
        "train_step() that does not use SGD"
    )
    fit(model, *data())


@tensorflow
def test_what_no_update_uses_is_not_recorded():
    model, recorder = of(Pair), Recorder(loss="g_loss")
    pair(model)
    history = fit(model, *data(), recorder).history
    assert len(recorder.losses) == 20
    assert np.isnan(recorder.learning_rates).all()
    assert "learning_rate" not in history
    other = Recorder(loss="g_loss", optimizer=model.second)
    fit(model, *data(), other)
    np.testing.assert_allclose(other.learning_rates, 0.01, rtol=1e-6)


@tensorflow
def test_an_optimizer_without_momentum_among_several():
    model = of(Pair, keras.optimizers.SGD(0.1))
    pair(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), OneCycle(0.1))
    assert "`optimizer=` says which one. Received:" in str(caught.value)
    with pytest.raises(ValueError, match="`optimizer` must be one that"):
        keras_fast.lr_find(model, *data(), optimizer="adam")


def test_an_optimizer_of_another_model_is_refused():
    model, optimizer = mlp(sgd()), adam()
    with pytest.raises(ValueError) as caught:
        scheduled(model, optimizer=optimizer)
    assert str(caught.value).startswith(
        "`optimizer` must be one that the model has. Compile with it, or make "
        "it an attribute of the model. Received: optimizer="
    )


@tensorflow
@pytest.mark.parametrize("eager", [False, True])
def test_a_step_without_that_loss_is_refused(eager):
    model = of(Pair, run_eagerly=eager)
    pair(model)
    with pytest.raises(ValueError) as caught:
        fit(model, *data(), Recorder())
    assert str(caught.value) == (
        "`loss` must be one of what `train_step()` returns, where that does "
        "not call `compute_loss()`. Pass the name of one, a number for each "
        "batch. Received: loss='loss', returned=['g_loss']"
    )
    reference = of(Pair, run_eagerly=eager)
    pair(reference)
    fit(reference, *data(), epochs=1)
    for variable, value in zip(
        model.variables, of(Pair).get_weights(), strict=True
    ):
        variable.assign(value)
    pair(model)
    model.compile(sgd(), "mse", run_eagerly=eager)
    fit(model, *data(), epochs=1)
    assert distance(weights(model), weights(reference)) == 0


class ReadsMomentum(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        if self.momentum:
            float(self.momentum)
        super().update_step(gradient, variable, learning_rate)


@tensorflow
def test_a_number_that_python_reads_is_refused_by_name():
    model = mlp(ReadsMomentum(0.05, momentum=0.9))
    with pytest.raises(TypeError) as caught:
        fit(model, *data(), OneCycle(0.05))
    assert str(caught.value) == (
        "`momentum` must not be made a Python number in an optimizer whose "
        "hyperparameters are scheduled: the compiled step would keep the first "
        "value. Use it as it is, in `keras.ops`, or leave it out of the "
        "schedules. Received: float(momentum)"
    )
    reference = mlp(sgd())
    for each in model, reference:
        each.compile(each.optimizer, "mse")
        fit(each, *data())
    assert distance(weights(model), weights(reference)) == 0


if BACKEND == "jax":
    import jax

    class Guide(keras.Sequential):
        """As in Keras's guide to train steps with JAX."""

        def loss_and_updates(self, trainable, rest, x, y):
            predicted, rest = self.stateless_call(
                trainable, rest, x, training=True
            )
            return self.compute_loss(x, y, predicted), (predicted, rest)

        def train_step(self, state, batch):
            trainable, rest, of_optimizer, of_metrics = state
            x, y = batch
            step = jax.value_and_grad(self.loss_and_updates, has_aux=True)
            (loss, (predicted, rest)), grads = step(trainable, rest, x, y)
            trainable, of_optimizer = self.optimizer.stateless_apply(
                of_optimizer, grads, trainable
            )
            new, logs = [], {}
            for metric in self.metrics:
                start = len(new)
                old = of_metrics[start : start + len(metric.variables)]
                given = (loss,) if metric.name == "loss" else (y, predicted)
                old = metric.stateless_update_state(old, *given)
                logs[metric.name] = metric.stateless_result(old)
                new += old
            return logs, (trainable, rest, of_optimizer, new)


@pytest.mark.skipif(BACKEND != "jax", reason="a step of JAX's form")
@pytest.mark.parametrize("metrics", [None, ["mae"]])
def test_a_step_of_jax_s_guide(metrics):
    plain, own = mlp(sgd(), metrics=metrics), of(Guide, metrics=metrics)
    recorders = Recorder(), Recorder()
    scheduled(plain, recorders[0])
    scheduled(own, recorders[1])
    assert distance(weights(plain), weights(own)) < 2e-6
    np.testing.assert_allclose(
        recorders[0].losses, recorders[1].losses, rtol=1e-5
    )
    names = [metric.name for metric in own.metrics]
    assert names == [metric.name for metric in plain.metrics]
    found = keras_fast.lr_find(own, *data(), batch_size=4, num_steps=10)
    assert len(found.losses) == 10
    fit(own, *data())


@pytest.mark.filterwarnings("ignore:The model does not have any trainable")
def test_a_model_of_which_nothing_trains():
    model, recorder = mlp(sgd()), Recorder()
    model.trainable = False
    model.compile(sgd(), "mse")
    before = weights(model)
    fit(model, *data(), OneCycle(0.1), recorder)
    assert distance(weights(model), before) == 0
    assert len(recorder.losses) == 20
