"""Penalties on the outputs of an LSTM, and on how fast they change."""

from typing import Any

import keras
from keras import ops

from keras_fast._checks import non_negative


@keras.saving.register_keras_serializable("keras_fast")
class ActivationRegularization(keras.layers.Layer):
    """Adds activation regularization (AR and TAR) to the loss in training.

    AR penalizes large outputs, `alpha * mean(dropped**2)`; TAR penalizes fast
    changes, `beta * mean((raw[:, 1:] - raw[:, :-1])**2)`. The outputs pass
    through unchanged. `evaluate()` and validation report the compiled loss
    without the penalties.

    fastai computes AR from the outputs of the last LSTM after dropout, and TAR
    from the same outputs before dropout. Call the layer on `[raw, dropped]`
    for that, or on one tensor for both penalties. The penalties are means and
    don't depend on the batch size or the length, unlike the sum of
    `keras.layers.ActivityRegularization`. Padding counts like text.

    Args:
        alpha: Factor of AR.
        beta: Factor of TAR.
        **kwargs: Arguments of every layer, such as `name` and `dtype`.

    Call arguments:
        inputs: A tensor (batch, timesteps, features), or a list of two,
            `[raw, dropped]`.
        training: Whether to add the penalties.

    Output shape:
        The shape of the input; `[raw, dropped]` returns `dropped`.

    Raises:
        ValueError: `alpha` or `beta` is below 0 or not finite; the input is
            neither one tensor nor a list of two, or has another rank.
        TypeError: `alpha` or `beta` is not a number.

    Examples:
        >>> raw = keras.Input((None, 8))
        >>> dropped = keras.layers.SpatialDropout1D(0.1)(raw)
        >>> layer = keras_fast.layers.ActivationRegularization()
        >>> encoder = keras.Model(raw, layer([raw, dropped]))
        >>> x = np.ones((2, 5, 8), "float32")
        >>> y = encoder(x)
        >>> len(encoder.losses)
        0
        >>> y = encoder(x, training=True)
        >>> len(encoder.losses)
        1

    Reference:

    - [Merity et al., 2017](https://arxiv.org/abs/1708.01009)
    """

    def __init__(
        self, alpha: float = 2.0, beta: float = 1.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.alpha = non_negative("alpha", alpha)
        self.beta = non_negative("beta", beta)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        shapes = input_shape if _is_pair(input_shape) else [input_shape]
        if len(shapes) > 2 or any(len(shape) != 3 for shape in shapes):
            raise ValueError(
                "The input must be outputs (batch, timesteps, features), or "
                "[raw, dropped] outputs. Have LSTMs return sequences. "
                f"Received: shapes={[tuple(shape) for shape in shapes]}"
            )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        raw, dropped = _pair(inputs)
        if training and (self.alpha or self.beta):
            self.add_loss(self.alpha * _size(dropped) + self.beta * _pace(raw))
        return dropped

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        several = isinstance(previous_mask, list | tuple)
        return previous_mask[1] if several else previous_mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape[1] if _is_pair(input_shape) else input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "alpha": self.alpha,
            "beta": self.beta,
        }


def _pair(inputs: Any) -> tuple[Any, Any]:
    if not isinstance(inputs, list | tuple):
        return inputs, inputs
    raw, dropped = inputs
    return raw, dropped


def _is_pair(shape: Any) -> bool:
    return isinstance(shape[0], list | tuple)


def _size(outputs: Any) -> Any:
    return ops.mean(ops.square(ops.cast(outputs, "float32")))


def _pace(outputs: Any) -> Any:
    outputs = ops.cast(outputs, "float32")
    squares: Any = ops.square(outputs[:, 1:] - outputs[:, :-1])
    # One timestep has no change: 0 instead of the mean's NaN.
    count: Any = ops.maximum(ops.cast(ops.size(squares), "float32"), 1)
    total: Any = ops.sum(squares)
    return total / count
