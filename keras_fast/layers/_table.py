"""How does a model read an encoded table? Layers that carry the encoder.

They embed the words of each categorical column. Their embeddings are in dicts
by column, so you can look up what a trained model has learned about a word:
its row is its code.
"""

import json
import re
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast.layers.embedding import Embedding

__all__ = ["Factors", "TableFeatures", "TableLayer", "bin_edges", "table_of"]

Embeddings = dict[str, keras.layers.Embedding]


class TableLayer(keras.layers.Layer):
    """A layer that carries an encoder's configuration.

    Row 0 of an embedding is for unknown values. If none occurred in training,
    row 0 has learned nothing, and the mean of the other rows replaces it.

    Args:
        encoder: The result of `TableEncoder.get_config()`, or its JSON.
        quantized: The dtype policies of embeddings that were quantized.
        **kwargs: Arguments of every layer, such as `name` and `dtype`.
    """

    def __init__(
        self,
        encoder: dict[str, Any] | str,
        quantized: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        # The inner layers cast by themselves: float16 is too narrow for
        # numbers that have not been squeezed yet.
        super().__init__(autocast=False, **kwargs)
        # Kept as JSON, in which Keras finds no object to build.
        text = encoder if isinstance(encoder, str) else json.dumps(encoder)
        self._encoder = text
        self._quantized = quantized or {}
        self.embeddings: Embeddings = {}
        self.biases: Embeddings = {}
        categories = self.encoder["state"]["categories"]
        counts = {name: categories[name]["counts"] for name in categories}
        self._num_codes = {name: len(counts[name]) for name in counts}
        self._learned_0 = {name: counts[name][0] > 0 for name in counts}

    @property
    def encoder(self) -> dict[str, Any]:
        """The encoder's configuration."""
        return json.loads(self._encoder)

    def get_config(self) -> dict[str, Any]:
        config = {**super().get_config(), "encoder": self._encoder}
        quantized = {
            f"{name}_{kind}": keras.dtype_policies.serialize(layer.dtype_policy)
            for kind, layers in (
                ("embedding", self.embeddings),
                ("bias", self.biases),
            )
            for name, layer in layers.items()
            if layer.quantization_mode
        }
        return {**config, "quantized": quantized} if quantized else config

    def build(self, input_shape: Any) -> None:
        for layer in (*self.embeddings.values(), *self.biases.values()):
            layer.build()

    def _embedding(self, name: str, size: int, kind: str) -> Embedding:
        return Embedding(
            self._num_codes[name],
            size,
            embeddings_initializer=keras.initializers.TruncatedNormal(0, 0.01),
            dtype=self._quantized.get(f"{name}_{kind}", self.dtype_policy),
            name=_layer_name(f"{name}_{kind}"),
        )

    def _rows(self, embeddings: Embeddings, name: str, codes: Any) -> Any:
        """The rows of these codes, (batch, size)."""
        layer = embeddings[name]
        rows = layer(codes)
        if self._learned_0[name]:
            return rows
        table = ops.stop_gradient(table_of(layer))
        others = ops.sum(table, axis=0) - table[0]
        mean = ops.cast(others / (self._num_codes[name] - 1), rows.dtype)
        return ops.where(codes[:, None] == 0, mean, rows)


@keras.saving.register_keras_serializable("keras_fast")
class TableFeatures(TableLayer):
    """All columns of an encoded table, side by side, as features.

    - Categories: a vector each, with fastai's embedding size.
    - Numbers: `x / sqrt(1 + (x / 3)**2)`, which barely changes numbers near
      the middle and keeps the others within 3; and a piecewise-linear
      encoding, the share of each bin that lies below the number.
    - Flags of missing numbers, unchanged.

    Args:
        encoder: The result of `TableEncoder.get_config()`.
        num_bins: Maximum number of bins per number.
        **kwargs: Arguments of every layer.

    Reference:

    - [Gorishniy et al., 2022](https://arxiv.org/abs/2203.05556)
    - [Holzmüller et al., 2024](https://arxiv.org/abs/2407.04491)
    """

    def __init__(
        self, encoder: dict[str, Any] | str, num_bins: int, **kwargs: Any
    ) -> None:
        super().__init__(encoder, **kwargs)
        self.num_bins = num_bins
        for name, codes in self._num_codes.items():
            size = min(600, round(1.6 * codes**0.56))
            self.embeddings[name] = self._embedding(name, size, "embedding")
        scales = self.encoder["state"]["numbers"]
        self._numbers = list(scales)
        self._flags = [f"{x}_na" for x in scales if scales[x]["missing"]]
        edges = [bin_edges(scale, num_bins) for scale in scales.values()]
        # One entry per bin of each number.
        self._columns = np.repeat(np.arange(len(edges)), [*map(_bins, edges)])
        self._lows = np.concatenate([[], *(e[:-1] for e in edges)])
        self._slopes = 1 / np.concatenate([[], *map(np.diff, edges)])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_bins": self.num_bins}

    def call(self, inputs: dict[str, Any]) -> Any:
        features = [
            self._rows(self.embeddings, name, inputs[name])
            for name in self.embeddings
        ]
        if self._numbers:
            x: Any = ops.stack([inputs[name] for name in self._numbers], axis=1)
            features += [x * ops.rsqrt(1 + (x / 3) ** 2), self._encoded(x)]
        features += [inputs[name][:, None] for name in self._flags]
        cast = [ops.cast(each, self.compute_dtype) for each in features]
        return ops.concatenate(cast, axis=-1)

    def _encoded(self, x: Any) -> Any:
        x = ops.take(x, self._columns, axis=1)
        lows, slopes = (
            ops.convert_to_tensor(each, "float32")
            for each in (self._lows, self._slopes)
        )
        return ops.clip((x - lows) * slopes, 0, 1)


@keras.saving.register_keras_serializable("keras_fast")
class Factors(TableLayer):
    """Factors and biases of two categorical columns.

    Args:
        encoder: The result of `TableEncoder.get_config()`.
        num_factors: Length of a vector.
        **kwargs: Arguments of every layer.
    """

    def __init__(
        self, encoder: dict[str, Any] | str, num_factors: int, **kwargs: Any
    ) -> None:
        super().__init__(encoder, **kwargs)
        self.num_factors = num_factors
        for name in self._num_codes:
            self.embeddings[name] = self._embedding(
                name, num_factors, "embedding"
            )
            self.biases[name] = self._embedding(name, 1, "bias")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_factors": self.num_factors}

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any, Any]:
        """Both vectors, and the sum of both biases."""
        first, second = (
            self._rows(self.embeddings, name, inputs[name])
            for name in self._num_codes
        )
        bias, other = (
            self._rows(self.biases, name, inputs[name])
            for name in self._num_codes
        )
        return first, second, bias + other


def table_of(embedding: keras.layers.Embedding) -> Any:
    """All rows, (codes, size), also for a quantized table."""
    if embedding.quantization_mode is None:
        return embedding.embeddings
    # The table holds integers, and each row has its own scale.
    return embedding(ops.arange(embedding.input_dim))


def _layer_name(name: str) -> str:
    """A valid TensorFlow scope name: columns may have any name."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    return name if name[0].isalnum() or name[0] == "." else f"column{name}"


def bin_edges(scale: dict[str, Any], num_bins: int) -> np.ndarray:
    """Edges of at most `num_bins` bins, half at quantiles of the numbers.

    The other half is at quantiles of the distinct numbers: if most numbers are
    equal, quantiles of all numbers leave one bin for the rest.
    """
    half = num_bins // 2
    edges = np.concatenate(
        [
            _at_levels(scale["quantiles"], half),
            _at_levels(scale["distinct"], num_bins - half),
        ]
    )
    edges = np.unique(edges)
    # Closer edges would make a slope too steep for float32.
    return edges[np.diff(edges, prepend=-np.inf) > 1e-6]


def _at_levels(quantiles: list[float], num_bins: int) -> np.ndarray:
    levels = np.linspace(0, 1, len(quantiles))
    return np.interp(np.linspace(0, 1, num_bins + 1), levels, quantiles)


def _bins(edges: np.ndarray) -> int:
    return len(edges) - 1
