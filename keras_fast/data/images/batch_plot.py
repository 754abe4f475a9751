"""What do the images that the model gets look like?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_fast._checks import whole
from keras_fast._keras.batches import batches
from keras_fast.plots.images import one_image_each, plot_images
from keras_fast.plots.labels import class_name, names_of
from keras_fast.plots.targets import kind_of, plot_targets

__all__ = ["show_batch"]


def show_batch(
    x: Any,
    y: Any = None,
    *,
    n: int = 9,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Draw the first images of the data, with their labels or targets.

    They are drawn as they come: after the transforms of the data, and before
    those of the model. A generator loses the batches that are drawn. Masks are
    drawn over the images, without class 0; points are drawn on them; and
    targets that are images are drawn beside them.

    Args:
        x: Data, as accepted by `fit()`; if there are several inputs, one must
            be images.
        y: Labels, as in `fit()`. Whole numbers (n, height, width), with or
            without an axis of length 1, and one-hot ones, are masks; (n,
            num_points, 2) are points, x and y in pixels or all from -1 to 1;
            other targets with three or four axes are images.
        n: How many; all if there are fewer.
        class_names: Names of the classes; by default `x.class_names`, if any.

    Returns:
        The matplotlib `Axes`, (n,); with targets that are images (n, 2).

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
    targets: list[np.ndarray] = []
    # n batches are enough; their size is known only to the data.
    for inputs, labels in batches(x, y, batch_size=n, steps=n):
        images.extend(one_image_each(inputs))
        if labels is not None:
            targets.extend(labels)
        if len(images) >= n:
            break
    shown = np.stack(images[:n])
    if not targets:
        return plot_images(shown)
    kind = kind_of(np.stack(targets[:n]))
    if kind == "label":
        titles = [class_name(label, names) for label in targets[:n]]
        return plot_images(shown, titles)
    columns = {"target": np.stack(targets[:n])}
    if kind == "image":
        columns = {"input": None, **columns}
    return plot_targets(shown, columns, class_names=names)
