"""How does slow work show its progress, as Keras does?"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import keras

from keras_fast._checks import verbosity

__all__ = ["OneBar", "counted", "heading"]

Item = TypeVar("Item")


def counted(
    items: Iterable[Item], number: int | None, verbose: Any
) -> Iterator[Item]:
    """The items, with a progress bar that counts them.

    Args:
        items: Items to work on, one after the other.
        number: Number of items, None if unknown.
        verbose: As in `predict()`.
    """
    bar, done = _bar(number, verbose), 0
    for done, item in enumerate(items, start=1):
        yield item
        bar.update(done, finalize=False)
    if done:
        bar.update(done, finalize=True)


class OneBar(keras.callbacks.Callback):
    """One bar over all epochs of a `fit()` that is silent itself.

    Args:
        num_batches: Batches in all epochs.
        verbose: As in `fit()`.
    """

    def __init__(self, num_batches: int, verbose: Any):
        super().__init__()
        self._number = num_batches
        self._bar = _bar(num_batches, verbose)

    def on_train_begin(self, logs: Any = None) -> None:
        self._done, self._at_once = 0, self.model.steps_per_execution

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._done = min(self._done + self._at_once, self._number)
        self._bar.update(self._done, finalize=False)

    def on_train_end(self, logs: Any = None) -> None:
        self._bar.update(self._done, finalize=True)


def heading(text: str, verbose: Any) -> None:
    """A line above a bar, such as Keras's `Epoch 1/3`."""
    if verbosity(verbose) and keras.config.is_interactive_logging_enabled():
        print(text)


def _bar(number: int | None, verbose: Any) -> keras.utils.Progbar:
    shown = 1 if verbosity(verbose) == "auto" else int(verbose)
    return keras.utils.Progbar(number, verbose=shown)
