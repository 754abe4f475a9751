"""How does TensorBoard show the rates that were used, and images?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["let_logs_count", "log_image"]


def let_logs_count(board: Any, names: Sequence[str]) -> None:
    """Keep it from overwriting logs with the optimizer's own numbers.

    Args:
        board: Keras's callback.
        names: Names of the logs to keep.
    """
    collect = type(board)._collect_learning_rate

    def with_those_used(logs: dict[str, Any]) -> dict[str, Any]:
        used = {name: logs[name] for name in names if name in logs}
        return collect(board, logs) | used

    board.__dict__["_collect_learning_rate"] = with_those_used


def log_image(board: Any, name: str, pixels: np.ndarray, epoch: int) -> None:
    """Make it show an image beside the losses of training.

    Args:
        board: Keras's callback.
        name: Name of the image.
        pixels: (height, width, channels), 0 to 1.
        epoch: Counted from 0.
    """
    with board._train_writer.as_default():
        board.summary.image(name, pixels[None], step=epoch)
