"""Is slow work quiet unless asked, and does it count to its end?"""

import keras
import pytest
from helpers import EXECUTIONS, data, mlp, sgd

import keras_fast
from keras_fast import inference
from keras_fast._keras.progress import counted

X, Y = data(5)


def classifier():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="body"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(sgd(), "sparse_categorical_crossentropy")
    return model


def lr_find(model, verbose, tmp_path):
    arguments = {"batch_size": 4, "num_steps": 12, "verbose": verbose}
    keras_fast.lr_find(model, X, Y > 0, end_lr=1e-3, **arguments)
    return [12]


def fine_tune(model, verbose, tmp_path):
    arguments = {"epochs": 1, "head_epochs": 20, "batch_size": 4}
    keras_fast.fine_tune(model, X, Y > 0, verbose=verbose, **arguments)
    return [5, 100, 5]  # features, the head on them, everything


def predict_tta(model, verbose, tmp_path):
    views = [keras.ops.negative]
    keras_fast.predict_tta(model, X, views, batch_size=4, verbose=verbose)
    return [5]


def predict_tta_of_batches(model, verbose, tmp_path):
    import tensorflow as tf

    x = tf.data.Dataset.from_tensor_slices(X).batch(4)
    views = [keras.ops.negative]
    keras_fast.predict_tta(model, x, views, verbose=verbose)
    return [5]


def top_losses(model, verbose, tmp_path):
    inference.top_losses(model, X, Y > 0, batch_size=4, verbose=verbose)
    return [5]


def confusion_matrix(model, verbose, tmp_path):
    arguments = {"batch_size": 4, "steps": 3, "verbose": verbose}
    inference.confusion_matrix(model, X, Y > 0, **arguments)
    return [3]


def cache_features(model, verbose, tmp_path):
    body, _ = keras_fast.split_head(model)
    body.trainable = False
    keras_fast.cache_features(
        body,
        X,
        directory=tmp_path / str(verbose),
        num_views=2,
        batch_size=4,
        key="a",
        verbose=verbose,
    )
    return [5, 5]


@pytest.mark.parametrize(
    "function",
    [
        lr_find,
        fine_tune,
        predict_tta,
        predict_tta_of_batches,
        top_losses,
        confusion_matrix,
        cache_features,
    ],
)
@pytest.mark.matrix(3)
def test_it_counts_to_its_end(function, tmp_path, capsys):
    model = classifier()
    function(model, 0, tmp_path)
    assert capsys.readouterr().out == ""
    counts = function(model, 2, tmp_path)
    bars = [x for x in capsys.readouterr().out.splitlines() if "/step" in x]
    assert [bar.split(" ")[0] for bar in bars] == [f"{n}/{n}" for n in counts]


@pytest.mark.parametrize("executions", EXECUTIONS)
def test_one_bar_over_a_sweep_that_ends_early(executions, capsys):
    model = mlp(sgd(), steps_per_execution=executions)
    found = keras_fast.lr_find(
        model, X, Y, batch_size=4, start_lr=1e-2, end_lr=1e4, verbose=1
    )
    assert found.stop_reason == "diverged"
    shown = capsys.readouterr().out
    assert "Epoch" not in shown
    assert shown.count("\n") == 1
    assert "/100" in shown
    assert "100/100" not in shown


def test_number_that_is_not_known(capsys):
    assert list(counted("abc", None, "auto")) == ["a", "b", "c"]
    shown = capsys.readouterr().out

    assert "3/Unknown" in shown
    assert list(counted("", None, 1)) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("verbose", [3, -1, "yes", None])
def test_verbose_is_checked(verbose):
    with pytest.raises(ValueError) as caught:
        keras_fast.lr_find(mlp(sgd()), X, Y, verbose=verbose)
    assert str(caught.value) == (
        "`verbose` must be 'auto', 0, 1 or 2. Pass 0 for no progress bar, or 1 "
        f"for one. Received: verbose={verbose!r}"
    )
