"""Which hyperparameters matter, and which of their values are good?"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_fast._checks import whole
from keras_fast.plots.bars import plot_bars
from keras_fast.plots.marginals import panels, plot_curve
from keras_fast.search._forest import Forest
from keras_fast.search._trials import Hyperparameter, read

__all__ = ["TrialCurve", "TrialImportance", "trial_importance"]


@dataclass(frozen=True, eq=False, repr=False)
class TrialCurve:
    """How the target depends on one hyperparameter, averaged over the others.

    Args:
        name: Name of the hyperparameter.
        target: Name of the target.
        values: Values of the hyperparameter from the trials, in order,
            (points,); None last.
        mean: Predicted target at each value, (points,) float64.
        spread: Standard deviation of the prediction over the trees,
            (points,) float64.

    Examples:
        >>> curve = keras_fast.search.TrialCurve(
        ...     "dropout", "val_loss", [0.0, 0.5], np.array([0.4, 0.3]),
        ...     np.array([0.1, 0.1]),
        ... )
        >>> curve.values[curve.mean.argmin()]
        0.5
        >>> ax = curve.plot()
    """

    name: str
    target: str
    values: list[Any]
    mean: np.ndarray
    spread: np.ndarray

    def __repr__(self) -> str:
        return (
            f"TrialCurve({self.target} at {len(self.values)} values of "
            f"{self.name}, from {self.mean.min():.4g} to {self.mean.max():.4g})"
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw it with its spread and return the matplotlib `Axes`.

        Numbers that span powers of ten get a log axis, and strings and
        booleans are drawn as points.

        Args:
            ax: Axes to draw on; new ones if None.
        """
        return plot_curve(
            self.values, self.mean, self.spread, (self.name, self.target), ax
        )


@dataclass(frozen=True, eq=False, repr=False)
class TrialImportance:
    """The result of `trial_importance`.

    Args:
        target: Name of the target.
        num_trials: Number of trials with a finite target.
        r2: Out-of-bag R² of the forest: the share of the target's variance
            that it predicts for trials it has not seen. At or below 0 the
            importances are noise.
        importances: Drop of R² when the values of a hyperparameter are
            shuffled, by name, the largest first. Noise can make it slightly
            negative.
        spreads: Standard deviation of each importance over the repeats, by
            name, in the same order.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> trials = [{"lr": 10 ** rng.uniform(-4, -1)} for _ in range(30)]
        >>> for t in trials:
        ...     t["val_loss"] = abs(np.log10(t["lr"]) + 2)
        >>> result = keras_fast.search.trial_importance(trials, "val_loss")
        >>> result
        TrialImportance(30 trials, R² of val_loss=0.9..., first: lr)
    """

    target: str
    num_trials: int
    r2: float
    importances: dict[str, float]
    spreads: dict[str, float]
    _hyperparameters: Mapping[str, Hyperparameter] = field(repr=False)
    _forest: Forest = field(repr=False)

    def __repr__(self) -> str:
        return (
            f"TrialImportance({self.num_trials} trials, R² of {self.target}="
            f"{self.r2:.3g}, first: {next(iter(self.importances))})"
        )

    def curve(self, name: str) -> TrialCurve:
        """The mean prediction at each value of one hyperparameter.

        The other hyperparameters are those of the trials (the partial
        dependence). Trials without this hyperparameter are left out. If there
        are more than 40 numbers, 40 are used.

        Args:
            name: Name of the hyperparameter.

        Returns:
            A `TrialCurve`.

        Raises:
            ValueError: No trial has the hyperparameter.
        """
        if name not in self._hyperparameters:
            raise ValueError(
                "`name` must be a hyperparameter of the trials: "
                f"{', '.join(self._hyperparameters)}. Check its spelling. "
                f"Received: name={name!r}"
            )
        hyperparameter = self._hyperparameters[name]
        points, votes = self._forest.marginal(hyperparameter)
        values = [hyperparameter.levels[point] for point in points]
        mean, spread = votes.mean(axis=0), votes.std(axis=0)
        return TrialCurve(name, self.target, values, mean, spread)

    def plot(self, num_curves: int = 3) -> np.ndarray:
        """Draw the importances and the curves of the most important ones.

        Args:
            num_curves: Maximum number of curves.

        Returns:
            The matplotlib `Axes`, (1 + curves,).
        """
        whole("num_curves", num_curves, 0)
        names = list(self.importances)[:num_curves]
        axes = panels(1 + len(names))
        label = f"drop of R² when shuffled\n(R² = {self.r2:.2f})"
        spreads = [self.spreads[name] for name in self.importances]
        sizes = list(self.importances.values())
        plot_bars(list(self.importances), sizes, spreads, label, axes[0])
        for name, ax in zip(names, axes[1:], strict=True):
            self.curve(name).plot(ax)
            ax.sharey(axes[1])
        return axes


def trial_importance(
    trials: Sequence[Mapping[str, Any]],
    target: str,
    *,
    num_repeats: int = 10,
    seed: int = 0,
) -> TrialImportance:
    """Estimate which hyperparameters matter, with a random forest over trials.

    The forest has 300 trees and needs scikit-learn:
    `pip install "keras-fast[search]"`. Logarithms change nothing, as trees use
    only the order of numbers. Hyperparameters that always change together
    share their importance.

    Check `r2` first. Below about 0.3 the order of the importances is a guess,
    and at or below 0 it is noise.

    Args:
        trials: A dict for each trial, with its hyperparameters and the
            target. Values are numbers, booleans, strings or None, which is a
            value of its own: no clipping, no activation. A hyperparameter that
            only some trials have, such as SGD's momentum, is missing from the
            others, and is judged by the trials that have it.
        target: The key of the result, such as `"val_loss"`. Trials whose
            target is NaN, infinite or None are left out, with a warning.
        num_repeats: How often the values of each hyperparameter are shuffled.
        seed: Seed of the forest and all draws. The same trials, in the same
            order, and the same seed give the same result.

    Returns:
        A `TrialImportance`.

    Raises:
        ImportError: scikit-learn is not installed.
        TypeError: A trial is not a dict, or a value has another type.
        ValueError: The target is missing in a trial or always the same, fewer
            than 8 trials have a finite one, a hyperparameter is a number in
            one trial and a string in another, or none of them varies.

    Warns:
        UserWarning: Trials are left out, or `r2` is at or below 0.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> trials = [
        ...     {"lr": 10 ** rng.uniform(-4, -1), "units": 2 ** (i % 4)}
        ...     for i in range(40)
        ... ]
        >>> for t in trials:
        ...     t["val_loss"] = abs(np.log10(t["lr"]) + 2)
        >>> result = keras_fast.search.trial_importance(trials, "val_loss")
        >>> list(result.importances)
        ['lr', 'units']
        >>> curve = result.curve("lr")
        >>> 0.005 < curve.values[curve.mean.argmin()] < 0.02
        True
        >>> axes = result.plot()

        Trials of Optuna and of KerasTuner:

        ```python
        trials = [{**t.params, "loss": t.value} for t in study.trials]
        trials = [
            {**t.hyperparameters.values, "loss": t.score}
            for t in tuner.oracle.trials.values()
        ]
        ```

    Reference:

    - [Breiman, 2001](https://doi.org/10.1023/A:1010933404324)
    - [Hutter et al., 2014](https://proceedings.mlr.press/v32/hutter14.html)
    """
    whole("num_repeats", num_repeats)
    whole("seed", seed, 0)
    hyperparameters, targets = read(trials, target, seed)
    forest = Forest(hyperparameters, targets, seed)
    r2 = forest.r2()
    if r2 <= 0:
        warnings.warn(
            f"The hyperparameters do not explain `{target}`: the out-of-bag R² "
            f"of the forest is {r2:.2f}, so the importances are noise. Run "
            "more trials, or search wider ranges.",
            UserWarning,
            stacklevel=2,
        )
    drops = {
        each.name: forest.drops(each, num_repeats, seed)
        for each in hyperparameters
    }
    order = sorted(drops, key=lambda name: -drops[name].mean())
    return TrialImportance(
        target,
        len(targets),
        r2,
        {name: float(drops[name].mean()) for name in order},
        {name: float(drops[name].std()) for name in order},
        {each.name: each for each in hyperparameters},
        forest,
    )
