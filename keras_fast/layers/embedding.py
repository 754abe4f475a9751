"""An embedding whose gradient is dense."""

from typing import Any

import keras
from keras import ops

from keras_fast._checks import share


@keras.saving.register_keras_serializable("keras_fast")
class Embedding(keras.layers.Embedding):
    """`keras.layers.Embedding` with a gradient that Adam handles exactly.

    Use it wherever an index may occur twice in a batch, as words and
    categories do. On TensorFlow the gradient of Keras's own layer is a list of
    rows, in which such an index has several. Optimizers that square it, such
    as Adam, AdamW and RMSprop, and clipping by norm square these one by one,
    not their sum. An index that occurs three times in a batch gets a third of
    its velocity, and its first step is 1.73 times as long as on JAX or
    PyTorch. SGD, and any optimizer with `gradient_accumulation_steps`, is
    exact with both layers.

    Here the gradient is a table like the weights, on every backend. Up to
    10,000 rows a training step is as fast as with Keras's layer; for more see
    [the benchmark](../benchmarks.md#what-does-a-dense-gradient-cost).
    Arguments, weights, masks, LoRA and quantization are Keras's.

    Two additions are for language models. `dropout` drops whole words, as
    fastai's `EmbeddingDropout` does: in training, each call drops some rows
    wherever they occur in the batch, and scales the others. And
    `embedding(x, reverse=True)` multiplies by the transposed table, without
    dropout: a decoder whose weights are tied to the embedding's.
    `keras.layers.ReversibleEmbedding` calls this `reverse` too. Add a `Bias`
    layer for the decoder's bias.

    Args:
        input_dim: Number of rows, the largest index plus 1.
        output_dim: Length of a row.
        *args: As `keras.layers.Embedding`.
        **kwargs: As `keras.layers.Embedding`: `mask_zero`, `weights`,
            `embeddings_regularizer` and so on.
        dropout: Share of the rows to drop in training, below 1.
        seed: Seed of the dropout.

    Call arguments:
        inputs: Integers of any shape; with `reverse`, a tensor
            (..., output_dim).
        reverse: Whether to multiply by the transposed table.
        training: Whether to drop rows.

    Output shape:
        The shape of the input, and `output_dim`; with `reverse`,
        (..., input_dim).

    Raises:
        ValueError: As `keras.layers.Embedding`; `dropout` is not from 0 to
            below 1; `reverse` is used with `mask_zero`.

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

        A language model that predicts words with the table that embeds them:

        >>> embedding = keras_fast.layers.Embedding(1000, 16, dropout=0.02)
        >>> ids = keras.Input((None,), dtype="int32")
        >>> x = keras.layers.LSTM(16, return_sequences=True)(embedding(ids))
        >>> x = keras_fast.layers.Bias()(embedding(x, reverse=True))
        >>> language_model = keras.Model(ids, x)
        >>> language_model.output_shape
        (None, None, 1000)

    Reference:

    - [Gal and Ghahramani, 2015](https://arxiv.org/abs/1512.05287) (dropout)
    - [Press and Wolf, 2016](https://arxiv.org/abs/1608.05859) (`reverse`)
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        *args: Any,
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self.dropout = share("dropout", dropout, 0.05)
        self.seed = seed
        super().__init__(input_dim, output_dim, *args, **kwargs)

    def build(self, input_shape: Any = None) -> None:
        # Keras's constructor builds the layer if it is given `weights`.
        # Without dropout the layer has the variables of Keras's.
        if self.dropout > 0 and not self.built:
            self.seed_generator = keras.random.SeedGenerator(self.seed)
        super().build(input_shape)

    def call(
        self, inputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        # The same shape, but its gradient on TensorFlow is dense.
        table = ops.reshape(self.embeddings, (self.input_dim, self.output_dim))
        if reverse:
            return self._scores(inputs, table)
        if keras.backend.standardize_dtype(inputs.dtype) not in (
            "int32",
            "int64",
        ):
            inputs = ops.cast(inputs, "int32")
        rows: Any = ops.take(table, inputs, axis=0)
        if training and self.dropout > 0:
            # One factor per word, gathered by id, needs no copy of the table.
            factors = keras.random.dropout(
                ops.ones((self.input_dim, 1), "float32"),
                self.dropout,
                seed=self.seed_generator,
            )
            factors = ops.cast(factors, rows.dtype)
            rows = rows * ops.take(factors, inputs, axis=0)
        return ops.cast(rows, self.compute_dtype)

    def _scores(self, inputs: Any, table: Any) -> Any:
        if self.mask_zero:
            raise ValueError(
                "`reverse` needs an embedding without masks. Leave `mask_zero` "
                "out, and mask where outputs are pooled. "
                "Received: mask_zero=True"
            )
        inputs, table = (
            ops.cast(each, self.compute_dtype) for each in (inputs, table)
        )
        return ops.matmul(inputs, ops.transpose(table))

    def compute_output_shape(
        self, input_shape: Any, reverse: bool = False
    ) -> Any:
        if reverse:
            return (*input_shape[:-1], self.input_dim)
        return super().compute_output_shape(input_shape)

    def compute_output_spec(
        self, inputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        if reverse:
            shape = self.compute_output_shape(inputs.shape, reverse)
            return keras.KerasTensor(shape, dtype=self.compute_dtype)
        return super().compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dropout": self.dropout,
            "seed": self.seed,
        }

    def quantized_call(
        self, inputs: Any, reverse: bool = False, training: bool | None = None
    ) -> Any:
        if reverse:
            every = ops.arange(self.input_dim)
            return self._scores(inputs, super().quantized_call(every))
        return super().quantized_call(inputs)

    def quantize(
        self, mode: Any = None, type_check: bool = True, config: Any = None
    ) -> None:
        # Keras refuses subclasses. Ours differs from it only in training.
        other = type_check and type(self) is not Embedding
        super().quantize(mode, type_check=other, config=config)
