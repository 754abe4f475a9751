"""What has a model learned about each word of a column?"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_fast._checks import model as checked_model
from keras_fast._checks import whole
from keras_fast._keras.layers import layers_of
from keras_fast.data import TableEncoder
from keras_fast.layers._table import TableLayer, table_of
from keras_fast.plots.words import plot_words

__all__ = ["ColumnEmbedding", "embeddings"]

Word = str | bool | int | float


@dataclass(frozen=True, eq=False, repr=False)
class ColumnEmbedding:
    """The embedding that a model has learned for a column.

    Args:
        name: Name of the column, or of a part of a date.
        words: The words, in the order of their codes.
        vectors: A vector for each word, (words, size) float32.
        biases: A bias for each word, (words,) float32: the amount it adds to
            every prediction, before the model scales it to a range. None if
            the model has none.
        counts: How often each word occurred in the training data, (words,)
            int64.

    Examples:
        >>> from keras_fast.inference import ColumnEmbedding
        >>> films = ColumnEmbedding(
        ...     name="film",
        ...     words=["Heat", "Jaws", "Up"],
        ...     vectors=np.array([[0.1, 2.0], [0.3, -1.0], [0.2, -1.0]]),
        ...     biases=np.array([0.1, -0.3, 0.2]),
        ...     counts=np.array([2, 9, 5]),
        ... )
        >>> films.lowest(1), films.highest(1)
        ([('Jaws', -0.3)], [('Up', 0.2)])
        >>> films.most_frequent(2).words
        ['Jaws', 'Up']
        >>> ax = films.plot()
    """

    name: str
    words: list[Word]
    vectors: np.ndarray
    biases: np.ndarray | None
    counts: np.ndarray

    def __repr__(self) -> str:
        biases = "no biases" if self.biases is None else "biases"
        return (
            f"ColumnEmbedding({self.name!r}, {len(self.words)} words, vectors "
            f"of {self.vectors.shape[1]}, {biases})"
        )

    def lowest(self, n: int = 10) -> list[tuple[Word, float]]:
        """The `n` words with the lowest bias, lowest first.

        Raises:
            ValueError: The model has no biases.
        """
        return self._by_bias(n, 1)

    def highest(self, n: int = 10) -> list[tuple[Word, float]]:
        """The `n` words with the highest bias, highest first.

        Raises:
            ValueError: The model has no biases.
        """
        return self._by_bias(n, -1)

    def most_frequent(self, n: int) -> "ColumnEmbedding":
        """The `n` words that occurred most often, the most frequent first.

        A model learns little about a word that hardly occurs.
        """
        kept = np.argsort(-self.counts, kind="stable")[: whole("n", n)]
        return dataclasses.replace(
            self,
            words=[self.words[i] for i in kept],
            vectors=self.vectors[kept],
            biases=None if self.biases is None else self.biases[kept],
            counts=self.counts[kept],
        )

    def principal_axes(self, num_axes: int = 2) -> np.ndarray:
        """Where each word lies along the principal axes of the vectors.

        The axes are those along which the vectors differ most, as in a
        principal component analysis. The largest entry of each is positive.
        If the vectors have fewer axes, the remaining coordinates are 0.

        Args:
            num_axes: Number of axes, the most important first.

        Returns:
            (words, num_axes) float64.
        """
        return _principal(self.vectors, whole("num_axes", num_axes))[0]

    def plot(self, ax: Any = None) -> Any:
        """Draw the words along two principal axes; return matplotlib's `Axes`.

        Up to 40 words are written beside their dots, the most frequent ones
        that fit. `embedding.most_frequent(n).plot()` draws fewer.

        Args:
            ax: Axes to draw on; new ones if None.
        """
        shown = self.most_frequent(len(self.words))
        points, shares = _principal(shown.vectors, 2)
        return plot_words(
            points,
            [str(word) for word in shown.words],
            (
                f"first principal axis ({shares[0]:.0%} of the variance)",
                f"second principal axis ({shares[1]:.0%})",
            ),
            ax,
        )

    def _by_bias(self, n: int, sign: int) -> list[tuple[Word, float]]:
        if self.biases is None:
            raise ValueError(
                f"Column {self.name!r} must have biases to be ordered by. "
                "`collaborative_filter` learns them; look at vectors with "
                "`plot()` or `principal_axes()`. Received: "
                f"{self!r}"
            )
        order = np.argsort(sign * self.biases, kind="stable")[: whole("n", n)]
        return [(self.words[i], float(self.biases[i])) for i in order]


def embeddings(model: keras.Model) -> dict[str, ColumnEmbedding]:
    """Return what a model has learned about each word of each column.

    Words with similar vectors have similar effects on predictions. A
    `collaborative_filter` has biases too: a film with a high bias gets high
    ratings, both from those who like such films and from the others.

    Code 0 is left out: it has no word, but stands for all missing, unseen or
    rare values. In a `tabular_model`, its vector is row 0 of
    `model.get_layer("table").embeddings[name].embeddings`.

    Args:
        model: A model of `tabular_model` or `collaborative_filter`, or one
            that contains it; trained, or loaded from a file. Nothing in it
            changes.

    Returns:
        A dict from the name of each categorical column to its
        `ColumnEmbedding`. A date has one for each part that is a category,
        such as `sold_month`.

    Raises:
        TypeError: `model` is not a model.
        ValueError: It has no categorical columns of an encoder, or consists
            of several such models.
            several such models.

    Examples:
        >>> table = {"cut": ["Ideal", "Fair", "Good"] * 4}
        >>> encoder = keras_fast.data.TableEncoder(["cut"])
        >>> encoder.adapt(table)
        >>> tabular = keras_fast.models.tabular_model(encoder, 1)
        >>> keras_fast.inference.embeddings(tabular)
        {'cut': ColumnEmbedding('cut', 3 words, vectors of 3, no biases)}

    Reference:

    - [Guo and Berkhahn, 2016](https://arxiv.org/abs/1604.06737)
    - fastai 2.8, `EmbeddingDotBias.bias` and `weight`
    """
    layers = layers_of(checked_model(model))
    found = [layer for layer in layers if isinstance(layer, TableLayer)]
    if len(found) != 1 or not found[0].embeddings:
        columns = [name for layer in found for name in layer.embeddings]
        raise ValueError(
            "`model` must embed the categorical columns of one table. Pass a "
            "model of `tabular_model` or `collaborative_filter`; of several, "
            f"one after the other. Received: model={model.name} with "
            f"{len(found)} tables of categorical columns {columns}"
        )
    [layer] = found
    vocabularies = TableEncoder.from_config(layer.encoder).vocabularies
    state = layer.encoder["state"]["categories"]
    return {
        name: ColumnEmbedding(
            name,
            vocabularies[name][1:],
            _rows(embedding),
            _rows(layer.biases[name])[:, 0] if layer.biases else None,
            np.array(state[name]["counts"][1:], np.int64),
        )
        for name, embedding in layer.embeddings.items()
    }


def _rows(embedding: keras.layers.Embedding) -> np.ndarray:
    """The row of each word; row 0 belongs to none."""
    values: Any = keras.ops.convert_to_numpy(table_of(embedding))
    return np.array(values[1:], np.float32)


def _principal(vectors: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates, (words, num), and each axis's share of the variance."""
    centred = vectors.astype(float) - vectors.mean(axis=0, dtype=float)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    # Smaller values are rounding errors.
    least = sizes.max(initial=0) * max(vectors.shape) * np.finfo(float).eps
    axes, sizes = axes[sizes > least], sizes[sizes > least]
    # SVD does not determine the sign.
    largest = np.abs(axes).argmax(axis=1, keepdims=True)
    axes *= np.sign(np.take_along_axis(axes, largest, axis=1))
    there = min(num, len(axes))
    points, shares = np.zeros((len(vectors), num)), np.zeros(num)
    points[:, :there] = centred @ axes[:num].T
    shares[:there] = sizes[:num] ** 2 / (sizes**2).sum()
    return points, shares
