"""Which samples does the model get most wrong?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_fast._checks import compiled, function, whole
from keras_fast.inference._compiled_loss import compiled_loss, sample_losses
from keras_fast.inference._meaning import Evidence, Meaning
from keras_fast.inference._predictions import predictions
from keras_fast.plots.images import one_image_each, plot_images
from keras_fast.plots.labels import class_name, names_of
from keras_fast.plots.table import as_html
from keras_fast.plots.texts import plot_texts

__all__ = ["TopLosses", "top_losses"]


@dataclass(frozen=True, eq=False, repr=False)
class TopLosses:
    """The samples of the largest or smallest losses, in that order.

    Args:
        indices: Which samples of the pass over the data, (k,) int64.
        losses: Their losses, (k,) float64.
        inputs: Their inputs, arrays (k, ...) in the structure of the data.
            Texts of several widths are padded on the right.
        labels: Their labels as the data has them, (k, ...).
        outputs: The model's outputs, (k, ...) float64.
        probabilities: Probability of each class, (k, ..., classes) float64;
            two columns if the model has one output for two classes. Logits
            have passed through the softmax or sigmoid that the loss implies.
            None if the model is not a classifier.
        predicted: The most probable class, (k, ...) int64; for independent
            classes, as with several sigmoids, whether each is present,
            (k, classes) bool. None if the model is not a classifier.
        class_names: Names of the classes, or None.
        texts: Their texts, k strings; None if there are none.

    Examples:
        >>> worst = keras_fast.inference.top_losses(model, x, y, k=3)
        >>> worst.losses.shape, worst.inputs.shape
        ((3,), (3, 4))
    """

    indices: np.ndarray
    losses: np.ndarray
    inputs: Any
    labels: np.ndarray
    outputs: np.ndarray
    probabilities: np.ndarray | None
    predicted: np.ndarray | None
    class_names: list[str] | None
    texts: list[str] | None = None

    def __repr__(self) -> str:
        losses = ", ".join(f"{loss:.3g}" for loss in self.losses[:3])
        rest = ", ..." if len(self.losses) > 3 else ""
        return f"TopLosses({len(self.losses)} samples, losses {losses}{rest})"

    def _repr_html_(self) -> str:
        return as_html([self._row(i) for i in range(len(self.losses))])

    def plot(self) -> Any:
        """Draw the images or texts and return the matplotlib `Axes`, (k,).

        Above each: the predicted class and its probability, the true class
        and the loss.
        """
        titles = [self._title(i) for i in range(len(self.losses))]
        if self.texts is not None:
            words = [text.split() for text in self.texts]
            return plot_texts(words, [t.replace("\n", ", ") for t in titles])
        if getattr(self.inputs, "ndim", 0) == 2:
            raise ValueError(
                "The inputs must be images or texts to be drawn. Pass `decode` "
                "to `top_losses`, which makes strings of ids. Received: inputs "
                f"of shape {self.inputs.shape}"
            )
        return plot_images(one_image_each(self.inputs), titles)

    def _row(self, i: int) -> dict[str, Any]:
        if self.predicted is None:
            name = class_name(self.outputs[i], None)
        else:
            name = class_name(self.predicted[i], self.class_names)
            if self.predicted.ndim == 1 and self.probabilities is not None:
                name += f" ({self.probabilities[i].max():.0%})"
        row = {
            "index": self.indices[i],
            "predicted": name,
            "actual": class_name(self.labels[i], self.class_names),
            "loss": f"{self.losses[i]:.3g}",
        }
        return row if self.texts is None else {**row, "text": self.texts[i]}

    def _title(self, i: int) -> str:
        row = self._row(i)
        names = ("predicted", "actual", "loss")
        return "\n".join(f"{name}: {row[name]}" for name in names)


def top_losses(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    k: int = 9,
    largest: bool = True,
    class_names: Sequence[str] | None = None,
    decode: Callable[[Any], str] | None = None,
    batch_size: int | None = None,
    steps: int | None = None,
    verbose: int | str = 0,
) -> TopLosses:
    """Find the samples with the largest losses, and the model's outputs.

    The loss is the one that the model is compiled with, for each sample by
    itself: the mean over the places that count, without those that the model
    masks or the loss ignores. Neither weights nor penalties of layers count.
    Inputs, labels and outputs come from one pass over the data, so they match
    even if the data is shuffled or augmented. No more than `k` samples and one
    batch are kept in memory.

    Args:
        model: A compiled model with one output. Nothing in it changes.
        x: Data, as accepted by `fit()`.
        y: Labels, as in `fit()`.
        k: How many samples; all if there are fewer.
        largest: Whether to find the largest losses or the smallest. NaN counts
            as the largest. Of equal losses the first comes first.
        class_names: Names of the classes, for the plot; by default
            `x.class_names`, if any.
        decode: For texts, a function from the ids of a text to a string, such
            as that of your tokenizer. Padding at the end is left out. The plot
            then shows the texts.
        batch_size: As in `predict()`.
        steps: Number of batches; all if None.
        verbose: `"auto"` or 1 shows a progress bar, as in `predict()`.

    Returns:
        A `TopLosses`.

    Raises:
        ValueError: The model is not compiled, has several outputs or losses,
            or its loss misinterprets its outputs, such as logits as
            probabilities; or there are no labels, no data, or the data never
            ends.

    Examples:
        >>> worst = keras_fast.inference.top_losses(model, x, y, k=3)
        >>> bool(worst.losses[0] >= worst.losses[1] >= worst.losses[2])
        True

    Reference:

    - fastai 2.8, `Interpretation.top_losses`
    """
    loss = compiled_loss(compiled(model))
    k = whole("k", k)
    if decode is not None:
        function("decode", decode)
    known = Evidence(model, loss)
    samples: list[tuple] = []  # place, index, loss, arrays
    seen = 0
    how = {"batch_size": batch_size, "steps": steps, "verbose": verbose}
    for inputs, labels, outputs, mask in predictions(model, x, y, **how):
        known.see(labels, outputs)
        losses = sample_losses(loss, labels, outputs, mask)
        batch = (inputs, labels, outputs)
        sizes = np.nan_to_num(losses, nan=np.inf)  # makes inf finite
        places = -sizes if largest else sizes
        for i in np.argsort(places, kind="stable")[:k]:
            arrays = keras.tree.map_structure(lambda a, i=i: a[i].copy(), batch)
            samples.append((places[i], seen + i, losses[i], arrays))
        samples = sorted(samples, key=lambda sample: sample[:2])[:k]
        seen += len(losses)
    result = _result(known.meaning(), samples, x, class_names)
    if decode is None:
        return result
    rows = (_without_padding(sample[3][0], _pad_of(x)) for sample in samples)
    return replace(result, texts=[str(decode(row)) for row in rows])


def _result(
    meaning: Meaning, samples: list[tuple], x: Any, class_names: Any
) -> TopLosses:
    _, indices, losses, arrays = zip(*samples, strict=True)
    all_inputs, labels, outputs = zip(*arrays, strict=True)
    inputs = keras.tree.map_structure(
        lambda *values: _stacked(values, _pad_of(x)), *all_inputs
    )
    outputs = np.stack(outputs)
    return TopLosses(
        np.array(indices),
        np.array(losses),
        inputs,
        np.stack(labels),
        outputs,
        meaning.probabilities(outputs),
        meaning.predicted(outputs),
        names_of(x, class_names),
    )


def _pad_of(x: Any) -> int:
    """The id of padding of `TextBatches`, and of most other texts."""
    return getattr(x, "pad", 0)


def _stacked(values: Sequence[np.ndarray], pad: int) -> np.ndarray:
    """One array; texts of several widths are padded to the widest."""
    widths = {value.shape for value in values}
    if len(widths) > 1 and all(value.ndim == 1 for value in values):
        [widest] = max(widths)
        values = [
            np.pad(v, (0, widest - len(v)), constant_values=pad) for v in values
        ]
    return np.stack(values)


def _without_padding(inputs: Any, pad: int) -> Any:
    if not isinstance(inputs, np.ndarray) or inputs.ndim != 1:
        return inputs
    real = np.flatnonzero(inputs != pad)
    return inputs[: real[-1] + 1 if len(real) else 0]
