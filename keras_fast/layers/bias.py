"""A bias as a layer."""

from typing import Any

import keras


@keras.saving.register_keras_serializable("keras_fast")
class Bias(keras.layers.Layer):
    """Adds a trainable bias to each feature.

    Use it after a decoder that shares the table of an `Embedding`. As a weight
    of the embedding, the bias would have no gradient in a model that embeds
    words and predicts none, such as a classifier.

    Args:
        bias_initializer: As `keras.layers.Dense`.
        **kwargs: Arguments of every layer, such as `name` and `dtype`.

    Input shape:
        (..., features)

    Output shape:
        The shape of the input.

    Examples:
        >>> layer = keras_fast.layers.Bias("ones")
        >>> keras.ops.convert_to_numpy(layer(np.zeros((1, 3)))).tolist()
        [[1.0, 1.0, 1.0]]
    """

    def __init__(self, bias_initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.bias = self.add_weight(
            shape=input_shape[-1:],
            initializer=self.bias_initializer,
            name="bias",
        )

    def call(self, inputs: Any) -> Any:
        return keras.ops.add(inputs, self.bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        initializer = keras.initializers.serialize(self.bias_initializer)
        return {**super().get_config(), "bias_initializer": initializer}
