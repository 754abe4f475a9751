"""Which hyperparameters matter? A random forest over finished trials."""

from keras_fast.search.importance import (
    TrialCurve,
    TrialImportance,
    trial_importance,
)

__all__ = ["TrialCurve", "TrialImportance", "trial_importance"]
