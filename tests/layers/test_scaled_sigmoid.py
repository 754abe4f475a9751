import keras
import numpy as np
import pytest

from keras_fast.layers import ScaledSigmoid


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_equals_numpy():
    x = np.random.default_rng(0).normal(size=(7, 3)).astype("float32") * 4
    expected = -2 + 7.5 / (1 + np.exp(-x.astype("float64")))
    np.testing.assert_allclose(
        numbers(ScaledSigmoid(-2, 5.5)(x)), expected, rtol=1e-5, atol=1e-5
    )


def test_no_number_leaves_the_range():
    x = np.array([-np.inf, -1e30, 1e30, np.inf], "float32")
    assert numbers(ScaledSigmoid(1, 5)(x)).tolist() == [1, 1, 5, 5]


def test_is_saved_and_loaded(tmp_path):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1), ScaledSigmoid(0, 5.5)]
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert (again.layers[-1].low, again.layers[-1].high) == (0.0, 5.5)
    x = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(numbers(again(x)), numbers(model(x)))


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (
            1,
            1.0,
            "`high` must be above `low`. Pass the lower end first. "
            "Received: low=1, high=1.0",
        ),
        (
            0,
            float("inf"),
            "`high` must be a finite number. Pass neither NaN nor inf. "
            "Received: high=inf",
        ),
    ],
)
def test_bad_arguments(low, high, message):
    with pytest.raises(ValueError) as error:
        ScaledSigmoid(low, high)
    assert str(error.value) == message
