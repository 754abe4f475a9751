"""Which words of a text support the class?"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fast._checks import model as checked
from keras_fast._checks import shown, whole
from keras_fast.inference._layers import embedding_layer
from keras_fast.inference._slopes import (
    check_slopes,
    choose,
    outputs_with,
    slopes,
    wanted_classes,
)
from keras_fast.plots.labels import class_name
from keras_fast.plots.texts import plot_texts, texts_as_html
from keras_fast.transfer.ends import end

__all__ = ["TextHeatmap", "text_heatmap"]

AT_ONCE = 32
Tokens = Sequence[str] | Mapping[int, str] | Callable[[int], str]


@dataclass(frozen=True, eq=False, repr=False)
class TextHeatmap:
    """How strongly each token of some texts supports a class.

    Args:
        scores: Score of each token, (n, length) float32; negative scores are
            evidence against the class.
        ids: The ids of the tokens, (n, length).
        tokens: The tokens of each text, as long as `ids`; "" at padding.
        classes: The class shown for each text, (n,) int64.

    Examples:
        >>> from keras_fast.inference import TextHeatmap
        >>> result = TextHeatmap(
        ...     scores=np.array([[0.1, 0.9]]),
        ...     ids=np.array([[7, 4]]),
        ...     tokens=[["so", "good"]],
        ...     classes=np.array([1]),
        ... )
        >>> axes = result.plot(class_names=["negative", "positive"])
        >>> axes[0].get_title(loc="left")
        'positive'
    """

    scores: np.ndarray
    ids: np.ndarray
    tokens: list[list[str]]
    classes: np.ndarray

    def __repr__(self) -> str:
        texts, length = self.ids.shape
        return f"TextHeatmap({texts} texts of up to {length} tokens)"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self, class_names: Sequence[str] | None = None) -> str:
        """The texts as HTML; notebooks display it automatically."""
        return texts_as_html(*self._shown(class_names))

    def plot(self, class_names: Sequence[str] | None = None) -> Any:
        """Draw the texts and return the matplotlib `Axes`, (n,)."""
        return plot_texts(*self._shown(class_names))

    def _shown(self, class_names: Sequence[str] | None) -> tuple[Any, ...]:
        """Tokens, titles and scores, without padding."""
        kept = [np.array([t != "" for t in text]) for text in self.tokens]
        texts = [[t for t in text if t != ""] for text in self.tokens]
        titles = [class_name(index, class_names) for index in self.classes]
        scores = [s[k] for s, k in zip(self.scores, kept, strict=True)]
        return texts, titles, scores


def text_heatmap(
    model: keras.Model,
    ids: Any,
    *,
    tokens: Tokens | None = None,
    class_index: Any = None,
    layer: str | keras.layers.Layer | None = None,
    pad: int = 0,
) -> TextHeatmap:
    """Show which words of a text are evidence for or against a class.

    The score of a token is the gradient of the class's score with respect to
    the token's vector, multiplied by that vector. If the model is linear in its
    vectors, the scores of a text add up to the class's score without its bias.
    For other models they are a linear approximation around the text as it is.
    As in `grad_cam`, the class's score is taken before a softmax or sigmoid
    that ends a functional or Sequential model. With one output for two classes,
    evidence for class 0 is evidence against class 1.

    Args:
        model: A text classifier, compiled or not, such as one made by
            `keras_fast.models.text_classifier`. Nothing in it changes.
        ids: The texts: an array of ids (n, length) as the model takes it, or a
            list of lists of ids, which are padded on the right. For models
            with several inputs a dict of arrays, with the ids in `token_ids`.
        tokens: The token of each id: a list, such as a vocabulary, a dict, or a
            function from an id to a string. None shows the ids.
        class_index: The class to look for: one for all texts, or (n,). None
            takes the predicted class of each.
        layer: The layer that turns ids into vectors, or its name, in nested
            models too; needed if there are several embeddings.
        pad: The id of padding, which is not drawn.

    Returns:
        A `TextHeatmap`.

    Raises:
        ValueError: The model has no embedding or several, or does not return
            one number for each class, or no finite one; an argument is out of
            range; or the model is so sure that its gradient is 0.
        TypeError: The ids are not whole numbers.

    Examples:
        >>> words = ["", "?", "a", "dull", "film", "great"]
        >>> bag = keras.Sequential(
        ...     [
        ...         keras.Input((None,), dtype="int32"),
        ...         keras.layers.Embedding(len(words), 4),
        ...         keras.layers.GlobalAveragePooling1D(),
        ...         keras.layers.Dense(2, activation="softmax"),
        ...     ]
        ... )
        >>> result = keras_fast.inference.text_heatmap(
        ...     bag, [[2, 5, 4], [3, 4]], tokens=words, class_index=1
        ... )
        >>> result.tokens
        [['a', 'great', 'film'], ['dull', 'film', '']]
        >>> result.scores.shape
        (2, 3)

    Reference:

    - [Denil et al., 2014](https://arxiv.org/abs/1412.6815)
    - fastai 1.0.61, `intrinsic_attention`, which takes absolute gradients
    """
    if not checked(model).built:
        raise ValueError(
            "`model` must be built. Train it, load its weights or give it an "
            f"Input first. Received: model={model.name} (not built)"
        )
    inputs, array = _inputs(model, ids, whole("pad", pad, 0))
    source = embedding_layer(model, layer)
    _check_known(array, getattr(source, "input_dim", None))
    names = _names(array, tokens, pad)
    wanted = wanted_classes(class_index, len(array))
    parts = []
    for start in range(0, len(array), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        batch = keras.tree.map_structure(lambda a, rows=rows: a[rows], inputs)
        parts.append(_scores(model, source, batch, array[rows], wanted[rows]))
    scores, classes = map(np.concatenate, zip(*parts, strict=True))
    return TextHeatmap(scores, array, names, classes)


def _scores(
    model: keras.Model,
    layer: keras.layers.Layer,
    inputs: Any,
    ids: np.ndarray,
    wanted: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Scores of each token, and the class of each text."""
    last = end(model)
    with last.off() if last else contextlib.nullcontext():
        outputs, seen = outputs_with(model, layer, inputs)
        shapes = [tuple(getattr(each, "shape", ())) for each in seen]
        if [(len(s), s[:2]) for s in shapes] != [(3, ids.shape)]:
            raise ValueError(
                "`layer` must give a vector for each token, (n, length, "
                "features), once for each text. Pass the embedding of the "
                f"tokens. Received: layer={layer.name!r}, which gives {shapes} "
                f"for ids of shape {ids.shape}"
            )
        [vectors] = seen
        scores = np.asarray(ops.convert_to_numpy(outputs))
        classes, signs = choose(model, last, scores, wanted)
        found = slopes(model, layer, inputs, vectors, signs)
    if last is None:
        check_slopes(np.asarray(ops.convert_to_numpy(found)), scores)
    shares = ops.sum(found * ops.cast(vectors, "float32"), axis=-1)
    shares = np.asarray(ops.convert_to_numpy(shares))
    if not np.isfinite(shares).all():
        raise ValueError(
            "`model` must give finite scores. Check that its vocabulary has "
            "all ids, and that its weights are finite. Received: ids from "
            f"{ids.min()} to {ids.max()}, scores of NaN or inf"
        )
    return shares, classes


def _inputs(model: Any, ids: Any, pad: int) -> tuple[Any, np.ndarray]:
    """The model's inputs, and the ids among them."""
    if isinstance(ids, Mapping):
        inputs = {name: _array(part) for name, part in ids.items()}
        array = inputs.get("token_ids")
    else:
        if isinstance(ids, list | tuple):
            ids = _padded(model, ids, pad)
        inputs = array = _array(ids)
    if array is not None and array.ndim == 2 and array.size:
        if array.dtype.kind in "iu":
            return inputs, array
        raise TypeError(
            "`ids` must be whole numbers. Put strings through your tokenizer "
            f"first. Received: ids={shown(array)}"
        )
    shape = keras.tree.map_structure(np.shape, inputs)
    raise ValueError(
        "`ids` must be (n, length), or lists of ids. Put strings through your "
        "tokenizer first; pass one text as [ids]; to a model with several "
        "inputs a dict with `token_ids`. Received: "
        f"ids of shape {shape}"
    )


def _check_known(ids: np.ndarray, num_tokens: int | None) -> None:
    if num_tokens is not None and not 0 <= ids.min() <= ids.max() < num_tokens:
        raise ValueError(
            f"`ids` must be from 0 to {num_tokens - 1}, those of the tokens "
            "that the model knows. Use its tokenizer. "
            f"Received: ids from {ids.min()} to {ids.max()}"
        )


def _padded(model: Any, texts: Any, pad: int) -> np.ndarray:
    if not all(np.ndim(text) == 1 for text in texts):
        return np.array(texts, object)
    inputs = getattr(model, "inputs", None) or []
    fixed = inputs[0].shape[1] if len(inputs) == 1 else None
    width = max([fixed or 1, *map(len, texts)])
    # NumPy makes floats of an empty list.
    rows = [np.asarray(text) for text in texts if len(text)]
    array = np.full((len(texts), width), pad, np.result_type("int32", *rows))
    for line, text in zip(array, texts, strict=True):
        line[: len(text)] = text
    return array


def _array(part: Any) -> np.ndarray:
    if isinstance(part, np.ndarray):
        return part
    return np.asarray(ops.convert_to_numpy(part))


def _names(ids: np.ndarray, tokens: Tokens | None, pad: int) -> list[list[str]]:
    """The token of each id, "" for padding."""
    if tokens is None:
        name: Any = str
    else:
        name = tokens if callable(tokens) else tokens.__getitem__
    known = {}
    for index in np.unique(ids).tolist():
        try:
            known[index] = (
                "" if index == pad else str(name(index)) or str(index)
            )
        except (IndexError, KeyError) as error:
            raise ValueError(
                "`tokens` must have a token for each id. Pass the vocabulary "
                "that made the ids. Received: tokens without one for the id "
                f"{index}"
            ) from error
    return [[known[index] for index in row] for row in ids.tolist()]
