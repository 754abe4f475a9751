"""What becomes of an encoded table in a model? Layers that carry the encoder.

They embed the words of each categorical column. Their embeddings are in dicts
by column, so that it can be read off a trained model what it has learned of a
word: its row is its code.
"""

import json
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast.layers.embedding import Embedding

__all__ = ["Factors", "TableFeatures", "TableLayer", "bin_edges"]

Embeddings = dict[str, keras.layers.Embedding]


class TableLayer(keras.layers.Layer):
    """A layer that carries an encoder's configuration.

    Row 0 of an embedding is for what the encoder does not know. Where that
    never occurred in training, row 0 has not learned anything, and the mean of
    the others, weighted by how often they occurred, stands in its place.

    Args:
        encoder: What `TableEncoder.get_config()` returns, or its JSON.
        **kwargs: What every layer takes, as `name` and `dtype`.
    """

    def __init__(self, encoder: dict[str, Any] | str, **kwargs: Any) -> None:
        # The layers within cast for themselves: float16 is too narrow for
        # numbers that have not been squeezed yet.
        super().__init__(autocast=False, **kwargs)
        # Kept as JSON, in which Keras sees no object to build.
        text = encoder if isinstance(encoder, str) else json.dumps(encoder)
        self._encoder = text
        self.embeddings: Embeddings = {}
        self.biases: Embeddings = {}
        self._shares = {
            name: _shares(vocabulary["counts"])
            for name, vocabulary in self.encoder["state"]["categories"].items()
        }

    @property
    def encoder(self) -> dict[str, Any]:
        """The encoder's configuration."""
        return json.loads(self._encoder)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "encoder": self._encoder}

    def build(self, input_shape: Any) -> None:
        for layer in (*self.embeddings.values(), *self.biases.values()):
            layer.build()

    def _embedding(self, name: str, size: int, kind: str) -> Embedding:
        return Embedding(
            len(self._shares[name]),
            size,
            embeddings_initializer=keras.initializers.TruncatedNormal(0, 0.01),
            dtype=self.dtype_policy,
            name=f"{name}_{kind}",
        )

    def _rows(self, embeddings: Embeddings, name: str, codes: Any) -> Any:
        """The rows of these codes, (batch, size)."""
        layer, shares = embeddings[name], self._shares[name]
        rows = layer(codes)
        if shares[0]:
            return rows
        mean = ops.matmul(shares[None], ops.stop_gradient(layer.embeddings))
        return ops.where(codes[:, None] == 0, ops.cast(mean, rows.dtype), rows)


@keras.saving.register_keras_serializable("keras_fast")
class TableFeatures(TableLayer):
    """All columns of an encoded table, side by side, as features.

    - Categories: a vector each, as long as fastai's rule says.
    - Numbers: `x / sqrt(1 + (x / 3)**2)`, which leaves those near the middle
      as they are and keeps the others within 3; beside it a piecewise-linear
      encoding, for each bin the share of it that lies below the number.
    - Flags of missing numbers as they are.

    Args:
        encoder: What `TableEncoder.get_config()` returns.
        num_bins: Most bins a number.
        **kwargs: What every layer takes.

    Reference:

    - [Gorishniy et al., 2022](https://arxiv.org/abs/2203.05556)
    - [Holzmüller et al., 2024](https://arxiv.org/abs/2407.04491)
    """

    def __init__(
        self, encoder: dict[str, Any] | str, num_bins: int, **kwargs: Any
    ) -> None:
        super().__init__(encoder, **kwargs)
        self.num_bins = num_bins
        for name, shares in self._shares.items():
            size = min(600, round(1.6 * len(shares) ** 0.56))
            self.embeddings[name] = self._embedding(name, size, "embedding")
        scales = self.encoder["state"]["numbers"]
        self._numbers = list(scales)
        self._flags = [f"{x}_na" for x in scales if scales[x]["missing"]]
        edges = [bin_edges(scale, num_bins) for scale in scales.values()]
        # One entry for each bin of each number.
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
        lows, slopes = (a.astype("float32") for a in (self._lows, self._slopes))
        return ops.clip((x - lows) * slopes, 0, 1)


@keras.saving.register_keras_serializable("keras_fast")
class Factors(TableLayer):
    """Factors and biases of two categorical columns.

    Code 0 has no factors: with them at zero, only the biases count.

    Args:
        encoder: What `TableEncoder.get_config()` returns.
        num_factors: Length of a vector.
        **kwargs: What every layer takes.
    """

    def __init__(
        self, encoder: dict[str, Any] | str, num_factors: int, **kwargs: Any
    ) -> None:
        super().__init__(encoder, **kwargs)
        self.num_factors = num_factors
        for name in self._shares:
            self.embeddings[name] = self._embedding(
                name, num_factors, "embedding"
            )
            self.biases[name] = self._embedding(name, 1, "bias")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "num_factors": self.num_factors}

    def call(self, inputs: dict[str, Any]) -> tuple[Any, Any, Any, Any]:
        """Two vectors, the sum of both biases, and 1 where both are known."""
        vectors, biases, known = [], [], []
        for name, layer in self.embeddings.items():
            codes = inputs[name]
            mask = ops.cast(codes[:, None] != 0, self.compute_dtype)
            vectors.append(layer(codes) * mask)
            biases.append(self._rows(self.biases, name, codes))
            known.append(mask)
        first, second = vectors
        return first, second, biases[0] + biases[1], known[0] * known[1]


def bin_edges(scale: dict[str, Any], num_bins: int) -> np.ndarray:
    """Edges of at most `num_bins` bins, half at quantiles of the numbers.

    The other half is at quantiles of the distinct numbers: where most are
    equal, those of all the numbers leave the rest one bin.
    """
    half = num_bins // 2
    edges = np.concatenate(
        [
            _at_levels(scale["quantiles"], half),
            _at_levels(scale["distinct"], num_bins - half),
        ]
    )
    edges = np.unique(edges)
    # Closer edges would make a slope that float32 can't hold.
    return edges[np.diff(edges, prepend=-np.inf) > 1e-6]


def _at_levels(quantiles: list[float], num_bins: int) -> np.ndarray:
    levels = np.linspace(0, 1, len(quantiles))
    return np.interp(np.linspace(0, 1, num_bins + 1), levels, quantiles)


def _bins(edges: np.ndarray) -> int:
    return len(edges) - 1


def _shares(counts: list[int]) -> np.ndarray:
    """What part each row has in the one for code 0, (rows,) float32."""
    if counts[0]:
        return np.eye(1, len(counts), dtype="float32")[0]
    return (np.array(counts) / max(1, sum(counts))).astype("float32")
