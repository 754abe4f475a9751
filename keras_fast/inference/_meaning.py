"""What do the model's outputs mean, judged by its end and its loss?"""

from dataclasses import dataclass

import keras
import numpy as np

from keras_fast.inference._compiled_loss import (
    classes_axis,
    compiled_loss,
    is_binary,
    losses,
    takes_logits,
)
from keras_fast.transfer.ends import LINKS, end

__all__ = ["Evidence", "Meaning", "meaning_of_tokens"]

# float16 outputs may be off by this.
ROUNDING = 1e-2


@dataclass(frozen=True)
class Meaning:
    """The meaning of outputs.

    Args:
        link: `"softmax"` if a sample has one class, `"sigmoid"` if each class
            is independent. None for numbers that are not probabilities.
        logits: Whether the link is still to be applied to the outputs.
        logs: Whether they are logarithms of the link's results.
    """

    link: str | None
    logits: bool = False
    logs: bool = False

    def scores(self, outputs: np.ndarray) -> np.ndarray:
        """Numbers whose softmax gives the probabilities, for that link."""
        if self.logits or self.logs:
            return outputs
        with np.errstate(divide="ignore"):  # a probability of 0
            return np.log(outputs)

    def probabilities(self, outputs: np.ndarray) -> np.ndarray | None:
        """Probability of each class, (..., classes): two for one output."""
        if self.link is None:
            return None
        if self.logs:
            outputs = np.exp(outputs)
        elif self.logits:
            outputs = LINKS[self.link](outputs)
        if outputs.shape[-1] == 1:
            return np.concatenate([1 - outputs, outputs], axis=-1)
        if self.link == "softmax":
            # The losses normalize outputs that don't sum to 1 as well.
            sums = outputs.sum(axis=-1, keepdims=True)
            outputs = outputs / np.where(sums > 0, sums, 1)
        return outputs

    def predicted(self, outputs: np.ndarray) -> np.ndarray | None:
        """The class of each sample, or which classes it has."""
        shares = self.probabilities(outputs)
        if shares is None:
            return None
        if self.link == "sigmoid" and outputs.shape[-1] > 1:
            return shares >= 0.5
        return shares.argmax(axis=-1)


class Evidence:
    """Evidence of the outputs' meaning: end, loss, and outputs seen so far."""

    def __init__(self, model: keras.Model, loss: keras.losses.Loss) -> None:
        found = end(model)
        self.end = found.link if found else None
        self.logs = found is not None and found.logs
        self.loss = loss
        self.logits = takes_logits(loss)
        self.range = (np.inf, -np.inf)
        self.sums_to_one = True
        self.powers_sum_to_one = True
        self.labels_are_flags = True
        self.tested: tuple[bool | None, str | None] | None = None

    def see(self, labels: np.ndarray, outputs: np.ndarray) -> None:
        """Add one more batch."""
        axis = classes_axis(self.loss)
        if axis not in (-1, outputs.ndim - 1):
            raise ValueError(
                "The last axis of outputs must be that of the classes. End "
                "the model with `keras.layers.Permute`, and leave `axis` out "
                f"of its loss. Received: axis={axis} in the loss"
            )
        finite = outputs[np.isfinite(outputs)]
        low, high = self.range
        self.range = (finite.min(initial=low), finite.max(initial=high))
        self.sums_to_one &= _sum_to_one(outputs)
        # Numbers above 0 can't be logarithms of probabilities.
        self.powers_sum_to_one &= _sum_to_one(np.exp(np.minimum(outputs, 1)))
        self.labels_are_flags &= bool(np.isin(labels, (0, 1)).all())
        self.size = outputs.shape[-1]
        self.sparse = self.size > 1 and labels.shape != outputs.shape
        if self.tested is None and self._is_to_be_tested():
            shape = (1,) * (outputs.ndim - 1) + (self.size,)
            self.tested = tested(self.loss, shape, self.sparse)

    def _is_to_be_tested(self) -> bool:
        if self.logits is None:
            classes = self.sparse or self.labels_are_flags
            return self.end is None and classes
        # Logits of several classes need a link: which one?
        return self.logits and self.size > 1 and is_binary(self.loss) is None

    def meaning(self) -> Meaning:
        """The meaning, judged by all evidence so far.

        Raises:
            ValueError: The model's end, its outputs and its loss contradict
                each other.
        """
        logits, link = self.tested or (None, None)
        if self.logits is not None:
            logits = self.logits
        self._check(logits)
        if logits is None and self.end is None:
            logs = self.powers_sum_to_one
            proportions = self.size > 1 and (self.sums_to_one or logs)
            return Meaning("softmax" if proportions else None, logs=logs)
        if self.end == "sigmoid" and logits is None and self._is_regression():
            return Meaning(None)
        return Meaning(link or self._link(), bool(logits), self.logs)

    def _is_regression(self) -> bool:
        # Regression to a range: boxes, or the pixels of an image.
        return not self.sparse and not self.labels_are_flags

    def _link(self) -> str:
        if self.size == 1:
            return "sigmoid"
        if self.end == "softmax":
            return "softmax"
        binary = is_binary(self.loss)
        if binary is None and self.logits:
            raise ValueError(
                "The loss of `model` must tell whether a sample is of one "
                "class or of several. End the model in a softmax or sigmoid, "
                "or use a loss of Keras. Received: "
                f"loss={self.loss.name!r} with from_logits=True"
            )
        if binary is None:
            binary = not self.sparse and not self.sums_to_one
        return "sigmoid" if binary else "softmax"

    def _check(self, logits: bool | None) -> None:
        if self.end == "softmax" and self.size == 1:
            raise ValueError(
                "`model` must end in a sigmoid if it has one output: a "
                "softmax of one number is always 1. Use "
                "`activation='sigmoid'`, or two outputs. "
                "Received: 1 output after a softmax"
            )
        name = f"log_{self.end}" if self.logs else self.end
        # Logarithms of probabilities are scores with these probabilities.
        scores = (
            self.logs and self.end == "softmax" and not is_binary(self.loss)
        )
        if self.end and logits and not scores:
            raise ValueError(
                "The loss of `model` must take what the model returns. "
                f"Compile it without `from_logits=True`, or leave out the "
                f"{name} at its end. Received: loss={self.loss.name!r} "
                f"with from_logits=True after a {name}"
            )
        low, high = self.range
        outside = low < -ROUNDING or high > 1 + ROUNDING
        if logits is False and (self.logs or outside):
            raise ValueError(
                "The outputs of `model` must be probabilities for its loss. "
                "Compile it with `from_logits=True`, or end it in a softmax "
                f"or sigmoid. Received: loss={self.loss.name!r} and outputs "
                f"from {low:.3g} to {high:.3g}"
            )


def meaning_of_tokens(model: keras.Model, outputs: np.ndarray) -> Meaning:
    """The meaning of a language model's outputs, compiled or not.

    Args:
        model: Its end and its loss decide, as for a classifier. Outputs of a
            model with neither are logits, unless they are probabilities.
        outputs: Some of them, (batch, tokens).
    """
    if model.compiled and model.loss is not None:
        known = Evidence(model, compiled_loss(model))
        known.see(np.zeros((len(outputs), 1)), outputs[:, None])
        return known.meaning()
    if found := end(model):
        return Meaning(found.link, logs=found.logs)
    logits = outputs.min() < 0 or not _sum_to_one(outputs)
    return Meaning("softmax", logits=bool(logits))


def _sum_to_one(outputs: np.ndarray) -> bool:
    sums = outputs.sum(axis=-1)
    return bool((np.abs(sums[np.isfinite(sums)] - 1) <= ROUNDING).all())


def tested(
    loss: keras.losses.Loss, shape: tuple[int, ...], sparse: bool
) -> tuple[bool | None, str | None]:
    """What a loss takes, judged by its values for outputs of one sample.

    Args:
        loss: A loss that does not declare it.
        shape: Shape of the outputs, (1, ..., classes).
        sparse: Whether labels are integers.

    Returns:
        True for logits, False for probabilities, None for neither; and the
        link that belongs to logits.
    """
    size = shape[-1]
    sides = np.ones((2, *shape)) if size == 1 else np.zeros((2, *shape))
    sides[0, ..., 0] = 0 if size == 1 else 1
    sides[1, ..., -1] = 1

    def each(outputs: np.ndarray) -> np.ndarray:
        """The losses of a sample of the first class and of one of the last."""
        labels = sides.argmax(axis=-1) if sparse else sides
        pairs = zip(labels, outputs, strict=True)
        return np.array([losses(loss, *pair).mean() for pair in pairs])

    towards, alike = 2 * sides - 1, np.ones_like(sides)
    try:
        # Scores are unbounded: the surer they are, the smaller the loss.
        steps = [each(sure * towards) for sure in (-4, -2, 0, 2, 4)]
        gains = -np.diff(steps, axis=0)
        # But the gain shrinks with certainty. For logarithms of probabilities,
        # or any input that a loss is linear in, it is the same everywhere.
        if (gains > 0).all() and (gains[-1] < gains[0] / 2).all():
            shifted = np.allclose(each(towards + 1), each(towards))
            exclusive = size > 1 and shifted
            return True, "softmax" if exclusive else "sigmoid"
        # Probabilities are bounded: values beyond are clipped, or NaN.
        near, sure = (each(0.5 + share * towards) for share in (0.2, 0.4))
        clipped = all(
            np.allclose(
                each(0.5 + 2.5 * sign * side),
                each(0.5 + 3.5 * sign * side),
                equal_nan=True,
            )
            for side in (towards, alike)
            for sign in (-1, 1)
        )
    except Exception:  # a custom loss, made for other shapes
        return None, None
    return (False if clipped and (sure < near).all() else None), None
