"""How does TensorBoard show the rates that were used?"""

from collections.abc import Sequence
from typing import Any

__all__ = ["let_logs_count"]


def let_logs_count(board: Any, names: Sequence[str]) -> None:
    """It would put the optimizer's own numbers over those in the logs.

    Args:
        board: Keras's callback.
        names: Of the logs that stay as they are.
    """
    collect = type(board)._collect_learning_rate

    def with_those_used(logs: dict[str, Any]) -> dict[str, Any]:
        used = {name: logs[name] for name in names if name in logs}
        return collect(board, logs) | used

    board.__dict__["_collect_learning_rate"] = with_those_used
