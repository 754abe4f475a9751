"""What layers that take an encoded table have in common."""

import json
from typing import Any

import keras

__all__ = ["TableLayer"]


class TableLayer(keras.layers.Layer):
    """A layer that carries an encoder, and embeds the words of its columns.

    Each column has its own `keras_fast.layers.Embedding`, row by row its codes.
    They are in two dicts by column: `embeddings` and, where there are any,
    `biases`.

    Row 0 is for what the encoder does not know. Where that never occurred in
    training, row 0 has not learned anything, and the mean of the others,
    weighted by how often they occurred, stands in its place.

    Args:
        encoder: What `TableEncoder.get_config()` returns.
        **kwargs: What every layer takes, as `name` and `dtype`.
    """

    def __init__(self, encoder: dict[str, Any] | str, **kwargs: Any) -> None:
        # The layers within cast for themselves: float16 is too narrow for
        # numbers that have not been squeezed yet.
        super().__init__(autocast=False, **kwargs)
        # A string: nothing in it is taken for an object to build.
        text = encoder if isinstance(encoder, str) else json.dumps(encoder)
        self._encoder = text
        self.embeddings: dict[str, keras.layers.Embedding] = {}
        self.biases: dict[str, keras.layers.Embedding] = {}

    @property
    def encoder(self) -> dict[str, Any]:
        """The encoder's configuration."""
        return json.loads(self._encoder)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoder": self._encoder}
