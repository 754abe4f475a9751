"""An embedding whose gradient is dense."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_fast")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding`, and what Adam makes of it is exact.

    Use it wherever an index may occur twice in a batch, as words and
    categories do. On TensorFlow the gradient of Keras's own layer is a list of
    rows, in which such an index has several. Optimizers that square it, such
    as Adam, AdamW and RMSprop, and clipping by norm square these one by one,
    not their sum. An index that comes three times in a batch gets a third of
    its velocity, and its first step is 1.73 times as long as on JAX or
    PyTorch. SGD, and any optimizer with `gradient_accumulation_steps`, is
    exact with both layers.

    Here the gradient is a table like the weights, on every backend. Up to
    10,000 rows a training step takes as long as Keras's; for more see
    [the benchmark](../benchmarks.md#what-does-a-dense-gradient-cost).
    Arguments, weights, masks, LoRA and quantization are Keras's.

    Args:
        input_dim: Number of rows, the largest index plus 1.
        output_dim: Length of a row.
        *args: As `keras.layers.Embedding`.
        **kwargs: As `keras.layers.Embedding`: `mask_zero`, `weights`,
            `embeddings_regularizer` and so on.

    Input shape:
        Integers of any shape.

    Output shape:
        That of the input, and `output_dim`.

    Raises:
        ValueError: As `keras.layers.Embedding`.

    Examples:
        >>> words = keras.Sequential(
        ...     [
        ...         keras.Input((None,), dtype="int32"),
        ...         keras_fast.layers.Embedding(1000, 16, mask_zero=True),
        ...         keras.layers.GlobalAveragePooling1D(),
        ...         keras.layers.Dense(1),
        ...     ]
        ... )
        >>> words.compile("adam", "mse")
    """

    def __init__(
        self, input_dim: int, output_dim: int, *args: Any, **kwargs: Any
    ):
        super().__init__(input_dim, output_dim, *args, **kwargs)

    def call(self, inputs: Any) -> Any:
        if keras.backend.standardize_dtype(inputs.dtype) not in (
            "int32",
            "int64",
        ):
            inputs = ops.cast(inputs, "int32")
        # The same shape, but TensorFlow's gradient of it is dense.
        table = ops.reshape(self.embeddings, (self.input_dim, self.output_dim))
        rows = ops.take(table, inputs, axis=0)
        return ops.cast(rows, self.compute_dtype)

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: Any = None
    ) -> None:
        # Keras refuses subclasses. This one is not its layer in training alone.
        other = type_check and type(self) is not Embedding
        super().quantize(mode, type_check=other, config=config)
