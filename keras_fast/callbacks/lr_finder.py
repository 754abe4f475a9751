"""The learning-rate finder: a sweep of the rate, and its result."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import keras
import numpy as np

from keras_fast._checks import at_least, positive, share, whole
from keras_fast._keras.loss_tape import LossTape, by_update
from keras_fast.callbacks._scheduler import Scheduler
from keras_fast.finder.rules import smooth, suggest
from keras_fast.plots import plot_lr_find
from keras_fast.schedules import exponential

# Executions between two checks of losses and weights: each check waits for the
# device.
LOOK_EVERY = 10

StopReason = Literal["completed", "diverged", "non_finite", "stopped"]


@dataclass(frozen=True, eq=False, repr=False)
class LRFinderResult:
    """The result of a sweep of the learning rate.

    Args:
        learning_rates: The rate of each update, (n,) float64.
        losses: The true loss of each update, (n,) float64.
        smoothed_losses: Its debiased exponential moving average, (n,)
            float64.
        stop_reason: `"completed"`; `"diverged"` if the smoothed loss rose
            above `stop_factor` times its lowest value, or times the noise if
            that is larger; `"non_finite"` if the next loss or a weight was NaN
            or infinite; `"stopped"` if `fit()` or another callback ended
            training before the sweep was over.
        suggestions: Learning rates by rule: `"highest"`, `"trained"` (for a
            model that is already trained), `"valley"`, `"slide"`, `"minimum"`
            and `"steep"`. None if the curve has no such point.

    Examples:
        >>> result = keras_fast.lr_find(model, x, y)
        >>> sorted(result.suggestions)
        ['highest', 'minimum', 'slide', 'steep', 'trained', 'valley']
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    smoothed_losses: np.ndarray
    stop_reason: StopReason
    suggestions: dict[str, float | None]

    def __repr__(self) -> str:
        found = "no suggestion"
        if self.rule is not None:
            found = f"suggestion={self.suggestion:.3g}, rule={self.rule!r}"
        return (
            f"LRFinderResult({self.stop_reason} after {len(self.losses)} "
            f"updates, {found})"
        )

    @property
    def suggestion(self) -> float:
        """The first suggestion available, see `rule`."""
        rate = self.suggestions.get(self.rule or "")
        if rate is None:
            raise ValueError(
                "The loss must fall or rise somewhere for a suggestion. Look "
                "at `plot()`, and check the data, the loss and the range of "
                f"rates. Received: stop_reason={self.stop_reason!r} after "
                f"{len(self.losses)} updates"
            )
        return rate

    @property
    def rule(self) -> str | None:
        """The rule behind `suggestion`, or None if no rule applies.

        `highest` on most curves, `trained` if no rate clearly lowers the loss.
        Any other rule means that the curve is unclear: use a rate that is
        known to work. If you know that a model is already trained, take
        `suggestions["trained"]`.
        """
        rates = self.suggestions.items()
        return next((name for name, rate in rates if rate is not None), None)

    @property
    def spread(self) -> float | None:
        """Ratio of the largest to the smallest suggestion; None without any."""
        rates = [rate for rate in self.suggestions.values() if rate is not None]
        return max(rates) / min(rates) if rates else None

    def plot(
        self, ax: Any = None, skip_start: int = 10, skip_end: int = 5
    ) -> Any:
        """Draw the losses over the rates and return the matplotlib `Axes`."""
        return plot_lr_find(
            self.learning_rates,
            self.losses,
            self.smoothed_losses,
            self.suggestions,
            ax=ax,
            skip=(skip_start, skip_end),
        )


class LRFinder(Scheduler):
    """Sweeps the learning rate during training and records the losses.

    The rate grows by the same factor at every update. Training stops at the
    end of the sweep, or when the loss explodes. The model is left as the sweep
    trained it; `keras_fast.lr_find` restores it.

    Args:
        start_lr: First learning rate.
        end_lr: Last learning rate.
        num_steps: Updates in the sweep, at least 6.
        stop_factor: Stop when the smoothed loss exceeds its lowest value by
            this factor.
        smoothing: Weight of the past in the smoothed loss, from 0 to below 1.
        loss: Which loss to record, if `train_step()` is your own: see
            `Recorder`.
        optimizer: The optimizer to schedule, if the model has several; None
            takes the one it is compiled with.

    Raises:
        ValueError: An argument is out of range, or `start_lr` is not
            below `end_lr`. When the first batch ends: `train_step()` returns
            no such loss, or does not use the optimizer.

    Examples:
        >>> from keras_fast.callbacks import LRFinder
        >>> finder = LRFinder(num_steps=50)
        >>> history = model.fit(
        ...     x, y, epochs=50, verbose=0, callbacks=[finder]
        ... )
        >>> len(finder.result.losses) <= 50
        True

    Reference:

    - [Smith, 2017](https://arxiv.org/abs/1506.01186)
    - fastai 2.8, `lr_find`
    """

    def __init__(
        self,
        start_lr: float = 1e-7,
        end_lr: float = 10.0,
        *,
        num_steps: int = 100,
        stop_factor: float = 4.0,
        smoothing: float = 0.98,
        loss: str = "loss",
        optimizer: keras.optimizers.Optimizer | None = None,
    ):
        start_lr = positive("start_lr", start_lr)
        end_lr = positive("end_lr", end_lr)
        if start_lr >= end_lr:
            raise ValueError(
                "`start_lr` must be below `end_lr`. Swap the two. Received: "
                f"start_lr={start_lr!r}, end_lr={end_lr!r}"
            )
        self.num_steps = whole("num_steps", num_steps, 6)
        self.stop_factor = at_least("stop_factor", stop_factor, 1)
        self.smoothing = share("smoothing", smoothing, 0.98)
        self._sweep = partial(exponential, start=start_lr, end=end_lr)
        self.loss = loss
        self._losses: Any = None
        super().__init__(optimizer, learning_rate=self._sweep)

    @property
    def result(self) -> LRFinderResult:
        """The result of the sweep, once `fit()` has run."""
        if self._losses is None:
            raise ValueError(
                "`result` must be read after a sweep. Call `fit()` with this "
                "callback first. Received: result of no sweep"
            )
        losses, reason = self._judged()
        rates = self.curve(self.num_steps)["learning_rate"][: len(losses)]
        return LRFinderResult(
            learning_rates=rates,
            losses=losses,
            smoothed_losses=smooth(losses, self.smoothing),
            stop_reason=reason,
            suggestions=suggest(rates, losses, self.num_steps),
        )

    def on_train_begin(self, logs: Any = None) -> None:
        self._tape = LossTape.of(self.model, self.loss)
        self._start = self._read = self._tape.end()
        super().on_train_begin(logs)
        self._losses = np.empty(0)
        self._executions = 0
        self._broken = False

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch, logs)
        if not self._executions:
            self._tape.check(self._start)
        self._executions += 1
        done = self._executions * self._steps_per_execution
        if done >= self._num_batches or self._executions % LOOK_EVERY == 0:
            self._look()

    def on_train_end(self, logs: Any = None) -> None:
        self._look()
        super().on_train_end(logs)

    def _look(self) -> None:
        model = self.model  # on JAX this brings the variables up to date
        losses, self._read = self._tape.since(self._read), self._tape.end()
        # Some kernels turn NaN into a number: the loss stays finite although
        # a weight is NaN, and nobody knows from which of these losses on.
        if len(losses) and np.isfinite(losses).all() and not _finite(model):
            self._broken = True
        else:
            self._losses = np.append(self._losses, losses)
        if self._judged()[1] != "stopped":
            model.stop_training = True

    def _judged(self) -> tuple[np.ndarray, StopReason]:
        """The losses up to the end of the sweep, and why that is the end."""
        losses = by_update(self._losses, self._batches_per_update, self._phase)[
            : self.num_steps
        ]
        finite = np.isfinite(losses)
        if not finite.all():
            losses = losses[: finite.argmin()]
        smoothed = smooth(losses, self.smoothing)
        above = _diverged(losses, smoothed, self.stop_factor)
        if above.any():
            return losses[: above.argmax() + 1], "diverged"
        if len(losses) == self.num_steps:
            return losses, "completed"
        if self._broken or not finite.all():
            return losses, "non_finite"
        return losses, "stopped"

    def _count_batches(self) -> int:
        return self.num_steps * self._batches_per_update


def _diverged(
    losses: np.ndarray, smoothed: np.ndarray, factor: float
) -> np.ndarray:
    """Where the smoothed loss exceeds its lowest value by this factor.

    A loss may be negative, or near 0 for a trained model: then the noise from
    update to update sets the scale.
    """
    lowest = np.minimum.accumulate(smoothed)
    noise = np.median(np.abs(np.diff(losses[:50]))) if len(losses) > 1 else 0
    return smoothed - lowest > (factor - 1) * np.maximum(np.abs(lowest), noise)


def _finite(model: keras.Model) -> bool:
    """Whether all trainable weights are finite."""
    # In NumPy: an operation per variable costs more than copying it.
    arrays = (np.asarray(v.numpy()) for v in model.trainable_variables)
    return all(np.isfinite(array).all() for array in arrays)
