"""The recipe that `fine_tune` follows unless it is told otherwise."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, adam, data, distance, fit, mlp, state
from sklearn.linear_model import LogisticRegression

import keras_fast
from keras_fast import fine_tune, split_head
from keras_fast.callbacks import (
    OneCycle,
    ParamScheduler,
    Recorder,
    WeightAveraging,
)
from keras_fast.training import _features

JIT = BACKEND == "jax"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = (X[:, :2].sum(axis=1) > 0).astype("int64")
TEST = RNG.normal(size=(40, 6)).astype("float32")
Y_TEST = (TEST[:, :2].sum(axis=1) > 0).astype("int64")


def classifier(hidden=(), **compile_arguments):
    """A base of a layer, and a head on it."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(20, activation="tanh"),
            keras.layers.Dense(20, activation="tanh"),
            *hidden,
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        "adam",
        "sparse_categorical_crossentropy",
        **{"metrics": ["accuracy"], "jit_compile": JIT} | compile_arguments,
    )
    return model


def tune(model, x=X, y=Y, **arguments):
    settings = {"epochs": 2, "batch_size": 20, "head_epochs": 10}
    quiet = {"verbose": 0, "shuffle": False}
    return fine_tune(model, x, y, **settings | quiet | arguments)


def values(model):
    return [np.array(v.numpy()) for v in model.weights]


class Calls(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_begin(self, logs=None):
        self.seen.append(("begin", dict(self.params)))

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(epoch)

    def on_train_end(self, logs=None):
        self.seen.append("end")


CONV = keras.layers.Conv2D, keras.layers.GlobalAveragePooling2D


@pytest.mark.once
@pytest.mark.parametrize("end", ["maps", "no dense layer"])
@pytest.mark.matrix(1)
def test_what_no_linear_model_could_be_compared_with_trains_too(end):
    conv, pool = (lambda: CONV[0](2, 3)), CONV[1]
    softmax = keras.layers.Softmax()
    head = {
        "maps": [conv(), pool(), keras.layers.Dense(2), softmax],
        "no dense layer": [pool(), keras.layers.EinsumDense("ab,bc->ac", 2)],
    }[end]
    base = keras.Sequential([keras.Input((8, 8, 2)), conv(), conv()])
    model = keras.Sequential([base, *head])
    loss = "categorical_crossentropy"
    model.compile("adam", loss, jit_compile=JIT)
    x = RNG.normal(size=(8, 8, 8, 2)).astype("float32")
    y = np.eye(2)[np.arange(8) % 2]
    history = tune(model, x, y, epochs=1, validation_data=(x, y))
    assert history.linear is None
    assert history.kept.keys() == {"loss"}
    assert len(history.head.history["loss"]) > 1


def test_the_head_comes_to_a_regularized_linear_model():
    model = classifier()
    body, head = split_head(model)
    many = np.random.default_rng(1).normal(size=(500, 6)).astype("float32")
    features, there = (body.predict(x, verbose=0) for x in (X, many))
    before = [v.numpy() for v in body.weights]
    often = {"head_epochs": 60, "batch_size": 4}
    history = tune(model, base_lr=1e-12, average=0, **often)
    for variable, value in zip(body.weights, before, strict=True):
        assert distance(variable, value) <= 1e-6
    regression = LogisticRegression(C=1.0).fit(features, Y)
    found = head.predict(there, verbose=0).argmax(axis=1)
    assert np.mean(found == regression.predict(there)) >= 0.85
    # From zeros, whatever was there.
    assert history.head.history["loss"][0] <= np.log(2) + 0.05


def test_many_epochs_are_as_one_fit_of_the_head_on_its_features():
    model, same = classifier(), classifier()
    tune(model, base_lr=1e-12, average=0, head_epochs=40)
    body, head = split_head(same)
    head.layers[-1].kernel.assign(np.zeros((20, 2)))
    head.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=0.01),
        "sparse_categorical_crossentropy",
        jit_compile=JIT,
    )
    keras.utils.set_random_seed(0)
    head.fit(
        body.predict(X, verbose=0),
        Y,
        batch_size=20,
        epochs=40,
        callbacks=[OneCycle(1e-3)],
        verbose=0,
    )
    # The order of the rows is drawn anew.
    assert distance(model.layers[-1].kernel, head.layers[-1].kernel) <= 0.01


def test_ends_with_the_moving_average_of_its_weights():
    model, again = (mlp(adam(), jit_compile=JIT) for _ in range(2))
    x, y = data(6)
    arguments = {"head_epochs": 0, "batch_size": 4, "verbose": 0}
    fine_tune(model, x, y, epochs=2, shuffle=False, average=0.5, **arguments)
    seen = []

    class Weights(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append([np.array(v.numpy()) for v in self.model.weights])

    callbacks = {"shuffle": False, "callbacks": [Weights()]}
    fine_tune(again, x, y, epochs=2, average=0, **arguments, **callbacks)
    momentum = 1 - 1 / 6  # an average over one of two epochs
    averages = seen[0]
    for weights in seen[1:]:
        averages = [
            momentum * average + (1 - momentum) * weight
            for average, weight in zip(averages, weights, strict=True)
        ]
    for value, average in zip(values(model), averages, strict=True):
        assert distance(value, average) <= 2e-6
    assert not model.optimizer.use_ema
    assert model.optimizer.ema_momentum == adam().ema_momentum
    # Plain afterwards.
    for each in (model, plain := mlp(adam(), jit_compile=JIT)):
        for variable, value in zip(each.weights, averages, strict=True):
            variable.assign(value)
    names = [v.name.split("/")[-1] for v in model.optimizer.variables]
    assert not any("average" in name for name in names)
    assert len(state(model)) == len(state(plain))
    fit(model, x, y, epochs=1)


def test_the_users_own_average_is_left_alone():
    model = mlp(adam(use_ema=True, ema_momentum=0.5), jit_compile=JIT)
    fine_tune(model, *data(6), epochs=1, head_epochs=0, verbose=0)
    assert model.optimizer.use_ema
    assert model.optimizer.ema_momentum == 0.5


@pytest.mark.parametrize("average", [0, 0.4])
@pytest.mark.matrix(1)
def test_validation_is_of_the_weights_that_other_callbacks_see(average):
    losses = []

    class Loss(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            found = (
                self.model(TEST).numpy() if BACKEND == "tensorflow" else None
            )
            if found is not None:
                picked = found[np.arange(40), Y_TEST]
                losses.append((logs["val_loss"], -np.log(picked).mean()))

    history = tune(
        classifier(),
        epochs=3,
        average=average,
        base_lr=0.02,
        validation_data=(TEST, Y_TEST),
        callbacks=Loss(),
    )
    assert len(history.history["val_loss"]) == 3
    for validated, found in losses:
        assert validated == pytest.approx(found, rel=1e-4)


def test_the_lowest_validation_loss_is_kept():
    model = classifier(metrics=None)
    history = tune(
        model, epochs=3, base_lr=50.0, validation_data=(TEST, Y_TEST)
    )
    # A rate that wrecks it: what the head on features reached is the best.
    assert min(history.history["val_loss"]) > history.linear["loss"]
    seen = model.evaluate(TEST, Y_TEST, verbose=0, return_dict=True)
    assert seen == pytest.approx(history.linear, rel=1e-5)
    assert "linear model" in repr(history)


@pytest.mark.once
def test_the_highest_validation_accuracy_is_kept_and_then_the_lowest_loss():
    model = classifier()
    history = tune(model, epochs=6, base_lr=0.3, validation_data=(TEST, Y_TEST))
    losses = [history.linear["loss"], *history.history["val_loss"]]
    accuracies = [
        history.linear["accuracy"],
        *history.history["val_accuracy"],
    ]
    best = max(zip(accuracies, np.negative(losses), strict=True))
    loss, accuracy = model.evaluate(TEST, Y_TEST, verbose=0)
    assert (accuracy, -loss) == pytest.approx(best, rel=1e-5)
    kept = {"accuracy": best[0], "loss": -best[1]}
    assert history.kept == pytest.approx(kept, rel=1e-5)
    assert f"validation accuracy: {best[0]:.4g} (linear" in repr(history)


@pytest.mark.once
def test_what_a_linear_model_reaches_beside_a_head_that_is_not_linear():
    hidden = [keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(8)]
    reshape = keras.layers.Reshape((4, 5))
    model = classifier([reshape, *hidden])
    history = tune(model, epochs=1, validation_data=(TEST, Y_TEST))
    assert set(history.linear) == {"loss", "accuracy"}
    body, _ = split_head(model)
    assert body.output_shape == (None, 5)
    assert 0.5 < history.linear["accuracy"] <= 1


@pytest.mark.parametrize("frozen", [0, 1])
def test_to_its_callbacks_it_is_one_training(frozen):
    calls, recorder = Calls(), Recorder()
    averaging = WeightAveraging(start=frozen)
    history = tune(
        classifier(),
        freeze_epochs=frozen,
        callbacks=[calls, recorder, averaging],
    )
    epochs = frozen + 2
    begin = ("begin", {"verbose": 0, "epochs": epochs, "steps": 3})
    assert calls.seen == [begin, *range(epochs), "end"]
    assert averaging.num_averaged == 2
    assert len(recorder.learning_rates) == 3 * epochs
    assert history.epoch == [*range(epochs)]
    assert len(history.history["loss"]) == epochs


def test_a_schedule_of_the_users_goes_through_all_parts():
    schedule = ParamScheduler(momentum=lambda progress: 0.5 + 0.4 * progress)
    recorder = Recorder()
    tune(
        classifier(),
        freeze_epochs=1,
        head_epochs=0,
        momentums=None,
        callbacks=[schedule, recorder],
    )
    wanted = 0.5 + 0.4 * np.arange(9) / 9
    np.testing.assert_allclose(recorder.momentums, wanted, rtol=1e-6)


def test_a_callback_that_stops_in_the_frozen_part_stops_it_all():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    calls = Calls()
    model = classifier()
    history = tune(model, freeze_epochs=2, callbacks=[calls, Stop()])
    assert history.epoch == [0]
    assert calls.seen[-1] == "end"
    assert all(layer.trainable for layer in model.layers)


def test_validation_split_is_no_training_data():
    model = classifier()  # each sets the seed
    tune(model, validation_split=0.5, average=0)
    part = {"validation_data": (X[30:], Y[30:])}
    tune(same := classifier(), X[:30], Y[:30], average=0, **part)
    for a, b in zip(values(model), values(same), strict=True):
        assert distance(a, b) <= 1e-6


def test_weights_of_samples_and_classes_reach_the_head():
    kernels = []
    for arguments in (
        {"class_weight": {0: 1.0, 1: 0.0}},
        {"sample_weight": (Y == 0).astype("float32")},
        {},
    ):
        model = classifier()
        often = {"head_epochs": 30, "batch_size": 5}
        tune(model, base_lr=1e-12, average=0, **often, **arguments)
        kernels.append(model.predict(X, verbose=0)[:, 1].mean())
    assert kernels[0] == pytest.approx(kernels[1], rel=1e-4)
    assert kernels[0] < 0.85 * kernels[2]


class Augmented(keras.utils.PyDataset):
    """Other rows at each pass, or the same."""

    def __init__(self, augment):
        super().__init__()
        self.augment, self.passes = augment, 0

    def __len__(self):
        return 3

    def on_epoch_begin(self):
        self.passes += 1

    def __getitem__(self, i):
        rows = slice(20 * i, 20 * i + 20)
        return X[rows] + 0.1 * self.augment * self.passes, Y[rows]


@pytest.mark.parametrize(("augment", "views"), [(True, 3), (False, 1)])
def test_data_that_differ_from_pass_to_pass_give_views(augment, views):
    body, _ = split_head(classifier())
    given = Augmented(augment)
    found = _features.features(body, given, num_views=3)
    assert found.num_views == views
    right = [X + 0.1 * augment * (k + 1) for k in range(views)]
    right = body.predict(np.concatenate(right), verbose=0)
    np.testing.assert_allclose(found.x, right, atol=1e-5)
    np.testing.assert_array_equal(found.y, np.tile(Y, views))
    assert found.batch_size == 20


def batches():
    while True:
        for i in range(0, 60, 20):
            yield X[i : i + 20], Y[i : i + 20]


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed")
@pytest.mark.parametrize(
    "why", ["generator", "memory", "train_step", "compute_loss", "no base"]
)
@pytest.mark.matrix(3)
def test_where_features_cannot_be_computed_it_says_so(why, monkeypatch):
    model, x, y, more = classifier(), X, Y, {}
    reason = "`x` can be read only once"
    if why == "generator":
        x, y, more = batches(), None, {"steps_per_epoch": 3}
        more |= {"batch_size": None}
    elif why == "memory":
        monkeypatch.setattr(_features, "MOST_BYTES", 1000)
        reason = "features of `x` of over 0 MiB"
    elif why == "no base":
        model = keras.Sequential(
            [keras.Input((6,)), keras.layers.Dense(2, activation="softmax")]
        )
        model.compile("adam", "sparse_categorical_crossentropy")
        reason = "can be cut in two"
    else:
        plain = getattr(keras.Sequential, why)
        kind = type("Own", (keras.Sequential,), {})
        setattr(kind, why, lambda *args, **kwargs: plain(*args, **kwargs))
        model = kind([keras.Input((6,)), *model.layers])
        model.compile("adam", "sparse_categorical_crossentropy")
        reason = f"`{why}` of its own"
    with pytest.warns(UserWarning, match=f"for 1 epochs.*Received: .*{reason}"):
        history = tune(model, x, y, **more)
    assert history.epoch == [0, 1, 2]
    assert history.head is None


@pytest.mark.once
def test_odd_labels():
    # A class that occurs once, one that does not, numbers that leave gaps.
    labels = np.where(np.arange(60) == 7, 2, Y) * 2
    model = keras.Sequential(
        [
            keras.Input((6,)),
            *classifier().layers[:-1],
            keras.layers.Dense(6, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=JIT)
    history = tune(model, X, labels)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.once
def test_several_inputs_and_one_that_ends_in_logits():
    a, b = keras.Input((3,)), keras.Input((3,))
    x = keras.layers.Concatenate()([a, b])
    x = keras.layers.Dense(8, activation="tanh")(x)
    x = keras.layers.Dense(8, activation="tanh")(x)
    model = keras.Model([a, b], keras.layers.Dense(2)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=JIT)
    history = tune(
        model,
        [X[:, :3], X[:, 3:]],
        validation_data=([TEST[:, :3], TEST[:, 3:]], Y_TEST),
    )
    assert history.linear["loss"] < np.log(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head_epochs": -1}, "Received: head_epochs=-1"),
        ({"num_views": 0}, "Received: num_views=0"),
        ({"average": -0.1}, "Received: average=-0.1"),
        ({"average": 5}, "Received: average=5"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        tune(classifier(), **arguments)


@pytest.mark.parametrize(
    ("optimizer", "arguments", "message"),
    [
        (keras.optimizers.SGD(0.1), {}, "`momentums=None` to leave it alone"),
        (adam(), {"momentums": (0.9, 0.8)}, "`momentums` must be three"),
    ],
)
def test_what_the_schedule_would_refuse_is_refused_before_the_head_trains(
    optimizer, arguments, message
):
    model = mlp(optimizer)
    before = values(model)
    with pytest.raises(ValueError, match=message):
        tune(model, *data(6), **arguments)
    for value, old in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.once
def test_the_result_is_public():
    assert isinstance(tune(classifier()), keras_fast.FineTuneHistory)


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("average", [0, 0.3])
@pytest.mark.matrix(1)
def test_afterwards_it_is_exported_and_tracked(average, tmp_path):
    import tensorflow as tf

    model = classifier([keras.layers.BatchNormalization()])
    tune(model, average=average)
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    right = model.predict(X, verbose=0)
    np.testing.assert_allclose(served.serve(X), right, atol=1e-5)
    tf.train.Checkpoint(model=model).save(tmp_path / "checkpoint")


@pytest.mark.parametrize("validation", [None, (TEST, Y_TEST)])
@pytest.mark.matrix(1)
def test_the_users_average_is_what_the_model_ends_with(validation):
    optimizer = keras.optimizers.Adam(use_ema=True, ema_momentum=0.9)
    model = mlp(optimizer)
    x, y = data(6)
    valid = validation and data(2)
    fine_tune(
        model, x, y, epochs=2, base_lr=1e-4, verbose=0, validation_data=valid
    )
    averages = optimizer._model_variables_moving_average
    pairs = zip(model.trainable_variables, averages, strict=True)
    assert max(distance(a, b) for a, b in pairs) <= 1e-7


def test_several_outputs_train_as_before():
    inputs = keras.Input((6,))
    x = keras.layers.Dense(8, activation="tanh")(inputs)
    x = keras.layers.Dense(8, activation="tanh")(x)
    ends = {
        "a": keras.layers.Dense(2, activation="softmax", name="a")(x),
        "b": keras.layers.Dense(1, name="b")(x),
    }
    model = keras.Model(inputs, ends)
    loss = {"a": "sparse_categorical_crossentropy", "b": "mse"}
    model.compile("adam", loss, jit_compile=JIT)
    with pytest.warns(UserWarning, match="several outputs"):
        history = tune(model, X, {"a": Y, "b": Y.astype("float32")})
    assert history.epoch == [0, 1, 2]


@pytest.mark.once
def test_targets_of_a_regression_may_be_of_any_size():
    targets = (100 + 20 * X[:, :1]).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(20, activation="tanh"),
            keras.layers.Dense(20, activation="tanh"),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", jit_compile=JIT)
    test = (100 + 20 * TEST[:, :1]).astype("float32")
    valid = (TEST, test)
    often = {"head_epochs": 50, "batch_size": 5}
    history = tune(model, X, targets, validation_data=valid, **often)
    assert history.linear["loss"] < 0.7 * test.var()


def test_what_is_no_argument_changes_nothing():
    model = classifier()
    before = values(model)
    with pytest.raises(TypeError, match=r"Received: lr=0\.001"):
        tune(model, lr=1e-3)
    for value, old in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_a_subclassed_model_is_told_another_way():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2, activation="softmax")

        def call(self, x):
            return self.dense(x)

    model = Own()
    model.compile("adam", "sparse_categorical_crossentropy")
    model(X[:1])
    with pytest.raises(ValueError, match=r"`freeze_to\(model, -1, groups\)`"):
        tune(model)


@pytest.mark.parametrize("how", ["endless", "unknown", "generator"])
def test_data_must_have_a_length(how):
    x = iter([(X, Y)])
    if how != "generator":
        tf = pytest.importorskip("tensorflow")
        x = tf.data.Dataset.from_tensor_slices((X, Y)).batch(20)
        x = x.repeat() if how == "endless" else x.filter(lambda x, y: True)
    model = classifier()
    before = values(model)
    with pytest.raises(ValueError) as caught:
        tune(model, x, None, batch_size=None)
    assert str(caught.value).startswith(
        "The length of an epoch must be known for `fine_tune`. Give a "
    )
    for value, old in zip(values(model), before, strict=True):
        np.testing.assert_array_equal(value, old)
