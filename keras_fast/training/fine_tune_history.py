"""What did fine-tuning do, and what did it start from?"""

import keras

__all__ = ["FineTuneHistory"]


class FineTuneHistory(keras.callbacks.History):
    """The History of `fine_tune`, and what it started from.

    Args:
        head: History of the head on features, or None.
        linear: What a linear model on the features of the frozen base reaches
            on the validation data: its loss and metrics, or None. Fine-tuning
            that ends below it has lost something.

    Examples:
        >>> history = keras_fast.fine_tune(
        ...     model, x, y, epochs=2, validation_data=(x, y), verbose=0
        ... )
        >>> list(history.linear)
        ['loss']
    """

    def __init__(
        self,
        head: keras.callbacks.History | None = None,
        linear: dict[str, float] | None = None,
    ):
        super().__init__()
        self.head, self.linear = head, linear

    def __repr__(self) -> str:
        rows = [f"FineTuneHistory of {len(getattr(self, 'epoch', []))} epochs"]
        for name, value in (self.linear or {}).items():
            seen = self.history.get(f"val_{name}", [])
            best = (
                max(seen, default=0) if "acc" in name else min(seen, default=0)
            )
            rows.append(
                f"val_{name}: linear model {value:.4g}, best {best:.4g}"
            )
        return "\n  ".join(rows)
