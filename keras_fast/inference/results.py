"""What does the model predict for some images, next to the truth?"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_fast._checks import compiled, whole
from keras_fast.inference._compiled_loss import compiled_loss
from keras_fast.inference._meaning import Evidence
from keras_fast.inference._predictions import predictions
from keras_fast.plots.images import one_image_each, plot_images
from keras_fast.plots.labels import class_name, names_of
from keras_fast.plots.targets import kind_of, plot_targets

__all__ = ["show_results"]


def show_results(
    model: keras.Model,
    x: Any,
    y: Any = None,
    *,
    n: int = 6,
    class_names: Sequence[str] | None = None,
    batch_size: int | None = None,
) -> np.ndarray:
    """Draw the first images of the data with the model's predictions.

    The drawing depends on the type of the targets, which is inferred as in
    `data.show_batch`. Classes, several labels and numbers are written above
    each image, the prediction above the actual value. Masks and points are
    drawn over the image, once as they are and once as predicted. Images are
    drawn beside the input: target and output.

    Args:
        model: A compiled model with one output. Nothing in it changes.
        x: Data, as accepted by `fit()`; if there are several inputs, one must
            be images.
        y: Labels, as in `fit()`.
        n: How many; all if there are fewer.
        class_names: Names of the classes; by default `x.class_names`, if any.
        batch_size: Batch size for arrays; `n` if None.

    Returns:
        The matplotlib `Axes`: (n,) for classes and numbers, (n, 2) for masks
        and points, (n, 3) for images.

    Raises:
        ValueError: The model is not compiled, or there are no labels or no
            images in the data.

    Examples:
        >>> classifier = keras.Sequential(
        ...     [
        ...         keras.Input((8, 8, 3)),
        ...         keras.layers.Flatten(),
        ...         keras.layers.Dense(2, "softmax"),
        ...     ]
        ... )
        >>> classifier.compile(loss="sparse_categorical_crossentropy")
        >>> images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3))
        >>> axes = keras_fast.inference.show_results(
        ...     classifier, images, np.array([0, 1, 1, 0])
        ... )
        >>> axes[0].get_title().splitlines()[1]
        'actual: 0'

    Reference:

    - fastai 2.8, `Learner.show_results`
    """
    known = Evidence(model, compiled_loss(compiled(model)))
    whole("n", n)
    names = names_of(x, class_names)
    rows: list[tuple] = []
    given = predictions(model, x, y, batch_size=batch_size or n, steps=n)
    for inputs, labels, outputs, _ in given:
        known.see(labels, outputs)
        rows.extend(zip(one_image_each(inputs), labels, outputs, strict=True))
        if len(rows) >= n:
            break
    images, labels, outputs = map(np.stack, zip(*rows[:n], strict=True))
    predicted = known.meaning().predicted(outputs)
    if predicted is None:
        predicted = outputs
    kind = kind_of(labels)
    if kind == "label":
        pairs = zip(predicted, labels, strict=True)
        return plot_images(images, [_title(*pair, names) for pair in pairs])
    columns = {"actual": labels, "predicted": predicted}
    if kind == "image":
        columns = {"input": None, "target": labels, "output": outputs}
    return plot_targets(images, columns, class_names=names)


def _title(predicted: Any, actual: Any, names: Sequence[str] | None) -> str:
    return (
        f"predicted: {class_name(predicted, names)}\n"
        f"actual: {class_name(actual, names)}"
    )
