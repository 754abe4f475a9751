"""Language models, and the encoders that classifiers take from them."""

from typing import Any

import keras

from keras_fast._checks import between, whole
from keras_fast.layers import (
    ActivationRegularization,
    Bias,
    Embedding,
    WeightDropLSTM,
)

__all__ = ["is_language_model", "language_model", "text_encoder"]

# fastai's rates, for `dropout=1`.
LANGUAGE_MODEL = {
    "embedding": 0.02,
    "input": 0.25,
    "weight": 0.2,
    "hidden": 0.15,
    "output": 0.1,
}
CLASSIFIER = {"embedding": 0.05, "input": 0.4, "weight": 0.5, "hidden": 0.3}


def language_model(
    vocabulary_size: int,
    *,
    embedding_size: int = 400,
    units: int = 1152,
    num_layers: int = 3,
    dropout: float = 1.0,
    tie_weights: bool = True,
) -> keras.Model:
    """An AWD-LSTM that predicts the next token at each place of a text.

    Train it on running text with `keras_fast.data.TextStream`. Then use it in
    a classifier: `text_encoder(language_model)` returns all of it except the
    decoder. `layer_groups(language_model)` has a group for each LSTM, and one
    for embedding and decoder, which share their weights.

    The defaults are fastai's and made for a GPU. On a CPU use a tenth:
    `language_model(8000, embedding_size=128, units=256, num_layers=2)`. The
    decoder then takes most of a training step, and its cost grows with the
    vocabulary.

    Windows are independent of each other: no state is carried from batch to
    batch. The training loss includes the penalties of
    `keras_fast.layers.ActivationRegularization`, that of `evaluate()` does
    not.

    Args:
        vocabulary_size: Number of tokens, the largest id plus 1.
        embedding_size: Length of a token's vector, and of the outputs of the
            last LSTM.
        units: Units of the other LSTMs.
        num_layers: Number of LSTMs.
        dropout: Factor of fastai's five rates: 0.02 of the words, 0.25 after
            the embedding, 0.2 of the recurrent weights, 0.15 between LSTMs and
            0.1 before the decoder. 0 for none.
        tie_weights: Whether the decoder's weights are the embedding's.

    Returns:
        An uncompiled model, from ids (batch, length) to logits
        (batch, length, vocabulary_size). Compile it with
        `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, and
        with `keras.optimizers.Adam(epsilon=1e-8)`: a mean over many tokens
        has gradients so small that Keras's default of 1e-7 matters. The
        logits are float32 also under mixed precision.

    Raises:
        ValueError: A size is below 1, or a rate would be 1 or more.
        TypeError: A size is not a whole number.

    Examples:
        >>> from keras_fast import data, models
        >>> texts = [[2, 3, 4, 5, 6, 7, 8, 9, 2, 3]]
        >>> lm = models.language_model(
        ...     10, embedding_size=8, units=16, num_layers=2
        ... )
        >>> lm.compile(
        ...     "adam",
        ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ... )
        >>> stream = data.TextStream(texts, batch_size=2, length=4, seed=0)
        >>> history = lm.fit(stream, verbose=0)
        >>> lm.output_shape
        (None, None, 10)

    Reference:

    - [Merity et al., 2017](https://arxiv.org/abs/1708.02182)
    - fastai 2.8, `AWD_LSTM`
    """
    rates = _rates(LANGUAGE_MODEL, dropout)
    size = whole("vocabulary_size", vocabulary_size, 2)
    widths = [whole("units", units)] * (whole("num_layers", num_layers) - 1)
    widths.append(whole("embedding_size", embedding_size))
    embedding = _embedding(size, widths[-1], rates)
    ids, raw = _lstms(embedding, widths, rates)
    x = keras.layers.SpatialDropout1D(rates["output"], name="output_dropout")(
        raw
    )
    x = ActivationRegularization(name="regularization")([raw, x])
    if tie_weights:
        x = embedding(x, reverse=True)
    else:
        x = keras.layers.Dense(size, use_bias=False, name="decoder")(x)
    logits = Bias(name="scores", dtype="float32")(x)
    return keras.Model(ids, logits, name="language_model")


def text_encoder(
    language_model: keras.Model, *, dropout: float = 0.5
) -> keras.Model:
    """The part of a language model that `text_classifier` builds on.

    It has copies of the embedding and the LSTMs: training the classifier does
    not change the language model.

    Args:
        language_model: A model made by `keras_fast.models.language_model`,
            trained.
        dropout: Factor of fastai's rates for classifiers: 0.05 of the words,
            0.4 after the embedding, 0.5 of the recurrent weights and 0.3
            between LSTMs. 0 for none.

    Returns:
        An uncompiled model, from ids (batch, length) to vectors
        (batch, length, embedding_size).

    Raises:
        ValueError: The model is not a language model or is quantized, or a
            rate would be 1 or more.

    Examples:
        >>> from keras_fast import models
        >>> lm = models.language_model(
        ...     10, embedding_size=8, units=16, num_layers=2
        ... )
        >>> models.text_encoder(lm).output_shape
        (None, None, 8)

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    """
    rates = _rates(CLASSIFIER, dropout)
    learned, *lstms = _parts_of(language_model)
    embedding = _embedding(learned.input_dim, learned.output_dim, rates)
    ids, outputs = _lstms(embedding, [each.units for each in lstms], rates)
    encoder = keras.Model(ids, outputs, name="text_encoder")
    for old, new in zip((learned, *lstms), _parts_of(encoder), strict=True):
        new.set_weights(_learned(old))
    return encoder


def is_language_model(model: Any) -> bool:
    """Whether it is such a model, and ends in a score for each word."""
    layers = getattr(model, "layers", [])
    lstms = any(isinstance(layer, WeightDropLSTM) for layer in layers)
    return lstms and isinstance(layers[-1], Bias)


def _learned(layer: Any) -> list[Any]:
    """The weights of an embedding or LSTM, with LoRA's changes merged."""
    if getattr(layer, "quantization_mode", None) is not None:
        raise ValueError(
            "`language_model` must not be quantized: its encoder is to learn. "
            "Take the encoder first, then call `quantize`. Received: "
            f"{layer.name}.dtype_policy={layer.dtype_policy.name}"
        )
    if getattr(layer, "lora_enabled", False):
        return [keras.ops.convert_to_numpy(layer.embeddings)]
    return layer.get_weights()


def _rates(rates: dict[str, float], dropout: float) -> dict[str, float]:
    highest = max(rates.values())
    dropout = between("dropout", dropout, 0, 1 / highest)
    if dropout * highest >= 1:
        raise ValueError(
            f"`dropout` must be below {1 / highest:g}: it is a factor of rates "
            f"of which the highest is {highest}. Pass 1 for fastai's. "
            f"Received: dropout={dropout!r}"
        )
    return {name: rate * dropout for name, rate in rates.items()}


def _embedding(size: int, width: int, rates: dict[str, float]) -> Embedding:
    return Embedding(
        size,
        width,
        embeddings_initializer=keras.initializers.RandomUniform(-0.1, 0.1),
        dropout=rates["embedding"],
        name="embedding",
    )


def _lstms(
    embedding: Embedding, widths: list[int], rates: dict[str, float]
) -> tuple[Any, Any]:
    """Ids, and the outputs of the last LSTM."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x, rate, before = embedding(ids), rates["input"], "embedding"
    for i, width in enumerate(widths, 1):
        x = keras.layers.SpatialDropout1D(rate, name=f"{before}_dropout")(x)
        rate, before = rates["hidden"], f"lstm_{i}"
        x = _lstm(width, rates["weight"], before)(x)
    return ids, x


def _lstm(units: int, weight_dropout: float, name: str) -> WeightDropLSTM:
    # PyTorch's initialization, and fastai's.
    kernel, recurrent, bias = (
        keras.initializers.RandomUniform(-(units**-0.5), units**-0.5)
        for _ in range(3)
    )
    return WeightDropLSTM(
        units,
        weight_dropout,
        return_sequences=True,
        kernel_initializer=kernel,
        recurrent_initializer=recurrent,
        bias_initializer=bias,
        unit_forget_bias=False,
        name=name,
    )


def _parts_of(model: keras.Model) -> list[Any]:
    """The embedding and the LSTMs."""
    layers = getattr(model, "layers", [])
    parts = [
        layer
        for layer in layers
        if isinstance(layer, Embedding | WeightDropLSTM)
    ]
    if len(parts) < 2 or not isinstance(parts[0], Embedding):
        raise ValueError(
            "`language_model` must be made by "
            "`keras_fast.models.language_model`. Make a classifier of any "
            "other encoder with `text_classifier(encoder, ...)`. Received: "
            f"language_model={getattr(model, 'name', model)!r}"
        )
    return parts
