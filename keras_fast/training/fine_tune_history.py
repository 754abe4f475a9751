"""What did fine-tuning do, and what did it start from?"""

import keras

__all__ = ["FineTuneHistory"]


class FineTuneHistory(keras.callbacks.History):
    """The History of `fine_tune`, and its starting point.

    Args:
        head: History of the head on features, or None.
        linear: Loss and metrics, on the validation data, of a linear model on
            the features of the frozen base; None without validation data.
        kept: The same for the weights that the model ends with. If `linear` is
            better, fine-tuning has gained nothing.

    Examples:
        >>> history = keras_fast.fine_tune(
        ...     model, x, y, epochs=2, validation_data=(x, y), verbose=0
        ... )
        >>> list(history.linear), list(history.kept)
        (['loss'], ['loss'])
    """

    def __init__(
        self,
        head: keras.callbacks.History | None = None,
        linear: dict[str, float] | None = None,
        kept: dict[str, float] | None = None,
    ):
        super().__init__()
        self.head, self.linear, self.kept = head, linear, kept

    def __repr__(self) -> str:
        rows = [f"FineTuneHistory of {len(getattr(self, 'epoch', []))} epochs"]
        for name, value in (self.kept or {}).items():
            row = f"validation {name}: {value:.4g}"
            if self.linear and name in self.linear:
                linear = f"{self.linear[name]:.4g}"
                row += f" (linear model on the same features: {linear})"
            rows.append(row)
        return "\n  ".join(rows)
