"""How does a model of words move to another vocabulary?"""

from typing import Any, NamedTuple

import keras
import numpy as np

from keras_fast._checks import model as checked_model
from keras_fast._checks import shown, vocabulary
from keras_fast._keras.graph import graph_of, made_by, ordered_calls
from keras_fast.layers import ConcatPooling

__all__ = ["match_embeddings"]


def match_embeddings(
    model: keras.Model, old_vocabulary: Any, new_vocabulary: Any
) -> keras.Model:
    """Copy a model to a new vocabulary; known words keep their vectors.

    Use it to continue a pretrained language model on texts that have their own
    words. A word of both vocabularies keeps its row of the embedding, whatever
    its ids. The others start as the mean of all rows. The decoder of a
    language model is matched in the same way, with its bias. All other weights
    are copied.

    The share of the words that are carried over depends only on the
    vocabularies: `len({*new} & {*old}) / len(new)`. If it is low, check that
    both tokenizers split words, and treat upper case, in the same way.

    It takes a `language_model`, its `text_encoder`, a `text_classifier`, and
    any functional or `Sequential` model in which one `Embedding`, Keras's or
    ours, has a row for each word. A `Dense` layer with as many units that makes
    the model's outputs, such as `Dense(len(old))` for the next word, is its
    decoder; after `ConcatPooling` its units are classes.

    Args:
        model: The model. It does not change.
        old_vocabulary: The words that it was trained with: a list in the order
            of their ids, or a dict from word to id, such as `get_vocab()` of a
            tokenizer.
        new_vocabulary: The words of the new model, in the same form.

    Returns:
        A functional model with its own weights, not compiled. Frozen layers
        stay frozen.

    Raises:
        ValueError: The model has no embedding with a row for each old word, or
            several; a vocabulary has a word twice or leaves out an id; the
            vocabularies have no word in common; the model isn't functional, is
            quantized, or its decoder is not a `Dense` layer.
        TypeError: A word is not a string.

    Examples:
        >>> from keras_fast import models
        >>> old = ["[PAD]", "[UNK]", "the", "cat", "sat"]
        >>> new = ["[PAD]", "[UNK]", "a", "dog", "sat", "the"]
        >>> lm = models.language_model(
        ...     len(old), embedding_size=8, units=16, num_layers=2
        ... )
        >>> len({*new} & {*old})
        4
        >>> lm = models.match_embeddings(lm, old, new)
        >>> lm.output_shape
        (None, None, 6)

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    - fastai 2.8, `match_embeds`
    """
    old = vocabulary("old_vocabulary", old_vocabulary)
    new = vocabulary("new_vocabulary", new_vocabulary)
    ids = {word: i for i, word in enumerate(old)}
    rows = np.array([ids.get(word, -1) for word in new])
    if (rows < 0).all():
        raise ValueError(
            "`new_vocabulary` must have words of `old_vocabulary`. Check that "
            "both tokenizers split texts alike. Received: "
            f"old_vocabulary={shown(old)}, new_vocabulary={shown(new)}"
        )
    words = _word_layers(model, len(old))
    copies = _Copies(words, len(new))
    matched = copies.of(model)
    # An axis belongs to the vocabulary if it changes with the vocabulary's
    # size. If both sizes are equal, a second copy shows it.
    resized = copies
    if len(new) == len(old):
        resized = _Copies(words, len(new) + 1)
        resized.of(model)
    for key, (layer, copy) in copies.made.items():
        other = resized.made[key][1]
        if graph_of(layer) is None:
            copy.set_weights(_matched_weights(layer, other, rows))
    copies.freeze()
    return matched


class _WordLayers(NamedTuple):
    """Layers that have an entry for each word."""

    embedding: keras.layers.Embedding
    decoders: list[keras.layers.Dense]


class _Copies:
    """Copies of layers for a vocabulary of another size."""

    def __init__(self, words: _WordLayers, size: int) -> None:
        self._words = words
        self._size = size
        self.made: dict[int, tuple[Any, Any]] = {}  # a model after its layers

    def of(self, layer: Any) -> Any:
        """The copy of a layer; always the same one for the same layer."""
        if not isinstance(layer, keras.layers.Layer):  # an operation
            return type(layer).from_config(layer.get_config())
        if id(layer) not in self.made:
            self.made[id(layer)] = layer, self._copy(layer)
        return self.made[id(layer)][1]

    def freeze(self) -> None:
        """Freeze the copies of frozen layers and weights."""
        for layer, copy in reversed(self.made.values()):
            if copy.trainable != layer.trainable:
                copy.trainable = layer.trainable
        for layer, copy in self.made.values():
            if graph_of(layer) is None:
                for old, new in zip(layer.weights, copy.weights, strict=True):
                    if new.trainable != old.trainable:
                        new.trainable = old.trainable

    def _copy(self, layer: Any) -> Any:
        graph = graph_of(layer)
        if graph is not None:
            # Keras would compile the copy of a compiled model.
            bare = keras.Model(graph.input, graph.output, name=layer.name)
            return keras.models.clone_model(bare, clone_function=self.of)
        config = layer.get_config()
        if layer is self._words.embedding:
            config["input_dim"] = self._size
            if isinstance(
                layer.embeddings_initializer, keras.initializers.Constant
            ):
                # Usually a table of word vectors, of the old size.
                config["embeddings_initializer"] = "zeros"
        if any(layer is decoder for decoder in self._words.decoders):
            config["units"] = self._size
        return type(layer).from_config(config)


def _word_layers(model: keras.Model, size: int) -> _WordLayers:
    graph = graph_of(checked_model(model))
    if graph is None:
        raise ValueError(
            "`model` must be functional or a built `Sequential` model: what a "
            "subclass does in `call()` can't be copied. "
            f"Received: model={model.name} ({type(model).__name__})"
        )
    embeddings = [
        layer
        for layer in _operations(graph).values()
        if isinstance(layer, keras.layers.Embedding)
    ]
    fitting = [layer for layer in embeddings if layer.input_dim == size]
    if len(fitting) == 1:
        return _WordLayers(fitting[0], _decoders(graph, size))
    found = {layer.name: layer.input_dim for layer in embeddings}
    expected, remedy = {
        not embeddings: (
            "an embedding of words",
            "Pass a model with a `keras.layers.Embedding` layer.",
        ),
        len(fitting) > 1: (
            f"one embedding of {size} rows",
            "Match a model that shares the embedding, or each part alone.",
        ),
    }.get(
        True,
        (
            f"an embedding with a row for each of {size} old words",
            "Pass as `old_vocabulary` all words that it was trained with, "
            "those of padding and of unknown words too.",
        ),
    )
    raise ValueError(
        f"`model` must have {expected}. {remedy} "
        f"Received: model={model.name} with rows {found}"
    )


def _operations(graph: Any) -> dict[int, Any]:
    """The layers and operations of a model, also in models within."""
    found = {}
    for call in ordered_calls(graph):
        inner = graph_of(call.operation)
        if inner is not None:
            found |= _operations(inner)
        found[id(call.operation)] = call.operation
    return found


def _decoders(graph: Any, size: int) -> list[keras.layers.Dense]:
    """The dense layers that make outputs with an entry for each word."""
    operations = _operations(graph).values()
    if any(isinstance(each, ConcatPooling) for each in operations):
        return []  # a classifier with as many classes as words
    found, waiting = [], _with_size(graph.outputs, size)
    while waiting:
        layer, call, place = made_by(waiting.pop())
        inner = graph_of(layer)
        kernels = [w for w in getattr(layer, "weights", ()) if len(w.shape) > 1]
        sources = _with_size(call.input_tensors, size)
        if isinstance(layer, keras.layers.Dense):
            found.append(layer)
        elif inner is not None:
            waiting.append(inner.outputs[place])
        elif isinstance(
            layer, keras.layers.Embedding | keras.layers.InputLayer
        ):
            continue
        elif _with_size(kernels, size) or not (kernels or sources):
            raise ValueError(
                "`model` must predict words with a `Dense` layer or with "
                "`embedding(x, reverse=True)`; no other decoder can be "
                f"matched. Received: model with {layer.name} "
                f"({type(layer).__name__}), which makes {size} outputs"
            )
        elif not kernels:
            waiting += sources
    return found


def _with_size(tensors: Any, size: int) -> list[Any]:
    """Tensors whose last axis has this size."""
    return [each for each in tensors if each.shape and each.shape[-1] == size]


def _matched_weights(
    layer: Any, resized: Any, rows: np.ndarray
) -> list[np.ndarray]:
    """The layer's weights, matched along each axis that was resized."""
    weights = []
    for old, other in zip(layer.weights, resized.weights, strict=True):
        value = keras.ops.convert_to_numpy(old)
        for axis, size in enumerate(old.shape):
            if size == other.shape[axis]:
                continue
            if keras.backend.is_int_dtype(old.dtype):
                raise ValueError(
                    "`model` must not be quantized: a mean of integers is "
                    "meaningless. Match it first, then call `quantize`. "
                    f"Received: {layer.name}.dtype_policy="
                    f"{layer.dtype_policy.name}"
                )
            value = _matched(value, axis, rows)
        weights.append(value)
    return weights


def _matched(value: np.ndarray, axis: int, rows: np.ndarray) -> np.ndarray:
    mean = value.mean(axis=axis, keepdims=True, dtype="float64")
    extended = np.concatenate([value, mean.astype(value.dtype)], axis=axis)
    return extended.take(rows, axis=axis)  # -1 is the mean
