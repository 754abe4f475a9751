"""One vector from the outputs of a sequence, whatever its padding."""

from typing import Any

import keras
from keras import ops

from keras_fast._checks import whole


@keras.saving.register_keras_serializable("keras_fast")
class ConcatPooling(keras.layers.Layer):
    """Last, maximum and mean over time, concatenated, without the padding.

    fast.ai's text classifier has it between encoder and head. Call it on the
    outputs of an encoder and the ids of its texts, to leave out timesteps
    whose id is `pad`. An encoder that reads from left to right then needs no
    mask, which would cost LSTMs cuDNN, and predictions don't depend on padding
    on the right. An encoder that looks ahead, such as a bidirectional LSTM,
    does need a mask. Keras's own masks and a `mask` work too; a timestep counts
    if no mask excludes it.
    An empty text, all padding, gives zeros.

    Args:
        pad: The id of padding.
        **kwargs: Arguments of every layer, such as `name` and `dtype`.

    Call arguments:
        inputs: A list `[outputs, ids]` of tensors (batch, timesteps, features)
            and (batch, timesteps); or outputs alone.
        mask: Boolean tensor (batch, timesteps), False at padding.

    Output shape:
        (batch, 3 * features)

    Raises:
        ValueError: `pad` is negative; outputs or ids have the wrong rank, or
            their lengths differ.
        TypeError: `pad` is not a whole number.

    Examples:
        >>> ids = keras.Input((None,), dtype="int32")
        >>> x = keras_fast.layers.Embedding(1000, 16)(ids)
        >>> x = keras.layers.LSTM(8, return_sequences=True)(x)
        >>> x = keras_fast.layers.ConcatPooling()([x, ids])
        >>> classifier = keras.Model(ids, keras.layers.Dense(2)(x))
        >>> x.shape
        (None, 24)

    Reference:

    - [Howard and Ruder, 2018](https://arxiv.org/abs/1801.06146)
    """

    def __init__(self, pad: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pad = whole("pad", pad, 0)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        shapes = _shapes(input_shape)
        if [len(shape) for shape in shapes] not in ([3], [3, 2]):
            raise ValueError(
                "The input must be outputs (batch, timesteps, features), or "
                "[outputs, ids] with ids (batch, timesteps). Have LSTMs return "
                f"sequences. Received: shapes={shapes}"
            )

    def _check_lengths(self, outputs: Any, ids: Any) -> None:
        lengths = outputs.shape[1], ids.shape[1]
        if None not in lengths and lengths[0] != lengths[1]:
            raise ValueError(
                "The outputs must have a timestep for each id. Take out what "
                "shortens the sequence, such as strides, or pool the outputs "
                f"alone. Received: {lengths[0]} timesteps of {lengths[1]} ids"
            )

    def call(self, inputs: Any, mask: Any = None) -> Any:
        if isinstance(inputs, list | tuple):
            outputs, ids = inputs
            self._check_lengths(outputs, ids)
            masks = mask if isinstance(mask, list | tuple) else [mask]
            masks = [*masks, ops.not_equal(ids, self.pad)]
        else:
            outputs, masks = inputs, [mask]
        real = ops.ones(ops.shape(outputs)[:2], "bool")
        for each in masks:
            if each is not None:
                real = ops.logical_and(real, ops.cast(each, "bool"))
        pooled = _pooled(outputs, ops.expand_dims(real, -1))
        return ops.concatenate(pooled, axis=-1)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, _, features = _shapes(input_shape)[0]
        return batch, None if features is None else 3 * features

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pad": self.pad}


def _shapes(shape: Any) -> list[tuple[int | None, ...]]:
    nested = shape and isinstance(shape[0], list | tuple)
    return [tuple(each) for each in (shape if nested else [shape])]


def _pooled(outputs: Any, real: Any) -> list[Any]:
    """Last, maximum and mean; `real` is (batch, timesteps, 1)."""
    shape: Any = ops.shape(outputs)
    places = ops.where(real, ops.arange(1, shape[1] + 1)[:, None], 0)
    # A sum with one term, or with none if no timestep is real.
    at_last = ops.logical_and(
        real, ops.equal(places, ops.max(places, axis=1, keepdims=True))
    )
    last = ops.sum(ops.where(at_last, outputs, 0), axis=1)
    count: Any = ops.sum(ops.cast(real, "float32"), axis=1)
    highest = ops.max(ops.where(real, outputs, -float("inf")), axis=1)
    highest = ops.where(count > 0, highest, 0)
    # float16 has too few digits for a long sum.
    total: Any = ops.sum(
        ops.cast(ops.where(real, outputs, 0), "float32"), axis=1
    )
    mean = ops.cast(total / ops.maximum(count, 1), outputs.dtype)
    return [last, highest, mean]
