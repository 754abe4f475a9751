"""Among how many tokens does a language model hesitate?"""

from typing import Any

import keras
from keras import ops

from keras_fast._checks import whole
from keras_fast._keras.layers import mask_of


@keras.saving.register_keras_serializable("keras_fast")
class Perplexity(keras.metrics.Metric):
    """`exp` of the mean cross-entropy of all tokens.

    Pass it to `compile()`. Each epoch's value appears in the progress bar, in
    `History` and in the results of `evaluate()`, as `perplexity` and
    `val_perplexity`; callbacks such as `EarlyStopping` can monitor it.

    It is exact: cross-entropies and tokens are summed over the epoch, and `exp`
    is applied to their quotient, however long the texts of a batch are. `exp`
    of the training loss would include penalties, such as those of
    `keras_fast.layers.ActivationRegularization`, and the mean of the
    perplexities of the batches would be too large. It is a metric rather than a
    callback because only metrics see the outputs, and because `evaluate()`
    reports metrics without being passed a callback.

    As with every metric, sample weights count only if it is passed as
    `weighted_metrics`. Tokens that the model masks do not count.

    Args:
        from_logits: Whether outputs are logits, as those of
            `keras_fast.models.language_model`, or probabilities. Outputs below
            0 can't be probabilities, and make it NaN.
        ignore_class: The id of tokens that do not count as labels, such as
            that of padding; None if all count.
        name: Name of the metric.
        dtype: Type of the sums; `keras.config.floatx()` if None, also under
            mixed precision.

    Raises:
        TypeError: `ignore_class` is not a whole number.
        ValueError: `ignore_class` is negative; the labels are not ids, one for
            each vector of outputs.

    Examples:
        >>> from keras_fast.metrics import Perplexity
        >>> metric = Perplexity()
        >>> metric.update_state([[0, 1]], [[[0.5, 0.5], [0.5, 0.5]]])
        >>> metric.update_state([[0]], [[[0.25, 0.75]]])
        >>> round(float(metric.result()), 3)  # (2 * 2 * 4) ** (1 / 3)
        2.52

        In training:

        >>> lm = keras_fast.models.language_model(
        ...     10, embedding_size=8, units=16, num_layers=2
        ... )
        >>> lm.compile(
        ...     "adam",
        ...     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ...     metrics=[Perplexity(from_logits=True)],
        ... )

    Reference:

    - fastai 2.8, `Perplexity`
    """

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        name: str = "perplexity",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.from_logits = from_logits
        if ignore_class is not None:
            ignore_class = whole("ignore_class", ignore_class, 0)
        self.ignore_class = ignore_class
        self._direction = "down"  # tells callbacks that lower is better
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Count one more batch.

        Args:
            y_true: Ids of the tokens, (batch, ...) or (batch, ..., 1).
            y_pred: Outputs, (batch, ..., num_tokens).
            sample_weight: Weights of texts, (batch,), or of tokens.
        """
        weights = [mask_of(y_pred), sample_weight]
        y_true, y_pred = (ops.convert_to_tensor(y) for y in (y_true, y_pred))
        if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
        _check(y_true, y_pred)
        if self.ignore_class is not None:
            counts = ops.not_equal(y_true, self.ignore_class)
            weights.append(counts)
            # The ignored id may be no class at all, such as 255 of 8.
            y_true = ops.where(counts, y_true, ops.zeros_like(y_true))
        losses: Any = ops.sparse_categorical_crossentropy(
            y_true, ops.cast(y_pred, self.dtype), from_logits=self.from_logits
        )
        # A label that isn't a class has no probability. JAX would give it 1.
        known = ops.logical_and(y_true >= 0, y_true < y_pred.shape[-1])
        if not self.from_logits:
            least: Any = ops.min(y_pred, axis=-1)
            known = ops.logical_and(known, least >= 0)
        losses = ops.where(known, losses, float("nan"))
        share: Any = ops.ones_like(losses)
        for weight in weights:
            if weight is not None:
                share = share * self._as_wide(weight, losses)
        # NaN in an ignored place must not count as a loss.
        losses = ops.where(share != 0, losses, 0)
        self.total.assign_add(ops.sum(losses * share))
        self.count.assign_add(ops.sum(share))

    def result(self) -> Any:
        """The perplexity so far; NaN before the first token."""
        return ops.exp(self.total / self.count)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }

    def _as_wide(self, weight: Any, losses: Any) -> Any:
        weight = ops.cast(weight, self.dtype)
        rank = len(losses.shape)
        if len(weight.shape) == rank + 1 and weight.shape[-1] == 1:
            weight = ops.squeeze(weight, -1)
        while len(weight.shape) < rank:
            weight = ops.expand_dims(weight, -1)
        return weight


def _check(y_true: Any, y_pred: Any) -> None:
    if len(y_true.shape) != len(y_pred.shape) - 1:
        raise ValueError(
            "`y_true` must be the ids of tokens, (batch, length), for outputs "
            "(batch, length, num_tokens). Pass ids, not one-hot vectors. "
            f"Received: y_true of shape {tuple(y_true.shape)}, y_pred of shape "
            f"{tuple(y_pred.shape)}"
        )
