"""Going through data as `predict()` does, without its pipeline."""

import keras
import numpy as np
import pytest

from keras_fast.inference._outputs import outputs

RNG = np.random.default_rng(0)


class Traced(keras.layers.Layer):
    """Knows the sizes of the batches that it was traced with."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def call(self, x):
        self.sizes.append(x.shape[0])
        return 2.0 * x


def model():
    inputs = {
        "a": keras.Input((3,), name="a"),
        "b": keras.Input((2,), name="b"),
    }
    traced = Traced()
    joined = keras.layers.Concatenate()([traced(inputs["a"]), inputs["b"]])
    built = keras.Model(
        inputs, {"sum": joined, "b": keras.ops.negative(inputs["b"])}
    )
    traced.sizes.clear()
    return built, traced


def data(rows):
    shapes = {"a": (rows, 3), "b": (rows, 2)}
    return {k: RNG.normal(size=s).astype("float32") for k, s in shapes.items()}


@pytest.mark.parametrize("batch_size", [None, 1, 7])
@pytest.mark.parametrize("rows", [1, 7, 8, 32, 33, 65])
def test_arrays_of_any_length(rows, batch_size):
    x = data(rows)
    found = outputs(model()[0], x, batch_size)
    joined = np.concatenate([2 * x["a"], x["b"]], axis=1)
    np.testing.assert_array_equal(found["sum"], joined)
    np.testing.assert_array_equal(found["b"], -x["b"])


def test_batches_are_of_one_size():
    built, traced = model()
    outputs(built, data(65), 32)  # 22 + 22 + 21
    assert {*traced.sizes} == {22}


def test_doubles_are_what_predict_makes_of_them():
    x = {name: array.astype("float64") for name, array in data(5).items()}
    built, _ = model()
    found, expected = outputs(built, x, None), built.predict(x, verbose=0)
    assert found["sum"].dtype == expected["sum"].dtype
    np.testing.assert_array_equal(found["sum"], expected["sum"])


@pytest.mark.parametrize("kind", ["array", "generator"])
def test_no_batch(kind):
    x = data(0) if kind == "array" else (data(1) for _ in range(0))
    with pytest.raises(ValueError, match="one batch"):
        outputs(model()[0], x, None)
