"""What does a random forest learn from the trials?

Each tree is grown on a bootstrap sample. The trials it has not seen, 37 % on
average, are out of its bag: only they judge it.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_fast.search._trials import Hyperparameter

__all__ = ["Forest"]

TREES = 300
# A curve with more points would look the same.
MOST_POINTS = 40


class Forest:
    """A random forest from hyperparameters to the target.

    Args:
        hyperparameters: The hyperparameters of the trials.
        targets: The target of each trial, (trials,).
        seed: Seed of the bootstrap samples.
    """

    def __init__(
        self,
        hyperparameters: Sequence[Hyperparameter],
        targets: np.ndarray,
        seed: int,
    ):
        self._hyperparameters = list(hyperparameters)
        self._targets = targets
        self._x = self._encoded({})
        regressor = _regressor()(TREES, random_state=seed)
        regressor.fit(self._x, targets)
        self._trees = regressor.estimators_
        self._out = np.ones((TREES, len(targets)), bool)
        for out, drawn in zip(
            self._out, regressor.estimators_samples_, strict=True
        ):
            out[drawn] = False

    def r2(self) -> float:
        """Out-of-bag R²."""
        return float(self._r2(self._x[None])[0])

    def drops(
        self, hyperparameter: Hyperparameter, repeats: int, seed: int
    ) -> np.ndarray:
        """The drops of R² when its values are shuffled, (repeats,).

        They are shuffled among the trials that have the hyperparameter.
        """
        rng = np.random.default_rng(seed)
        codes = np.tile(hyperparameter.codes, (repeats, 1))
        present = hyperparameter.present
        codes[:, present] = rng.permuted(codes[:, present], axis=1)
        x = np.stack([self._encoded({hyperparameter.name: c}) for c in codes])
        return self.r2() - self._r2(x)

    def marginal(
        self, hyperparameter: Hyperparameter
    ) -> tuple[np.ndarray, np.ndarray]:
        """Each tree's prediction for its levels, all else as in the trials.

        Returns:
            Codes of levels, (points,), and the mean prediction over the
            trials that have the hyperparameter, (trees, points).
        """
        levels = hyperparameter.levels
        points = np.arange(len(levels))
        if len(levels) > MOST_POINTS and not isinstance(levels[0], str):
            numbers = len(levels) - (levels[-1] is None)
            some = np.linspace(0, numbers - 1, MOST_POINTS).round().astype(int)
            points = np.append(some, points[numbers:])
        name, ones = hyperparameter.name, np.ones_like(hyperparameter.codes)
        x = np.stack(
            [
                self._encoded({name: p * ones})[hyperparameter.present]
                for p in points
            ]
        )
        votes = [vote.mean(axis=1) for vote in self._votes(x)]
        return points, np.stack(votes)

    def _encoded(self, changed: dict[str, np.ndarray]) -> np.ndarray:
        """The trials as the trees see them, with some codes changed."""
        return np.hstack(
            [
                each.rows[changed.get(each.name, each.codes)]
                for each in self._hyperparameters
            ]
        )

    def _votes(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """The prediction of each tree, from (..., trials, columns)."""
        rows = x.reshape(-1, x.shape[-1])
        for tree in self._trees:
            yield tree.predict(rows, check_input=False).reshape(x.shape[:-1])

    def _r2(self, x: np.ndarray) -> np.ndarray:
        """Out-of-bag R², (repeats,), from (repeats, trials, columns)."""
        total = sum(
            v * out for v, out in zip(self._votes(x), self._out, strict=True)
        )
        predicted = total / self._out.sum(axis=0)
        errors = np.sum((predicted - self._targets) ** 2, axis=1)
        spread = np.sum((self._targets - self._targets.mean()) ** 2)
        return 1 - errors / spread


def _regressor() -> Any:
    try:
        from sklearn.ensemble import RandomForestRegressor
    except ImportError as error:
        raise ImportError(
            "`trial_importance` needs scikit-learn. Install it with "
            '`pip install "keras-fast[search]"`.'
        ) from error
    return RandomForestRegressor
