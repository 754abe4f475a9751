"""How do the images that the model is given look?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_fast._checks import whole
from keras_fast._keras.batches import batches
from keras_fast.plots.images import one_image_each, plot_images
from keras_fast.plots.labels import class_name, names_of

__all__ = ["show_batch"]


def show_batch(
    x: Any,
    y: Any = None,
    *,
    n: int = 9,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Draw the first images of the data, with their labels.

    They are drawn as they come: after what the data does to them, and before
    what the model does. Of a generator, the batches drawn are gone.

    Args:
        x: Data, whatever `fit()` takes; among several inputs one has to be
            images.
        y: Labels, as in `fit()`.
        n: How many; all if there are fewer.
        class_names: Names of the classes; `x.class_names` if there are such.

    Returns:
        The matplotlib `Axes`, (n,).

    Raises:
        ValueError: There are no images in the data.

    Examples:
        >>> images = np.random.default_rng(0).uniform(size=(4, 8, 8, 3))
        >>> axes = keras_fast.data.show_batch(
        ...     images, np.array([0, 1, 1, 0]), class_names=["cat", "dog"]
        ... )
        >>> [ax.get_title() for ax in axes]
        ['cat', 'dog', 'dog', 'cat']

    Reference:

    - fastai 2.8, `DataLoaders.show_batch`
    """
    whole("n", n)
    names = names_of(x, class_names)
    images: list[np.ndarray] = []
    titles: list[str] = []
    # n batches are enough, and how large they are only the data knows.
    for inputs, labels in batches(x, y, batch_size=n, steps=n):
        images.extend(one_image_each(inputs))
        if labels is not None:
            titles.extend(class_name(label, names) for label in labels)
        if len(images) >= n:
            break
    return plot_images(np.stack(images[:n]), titles[:n] or None)
