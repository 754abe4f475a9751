"""What `predict_tta` refuses, and that nothing is lost on the way."""

import keras
import numpy as np
import pytest

from keras_fast import predict_tta
from keras_fast.data import AugTransforms
from keras_fast.inference import corners_and_flips, dihedral, flips

X = np.ones((4, 6, 8, 1), "float32")


def model(activation=None):
    layers = [keras.layers.Conv2D(1, 3, activation=activation)]
    return keras.Sequential([keras.Input((None, None, 1)), *layers], name="m")


FAULTS = {
    "num_augmented": (
        {"num_augmented": 0},
        "`num_augmented` must be a whole number of at least 1. Pass an int of "
        "1 or more. Received: num_augmented=0",
    ),
    "beta": (
        {"beta": 1.5},
        "`beta` must be a number from 0 to 1. Pass one from 0 to 1. "
        "Received: beta=1.5",
    ),
    "reduce": (
        {"reduce": "median"},
        "`reduce` must be one of 'mean', 'gmean', 'max'. Check its spelling. "
        "Received: reduce='median'",
    ),
    "batch_size": (
        {"batch_size": 0},
        "`batch_size` must be a whole number of at least 1. Pass an int of 1 "
        "or more. Received: batch_size=0",
    ),
    "no view": (
        {"augment": []},
        "`augment` must have at least one view. Pass "
        "`keras_fast.inference.flips()`, for one. Received: augment=[]",
    ),
    "not built": (
        {"model": keras.Sequential([keras.layers.Dense(1)], name="open")},
        "`model` must be built. Train it, or load its weights, first. "
        "Received: model=open (not built)",
    ),
    "no data": (
        {"x": X[:0]},
        "`x` must have at least one batch. Check the length of the data. "
        "Received: x=ndarray of no batch",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_arguments(fault):
    arguments, message = FAULTS[fault]
    arguments = {"model": model(), "x": X, "augment": flips(), **arguments}
    with pytest.raises(ValueError) as error:
        predict_tta(**arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"augment": dihedral()}, "`augment` must keep the shape"),
        ({"augment": corners_and_flips()}, "`augment` must show whole imag"),
        ({"reduce": "gmean"}, "`reduce` must be 'mean' or 'max'"),
        ({"x": X[:0]}, "`x` must have at least one batch"),
    ],
)
def test_weights_survive(arguments, message):
    made = model()
    made.set_weights([-np.ones_like(w) for w in made.get_weights()])
    with pytest.raises(ValueError, match=message):
        predict_tta(**{"model": made, "x": X, "augment": flips(), **arguments})
    for weight in made.get_weights():
        np.testing.assert_array_equal(weight, -np.ones_like(weight))


@pytest.mark.parametrize("views", [flips(), corners_and_flips()])
def test_points_would_not_be_turned_back(views):
    inputs = keras.Input((8, 8, 1))
    points = keras.layers.Dense(4)(keras.layers.Flatten()(inputs))
    finder = keras.Model(inputs, keras.layers.Reshape((2, 2))(points))
    x = np.ones((2, 8, 8, 1), "float32")
    with pytest.raises(ValueError, match="they can't be turned back"):
        predict_tta(finder, x, views)
    # What its message says for outputs that are no points.
    functions = [lambda x, view=view: view(x) for view in views]
    np.testing.assert_allclose(
        predict_tta(finder, x, functions, beta=1),
        finder.predict(x, verbose=0),
        rtol=1e-5,
    )


@pytest.mark.parametrize("last", ["points", "masks"])
def test_augmentation_must_not_move_what_outputs_are_of(last):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Conv2D(2, 1)(inputs)
    if last == "points":
        outputs = keras.layers.Reshape((64, 2))(outputs)
    finder = keras.Model(inputs, outputs)
    x = np.full((2, 8, 8, 1), 99, "float32")
    with pytest.raises(ValueError, match="`augment` must not move pixels"):
        predict_tta(finder, x, AugTransforms(max_lighting=0))
    still = {"flip": None, "max_rotate": 0, "max_zoom": 1, "max_warp": 0}
    light = AugTransforms(**still, max_lighting=0.2, seed=0)
    found = predict_tta(finder, x, light, seed=0)
    assert found.shape == (2, *finder.output_shape[1:])


@pytest.mark.tensorflow_only
def test_data_without_end_is_refused():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensors(X).repeat()
    with pytest.raises(ValueError, match="`x` must end"):
        predict_tta(model(), data, flips())
