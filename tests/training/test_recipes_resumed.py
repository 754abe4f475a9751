"""Does a recipe of several fits go on from where it was interrupted?"""

import importlib

import keras
import numpy as np
import pytest
from helpers import BACKEND, state

from keras_fast import fine_tune, progressive_resizing
from keras_fast.callbacks import (
    ResumableCheckpoint,
    WeightAveraging,
)

recipe = importlib.import_module("keras_fast.training.fine_tune")
JIT = BACKEND == "jax"
RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 6)).astype("float32")
Y = (X[:, :2].sum(axis=1) > 0).astype("int64")
TRAIN, VALID = (X[:60], Y[:60]), (X[60:], Y[60:])


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """Ends a training without its knowledge."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise Killed


def classifier(optimizer):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(10, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(
        optimizer(),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=JIT,
    )
    return model


# Three batches an epoch. Killed: in the frozen epoch; in the first epoch of
# the second part, before a save; in its last, after one.
WITH_AVERAGES = {
    "base_lr": 2.0,  # so high that the last epoch is not the best
    "freeze_epochs": 1,
    "epochs": 2,
    "average": 0.5,
    "validation_data": VALID,
    "head_epochs": 1,
}
# In the second of two frozen epochs, and in the second part.
PLAIN = {
    "base_lr": 0.05,
    "freeze_epochs": 2,
    "epochs": 1,
    "average": 0,
    "head_epochs": 0,
    "train_batchnorm": True,
    "lr_mult": 4,
}


def adam():
    return keras.optimizers.Adam(0.01)


def with_its_own_average():
    return keras.optimizers.SGD(
        0.1,
        momentum=0.9,
        use_ema=True,
        ema_momentum=0.8,
        gradient_accumulation_steps=2,
    )


def averaging():
    return WeightAveraging(1, x=X, batch_size=20)


@pytest.mark.parametrize(
    ("arguments", "optimizer", "others", "deaths"),
    [
        (WITH_AVERAGES, adam, [], [3, 2, 6]),
        (PLAIN, with_its_own_average, [averaging], [5, 3]),
    ],
)
@pytest.mark.matrix(1)
def test_fine_tune_goes_on_bit_for_bit(
    arguments, optimizer, others, deaths, tmp_path
):
    def go(*callbacks):
        model = classifier(optimizer)
        history = fine_tune(
            model,
            *TRAIN,
            batch_size=20,
            callbacks=[*(make() for make in others), *callbacks],
            verbose=0,
            **arguments,
        )
        return state(model), history

    wanted, whole = go()
    if "validation_data" in arguments:
        assert whole.kept["loss"] != whole.history["val_loss"][-1]
    for death in deaths:
        with pytest.raises(Killed):
            go(ResumableCheckpoint(tmp_path / "save", save_freq=2), Kill(death))
    got, rest = go(ResumableCheckpoint(tmp_path / "save"))
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert 0 < len(rest.epoch) < len(whole.epoch) == 3
    for name, values in rest.history.items():
        assert values == whole.history[name][-len(values) :]
    assert (rest.kept, rest.linear) == (whole.kept, whole.linear)
    assert not (tmp_path / "save").exists()


def test_killed_while_the_head_trains(tmp_path, monkeypatch):
    def go(**arguments):
        keras.utils.set_random_seed(0)
        model = classifier(adam)
        checkpoint = ResumableCheckpoint(tmp_path / "save")
        callbacks = {"callbacks": [checkpoint], "verbose": 0}
        fine_tune(
            model, *TRAIN, epochs=1, head_epochs=1, average=0, **callbacks
        )
        return state(model)

    wanted = go()
    plain = recipe.train_head

    def killed(*args):
        plain(*args)
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(recipe, "train_head", killed)
        go()
    for one, other in zip(go(), wanted, strict=True):
        np.testing.assert_array_equal(one, other)


def network():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, jit_compile=JIT)
    return model


IMAGES = RNG.normal(size=(12, 8, 8, 3)).astype("float32")
LABELS = np.arange(12) % 2


def grow(*callbacks, asked=None, **arguments):
    def resized(size):
        if asked is not None:
            asked.append(size)
        return IMAGES[:, :size, :size], LABELS

    model = network()
    history = progressive_resizing(
        model,
        resized,
        **{"sizes": (4, 6, 8), "max_lr": (0.1, 0.05, 0.02)} | arguments,
        epochs=(1, 2, 1),
        batch_size=4,
        callbacks=[*callbacks],
        verbose=0,
    )
    return state(model), history


# Where the second size begins, and within its last epoch.
def test_progressive_resizing_goes_on_bit_for_bit(tmp_path):
    wanted, whole = grow()
    for death in (4, 6):
        with pytest.raises(Killed):
            grow(
                ResumableCheckpoint(tmp_path / "save", save_freq=2), Kill(death)
            )
    asked = []
    got, rest = grow(ResumableCheckpoint(tmp_path / "save"), asked=asked)
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    assert asked == [6, 8]
    assert rest.epoch == [2, 3]
    for name, values in rest.history.items():
        assert values == whole.history[name][2:]


def test_a_rate_that_is_found_anew_is_refused(tmp_path):
    with pytest.raises(ValueError) as caught:
        grow(ResumableCheckpoint(tmp_path / "save"), max_lr=None)
    assert str(caught.value) == (
        "`max_lr` must be given with a ResumableCheckpoint: after an "
        "interruption `lr_find` would find another rate. Pass one, or one for "
        "each size. Received: max_lr=None"
    )


def tune(*callbacks, **arguments):
    callbacks = keras.callbacks.CallbackList([*callbacks])
    fine_tune(classifier(adam), *TRAIN, epochs=1, callbacks=callbacks)


@pytest.mark.parametrize("train", [grow, tune])
def test_callbacks_that_do_not_fit_several_fits_are_refused(train, tmp_path):
    with pytest.raises(ValueError) as caught:
        train(keras.callbacks.BackupAndRestore(tmp_path))
    assert str(caught.value) == (
        "`callbacks` must not have a BackupAndRestore: it resumes one "
        "`fit()`, and this training has several. Use "
        "`keras_fast.callbacks.ResumableCheckpoint`. Received: callbacks with "
        "BackupAndRestore"
    )
    plateau = keras.callbacks.ReduceLROnPlateau()
    with pytest.raises(ValueError, match="must be set by one callback"):
        train(plateau)


ENDS = {"epochs": 1, "head_epochs": 0, "average": 0, "verbose": 0}


@pytest.mark.parametrize(
    ("callback", "arguments"),
    [
        (WeightAveraging(0), {"validation_data": VALID}),
        (
            keras.callbacks.EarlyStopping(restore_best_weights=True),
            {"validation_split": 0.2},
        ),
        (keras.callbacks.SwapEMAWeights(swap_on_epoch=True), {}),
    ],
)
def test_another_who_decides_what_fine_tune_ends_with(callback, arguments):
    model = classifier(adam)
    before = state(model)
    with pytest.raises(ValueError) as caught:
        fine_tune(model, *TRAIN, callbacks=callback, **ENDS, **arguments)
    assert str(caught.value) == (
        "`callbacks` must leave it to `fine_tune` which weights the model ends "
        "with: averages, and the best ones if there are validation data. Leave "
        "it out, or pass `restore_best_weights=False`. Received: callbacks "
        f"with {type(callback).__name__}"
    )
    for one, other in zip(state(model), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_who_only_stops_is_let_be():
    stopping = keras.callbacks.EarlyStopping()
    model = classifier(adam)
    fine_tune(model, *TRAIN, callbacks=stopping, **ENDS, validation_data=VALID)
