import keras
import numpy as np
import pytest

from keras_fast._keras.gradients import gradients


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_it_is_the_derivative(dtype):
    x = keras.ops.convert_to_tensor([[1.0, -2.0], [0.5, 3.0]], dtype)
    value, slopes = gradients(lambda x: keras.ops.sum(x * x * x), x)
    assert float(value) == 1 - 8 + 0.125 + 27
    assert keras.backend.standardize_dtype(slopes.dtype) == dtype
    slopes = keras.ops.convert_to_numpy(keras.ops.cast(slopes, "float32"))
    np.testing.assert_array_equal(slopes, [[3.0, 12.0], [0.75, 27.0]])
