"""An LSTM that drops recurrent weights, not states."""

from typing import Any

import keras

from keras_fast._checks import share


@keras.saving.register_keras_serializable("keras_fast")
class WeightDropLSTM(keras.layers.LSTM):
    """`keras.layers.LSTM` with dropout on its recurrent weights.

    The recurrent layer of AWD-LSTM, the network of fast.ai's language models.
    In training, each call drops entries of the recurrent kernel once, for all
    timesteps and all sequences of the batch, and scales the others by
    `1 / (1 - weight_dropout)`. The layer remains eligible for cuDNN, unlike
    an LSTM with `recurrent_dropout`, which drops states. See
    [the benchmark](../benchmarks.md#what-does-weight-drop-cost).

    Arguments, weights and states are those of `keras.layers.LSTM`. Copy
    weights from an LSTM with `set_weights(lstm.get_weights())`; their
    `.weights.h5` files are not interchangeable.

    On JAX and PyTorch, Keras does not use cuDNN with a mask. Pad texts on the
    right, pass no mask, and mask the outputs instead, as `ConcatPooling` does.

    Args:
        units: Length of the output and of each state.
        weight_dropout: Share of the recurrent weights to drop, below 1. With
            0 the layer is an LSTM.
        seed: Seed of all dropout in this layer.
        **lstm_arguments: As `keras.layers.LSTM`: `return_sequences`,
            `go_backwards`, `dropout`, `name` and so on.

    Call arguments:
        sequences: Tensor (batch, timesteps, features).
        initial_state: As `keras.layers.LSTM`.
        mask: As `keras.layers.LSTM`.
        training: Whether to drop weights.

    Raises:
        ValueError: `weight_dropout` is not from 0 to below 1, or an argument
            of `keras.layers.LSTM` is invalid.
        TypeError: `weight_dropout` is not a number.

    Examples:
        >>> lstm = keras_fast.layers.WeightDropLSTM(
        ...     8, weight_dropout=0.5, return_sequences=True
        ... )
        >>> tuple(lstm(np.zeros((2, 5, 3)), training=True).shape)
        (2, 5, 8)

    Reference:

    - [Merity et al., 2017](https://arxiv.org/abs/1708.02182)
    """

    def __init__(
        self,
        units: int,
        weight_dropout: float = 0.0,
        seed: int | None = None,
        **lstm_arguments: Any,
    ) -> None:
        self.weight_dropout = share("weight_dropout", weight_dropout, 0.5)
        super().__init__(units, seed=seed, **lstm_arguments)

    def inner_loop(
        self,
        sequences: Any,
        initial_state: Any,
        mask: Any,
        training: bool = False,
    ) -> Any:
        loop = super().inner_loop
        if not training or self.weight_dropout == 0:
            return loop(sequences, initial_state, mask, training)
        cell = self.cell
        kernel = cell.recurrent_kernel
        # In float32: 16 bits can't represent a small rate exactly.
        factors = keras.random.dropout(
            keras.ops.ones(kernel.shape, "float32"),
            self.weight_dropout,
            seed=cell.seed_generator,
        )
        # Not in the cell: Keras calls it once per timestep, or not at all.
        cell.recurrent_kernel = kernel * keras.ops.cast(
            factors, self.compute_dtype
        )
        try:
            return loop(sequences, initial_state, mask, training)
        finally:
            cell.recurrent_kernel = kernel

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weight_dropout": self.weight_dropout}
