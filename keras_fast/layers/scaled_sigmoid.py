"""A sigmoid between two numbers."""

from typing import Any

import keras

from keras_fast._checks import finite


@keras.saving.register_keras_serializable("keras_fast")
class ScaledSigmoid(keras.layers.Layer):
    """Keeps a prediction between two numbers: fastai's `SigmoidRange`.

    Computes `low + (high - low) * sigmoid(x)`, for regression whose range is
    known. The ends themselves are out of reach: for ratings from 1 to 5,
    fast.ai uses 0 to 5.5. Pass `dtype="float32"` under mixed precision if it
    is the last layer.

    Args:
        low: Lower end.
        high: Upper end, above `low`.
        **kwargs: Arguments of every layer, such as `name` and `dtype`.

    Input shape:
        Any.

    Output shape:
        The shape of the input.

    Raises:
        ValueError: `high` is not above `low`.

    Examples:
        >>> layer = keras_fast.layers.ScaledSigmoid(0, 5)
        >>> keras.ops.convert_to_numpy(layer(np.zeros(2))).tolist()
        [2.5, 2.5]
        >>> rated = keras.Model(model.inputs, layer(model.outputs[0]))
    """

    def __init__(self, low: float, high: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low = finite("low", low)
        self.high = finite("high", high)
        if self.high <= self.low:
            raise ValueError(
                "`high` must be above `low`. Pass the lower end first. "
                f"Received: low={low!r}, high={high!r}"
            )
        self.supports_masking = True

    def call(self, inputs: Any) -> Any:
        share: Any = keras.ops.sigmoid(inputs)
        return self.low + (self.high - self.low) * share

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "low": self.low, "high": self.high}
