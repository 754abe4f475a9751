"""A pretrained language network with a head for classes."""

from typing import Any

import keras
from keras import ops

from keras_fast._checks import share, shown, whole
from keras_fast.layers import ConcatPooling
from keras_fast.models._checks import check_activation
from keras_fast.models.text.awd_lstm import is_language_model

__all__ = ["text_classifier"]


def text_classifier(
    encoder: keras.Model,
    num_classes: int,
    *,
    head_units: int | None = None,
    dropout: float = 0.2,
    activation: str | None = "softmax",
    pad: int = 0,
) -> keras.Model:
    """A text classifier on a pretrained encoder.

    It takes ids padded on the right, as `keras_fast.data.TextBatches` makes
    them, of any length. Its head is linear: the last, the maximum and the
    mean of the encoder's outputs, without the padding, then batch
    normalization, dropout and a dense layer. With `head_units=50` it is
    fastai's, with a hidden layer; with few labels the linear head was better
    in the benchmarks. The head is the last group of `layer_groups(model)`; with
    `keras_fast.models.text_encoder` the others are the embedding and each
    LSTM. Everything before the head starts frozen; `gradual_unfreeze`
    unfreezes one group after another, and `unfreeze(model)` all of them.

    Args:
        encoder: A model from ids (batch, length) to vectors (batch, length,
            features). Or one of KerasHub's, such as a `BertBackbone`, which
            takes a dict of `token_ids`, `padding_mask` and `segment_ids`, or
            some of them: the classifier computes these from the ids. An
            encoder that looks ahead, with bidirectional, convolutional or
            attention layers, needs a mask too, such as `mask_zero=True` in its
            embedding: otherwise it takes padding for text. Its layers are
            shared, not copied.
        num_classes: Number of classes.
        head_units: Units of the hidden layer; None for a linear head.
        dropout: Share of the pooled features to drop; with a hidden layer half
            of it before the last layer too.
        activation: "softmax" for one class per text, "sigmoid" for any number
            of classes, None for logits.
        pad: The id of padding.

    Returns:
        An uncompiled model. Its output is float32 also under mixed precision.

    Raises:
        ValueError: An argument is out of range, or the encoder does not map
            ids to a sequence of vectors.
        TypeError: The encoder is not a model, or a size is not a whole number.

    Examples:
        >>> from keras_fast import models
        >>> lm = models.language_model(
        ...     10, embedding_size=8, units=16, num_layers=2
        ... )
        >>> classifier = models.text_classifier(models.text_encoder(lm), 3)
        >>> classifier.output_shape
        (None, 3)
        >>> [len(group) for group in keras_fast.layer_groups(classifier)]
        [1, 1, 1, 2]

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    - fastai 2.8, `text_classifier_learner`
    """
    check_activation(num_classes, activation)
    if is_language_model(encoder):
        raise ValueError(
            "`encoder` must give vectors, not the scores of words. Pass "
            "`text_encoder(language_model)`. "
            f"Received: encoder={encoder.name}"
        )
    units = None if head_units is None else whole("head_units", head_units)
    rate = share("dropout", dropout, 0.2)
    ids = keras.Input((None,), dtype="int32", name="ids")
    pooling = ConcatPooling(whole("pad", pad, 0), name="pooling")
    encoder = _with_sequences(encoder)
    x = pooling([_sequence(encoder, ids, pad), ids])
    encoder.trainable = False
    if units is not None:
        x = _dropped(x, rate, "hidden")
        x = keras.layers.Dense(units, "relu", name="hidden")(x)
        rate /= 2
    x = _dropped(x, rate, "scores")
    scores = keras.layers.Dense(
        num_classes, activation, name="scores", dtype="float32"
    )(x)
    return keras.Model(ids, scores, name="text_classifier")


def _with_sequences(encoder: Any) -> Any:
    """The encoder without its pooled output, whose weights would not train."""
    if not isinstance(encoder, keras.layers.Layer):
        raise TypeError(
            "`encoder` must be a Keras model. Pass the model. "
            f"Received: encoder={shown(encoder)}"
        )
    outputs: Any = getattr(encoder, "output", None)
    if not isinstance(outputs, dict) or "sequence_output" not in outputs:
        return encoder
    sequences = outputs["sequence_output"]
    return keras.Model(encoder.input, sequences, name=encoder.name)


def _sequence(encoder: keras.Model, ids: Any, pad: int) -> Any:
    """The encoder's vector for each token."""
    inputs = getattr(encoder, "input", None)
    if isinstance(inputs, dict):
        known = {
            "token_ids": ids,
            "padding_mask": ops.not_equal(ids, pad),
            "segment_ids": ops.zeros_like(ids),
        }
        given: Any = {name: known.get(name) for name in inputs}
    else:
        given = ids
    if not isinstance(given, dict) or None not in given.values():
        outputs = encoder(given)
        if len(getattr(outputs, "shape", ())) == 3:
            return outputs
    raise ValueError(
        "`encoder` must map ids (batch, length) to vectors (batch, length, "
        "features). Pass `text_encoder(language_model)`, a backbone of "
        "KerasHub, or a model that returns sequences. Received: "
        f"encoder={encoder.name} from {inputs} to "
        f"{getattr(encoder, 'output', None)}"
    )


def _dropped(x: Any, rate: float, name: str) -> Any:
    # Keras's own momentum, 0.99, is too slow for a few epochs.
    x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
    return keras.layers.Dropout(rate, name=f"{name}_dropout")(x)
