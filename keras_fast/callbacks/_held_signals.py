"""How is a signal held until the batch is done?"""

import signal
import threading
from types import FrameType
from typing import Any

import keras

from keras_fast._keras.fit import is_in_a_fit

__all__ = ["HeldSignals"]

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class HeldSignals:
    """Holds Ctrl-C and SIGTERM until `deliver`. A second one does not wait.

    Args:
        callback: Signals are held while the `fit()` with this callback runs.
            Callbacks are not told of an exception that ends it.
    """

    def __init__(self, callback: keras.callbacks.Callback):
        self.waiting: int | None = None
        self._callback = callback
        self._handlers: dict[int, Any] = {}

    def hold(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # Python accepts handlers only in the main thread
        self.let_go()
        self.waiting = None
        for number in NUMBERS:
            handler = signal.getsignal(number)
            if handler not in (None, signal.SIG_IGN):
                self._handlers[number] = handler
                signal.signal(number, self._take)

    def let_go(self) -> None:
        """Restore the handlers that `hold` replaced."""
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            if signal.getsignal(number) == self._take:
                signal.signal(number, handler)

    def deliver(self) -> None:
        """Let a held signal take effect."""
        number, self.waiting = self.waiting, None
        if number is not None:
            signal.raise_signal(number)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.let_go()
        if is_in_a_fit(self._callback, frame):
            self.waiting = number
        else:
            signal.raise_signal(number)
