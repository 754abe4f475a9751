"""How do trials become a table of numbers?"""

import math
import numbers
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_fast._checks import several, shown, string

__all__ = ["Hyperparameter", "read"]

Trials = Sequence[Mapping[str, Any]]

# A smaller bootstrap sample leaves only two or three trials out of the bag.
FEWEST = 8


@dataclass(frozen=True, eq=False)
class Hyperparameter:
    """One hyperparameter and its value in each trial.

    Args:
        name: Its name.
        levels: Its distinct values, in order, None last.
        codes: The level of each trial, (trials,). A trial without this
            hyperparameter gets a level drawn from the other trials: so the
            value does not reveal that it is missing, and the choice that it
            depends on gets the credit.
        present: Which trials have it, (trials,).
        rows: What a forest sees for each level, (levels, columns).
    """

    name: str
    levels: list[Any]
    codes: np.ndarray
    present: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(
        cls, name: str, trials: Trials, rng: np.random.Generator
    ) -> "Hyperparameter":
        """Read it from the trials."""
        found = [
            _value(name, trial[name]) if name in trial else _ABSENT
            for trial in trials
        ]
        levels = _levels(name, found)
        places = {level: code for code, level in enumerate(levels)}
        codes = np.array([places.get(value, -1) for value in found])
        present = codes >= 0
        known, missing = codes[present], int(np.sum(~present))
        codes[~present] = rng.choice(
            known, missing, replace=missing > len(known)
        )
        return cls(name, levels, codes, present, _rows(levels))


def _rows(levels: list[Any]) -> np.ndarray:
    """A column for numbers and one for None, or one for each string.

    Numbers become ranks: a tree uses only their order, and ranks are exact at
    any scale. None becomes a rank in the middle, with a flag.
    """
    if isinstance(levels[0], str):
        return np.eye(len(levels), dtype=np.float32)
    rows = np.arange(len(levels), dtype=np.float32)[:, None]
    if levels[-1] is None:
        off = rows == rows[-1]
        rows = np.hstack([np.where(off, len(levels) // 2, rows), off])
    return rows.astype(np.float32)


# Not None, which is a value: "no clipping", "no activation".
_ABSENT = object()


def read(
    trials: Any, target: str, seed: int
) -> tuple[list[Hyperparameter], np.ndarray]:
    """The hyperparameters by name, and the target of each trial, (trials,).

    Trials without a finite target are left out, with a warning.
    """
    string("target", target)
    listed = several("trials", trials)
    listed = [_trial(i, trial, target) for i, trial in enumerate(listed)]
    found = [_target(i, t[target], target) for i, t in enumerate(listed)]
    finite = np.isfinite(found)
    if len(listed) and not finite.all():
        warnings.warn(
            f"{np.sum(~finite)} of {len(listed)} trials have no finite "
            f"`{target}` and are left out.",
            UserWarning,
            stacklevel=3,
        )
    targets = np.array(found)[finite]
    kept = [trial for trial, good in zip(listed, finite, strict=True) if good]
    _check_targets(targets, target, len(listed))
    names = sorted({name for trial in kept for name in trial} - {target})
    rng = np.random.default_rng(seed)
    hyperparameters = [Hyperparameter.of(name, kept, rng) for name in names]
    if all(len(each.levels) == 1 for each in hyperparameters):
        raise ValueError(
            "`trials` must vary at least one hyperparameter. Add what you "
            f"changed to the dicts. Received: trials of {shown(kept[0])} "
            "and no other value"
        )
    return hyperparameters, targets


def _check_targets(targets: np.ndarray, name: str, num_trials: int) -> None:
    if len(targets) < FEWEST:
        raise ValueError(
            f"`trials` must hold at least {FEWEST} trials with a finite "
            f"`{name}`. Run more of them. Received: {len(targets)} trials "
            f"with a finite target out of {num_trials}"
        )
    if np.ptp(targets) == 0:
        raise ValueError(
            f"`{name}` must differ between trials. Choose a target that the "
            f"hyperparameters can change. Received: {name}={targets[0]:g} "
            "in each trial"
        )


def _trial(index: int, trial: Any, target: str) -> Mapping[str, Any]:
    if not isinstance(trial, Mapping):
        raise TypeError(
            "`trials` must be a list of dicts, one for each trial. Pass a "
            'data frame as `frame.to_dict("records")`. '
            f"Received: trials[{index}]={shown(trial)}"
        )
    for name in trial:
        string(f"trials[{index}]'s key", name)
    if target not in trial:
        raise ValueError(
            f"`trials` must have `{target}` in each trial. Give a failed trial "
            f"NaN. Received: trials[{index}]={shown(dict(trial))}"
        )
    return trial


def _target(index: int, value: Any, target: str) -> float:
    """A number; NaN for None, which optuna has for a failed trial."""
    if value is None:
        return math.nan
    if isinstance(value, bool | np.bool_) or not isinstance(
        value, numbers.Real
    ):
        raise TypeError(
            f"`{target}` must be a number in each trial. Convert it, or give a "
            "failed trial NaN. "
            f"Received: trials[{index}][{target!r}]={shown(value)}"
        )
    return float(value)


def _value(name: str, value: Any) -> Any:
    """A Python number, bool, str or None."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a number, a bool, a str or None in each trial. "
            f"Pass `str(value)` of anything else. Received: {name}="
            f"{shown(value)}"
        )
    if value != value or value in (math.inf, -math.inf):
        raise ValueError(
            f"`{name}` must be finite in each trial. Pass None for 'off', and "
            "leave it out of trials that do not have it. Received: "
            f"{name}={value!r}"
        )
    return value


def _levels(name: str, found: list[Any]) -> list[Any]:
    """Distinct values in order, None last."""
    values = {value for value in found if value not in (None, _ABSENT)}
    texts = {value for value in values if isinstance(value, str)}
    if texts and texts != values:
        number = next(iter(values - texts))
        raise ValueError(
            f"`{name}` must be either numbers or strings, as they have no "
            "common order. Pass None for 'off', or `str(value)` of all. "
            f"Received: {name}={number!r} and {name}={min(texts)!r}"
        )
    return sorted(values) + [None] * (None in found)
