"""What does a model turn a few images, or noise, into after each epoch?"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_fast._checks import path, whole
from keras_fast._files.io import discard_unfinished, write_file
from keras_fast._keras.fit import callbacks_of_this_fit
from keras_fast._keras.tensorboard import log_image
from keras_fast.plots.images import plot_images
from keras_fast.plots.targets import plot_targets


class SampleImages(keras.callbacks.Callback):
    """Draws the model's outputs for a few fixed inputs after each epoch.

    The losses of a GAN don't show whether it learns, and those of restoration
    don't show what kind of image they reward: look at the images. They are
    kept in `images` and drawn to files, or below the notebook cell. With
    `keras.callbacks.TensorBoard` they are in its logs too, as `samples`.

    Training is not affected: making them changes no state, and the trained
    weights are bit for bit the same as without this callback.

    Args:
        x: A few inputs of the model, as one batch: images, which are drawn
            beside the outputs, or noise.
        directory: Folder for PNG files, `epoch_0001.png` after the first
            epoch; it is created. If None, a notebook shows the drawings, and
            a script draws nothing.
        every: Number of epochs between drawings.

    Attributes:
        images: A dict from the epoch's number, counted from 0, to an array
            (n, height, width, channels). A new `fit()` empties it.

    Raises:
        ValueError: `every` is below 1; or, when training begins, the model
            returns no images for `x`.
        TypeError: `directory` is not a path.

    Examples:
        >>> generator = keras.Sequential(
        ...     [
        ...         keras.Input((2,)),
        ...         keras.layers.Dense(48, "sigmoid"),
        ...         keras.layers.Reshape((4, 4, 3)),
        ...     ]
        ... )
        >>> generator.compile("sgd", "mse")
        >>> noise = np.random.default_rng(0).normal(size=(6, 2))
        >>> samples = keras_fast.callbacks.SampleImages(noise, "samples")
        >>> history = generator.fit(
        ...     noise,
        ...     np.zeros((6, 4, 4, 3)),
        ...     epochs=2,
        ...     verbose=0,
        ...     callbacks=[samples],
        ... )
        >>> samples.images[1].shape
        (6, 4, 4, 3)
        >>> import os
        >>> sorted(os.listdir("samples"))
        ['epoch_0001.png', 'epoch_0002.png']
    """

    def __init__(
        self,
        x: Any,
        directory: str | os.PathLike | None = None,
        every: int = 1,
    ) -> None:
        super().__init__()
        self.x = x
        self.directory = (
            None if directory is None else path("directory", directory)
        )
        self.every = whole("every", every)
        self.images: dict[int, np.ndarray] = {}

    def plot(self, epoch: int | None = None) -> np.ndarray:
        """Draw the images of an epoch.

        Args:
            epoch: Counted from 0; if None, the last one drawn.

        Returns:
            The matplotlib `Axes`: (n,) for images from noise; (n, 2), input
            and output, for images from images.
        """
        if epoch is None:
            epoch = max(self.images, default=None)
        if epoch not in self.images:
            raise ValueError(
                "`epoch` must be one whose images were made. Pass one of "
                f"{list(self.images)}. Received: epoch={epoch!r}"
            )
        made = self.images[epoch]
        given = [x for x in keras.tree.flatten(self.x) if np.ndim(x) == 4]
        if len(given) != 1:
            return plot_images(made)
        columns = {"input": None, "output": made}
        return plot_targets(np.asarray(given[0]), columns)

    def on_train_begin(self, logs: Any = None) -> None:
        self.images = {}
        self._unshown: int | None = None
        self._boards = [
            each
            for each in callbacks_of_this_fit()
            if isinstance(each, keras.callbacks.TensorBoard)
        ]
        if self.directory is not None:
            Path(self.directory).mkdir(parents=True, exist_ok=True)
        # Faulty inputs should fail now, not after an epoch.
        self._made()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._show()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if (epoch + 1) % self.every:
            return
        self.images[epoch] = self._made()
        if self.directory is None:
            self._unshown = epoch
        else:
            file = Path(self.directory, f"epoch_{epoch + 1:04d}.png")
            discard_unfinished(file)
            write_file(file, [self._png(epoch).getvalue()])
        for board in self._boards:
            pixels = _pixels(self._png(epoch))
            log_image(board, "samples", pixels, epoch)

    def on_train_end(self, logs: Any = None) -> None:
        self._show()

    def _show(self) -> None:
        # Not at the end of the epoch: its progress bar still owns the line.
        epoch, self._unshown = self._unshown, None
        show = _display()
        if epoch is not None and show is not None:
            with self._figure(epoch) as figure:
                show(figure)

    @contextlib.contextmanager
    def _figure(self, epoch: int) -> Iterator[Any]:
        from matplotlib import pyplot

        figure = self.plot(epoch).flat[0].figure
        try:
            yield figure
        finally:
            pyplot.close(figure)

    def _png(self, epoch: int) -> io.BytesIO:
        buffer = io.BytesIO()
        with self._figure(epoch) as figure:
            figure.savefig(buffer, format="png", dpi=100)
        return buffer

    def _made(self) -> np.ndarray:
        model: Any = self.model  # on JAX this brings the variables up to date
        # Stateless: otherwise a layer that draws random numbers would draw
        # different ones in training afterwards.
        made, _ = model.stateless_call(
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in model.non_trainable_variables],
            keras.tree.map_structure(keras.ops.convert_to_tensor, self.x),
            training=False,
        )
        shapes = [tuple(each.shape) for each in keras.tree.flatten(made)]
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][0] == 0:
            raise ValueError(
                "The model must make one image of each input, (batch, height, "
                "width, channels). Pass inputs `x` of such a model. "
                f"Received: model={model.name} with outputs of shape {shapes}"
            )
        images: Any = keras.ops.convert_to_numpy(made)
        return images


def _pixels(png: io.BytesIO) -> np.ndarray:
    from matplotlib import pyplot

    png.seek(0)
    return np.asarray(pyplot.imread(png))


def _display() -> Any:
    """The function that shows a figure below the cell; None in a script."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        return None
    return ipython.display.display
