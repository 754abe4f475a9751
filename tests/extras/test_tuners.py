"""Trials of Optuna and KerasTuner go in as the docstring says."""

import math

import pytest

from keras_fast.search import trial_importance

TRIALS = 40


def loss_of(lr, optimizer, momentum=None):
    value = abs(math.log10(lr) + 2)
    return value + (1.5 - momentum if optimizer == "sgd" else 0)


def check(trials, **others):
    found = trial_importance(trials, "loss")
    assert found.num_trials == TRIALS
    assert set(found.importances) == {"lr", "optimizer", "momentum", *others}
    assert set(list(found.importances)[:2]) == {"lr", "optimizer"}
    assert found.r2 > 0.5
    assert found.curve("optimizer").values == ["adam", "sgd"]
    for name, values in others.items():
        assert found.curve(name).values == values


def test_optuna():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial):
        if trial.number == TRIALS:
            raise RuntimeError
        values = {
            "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True),
            "optimizer": trial.suggest_categorical(
                "optimizer", ["adam", "sgd"]
            ),
        }
        if values["optimizer"] == "sgd":
            values["momentum"] = trial.suggest_float("momentum", 0.5, 0.99)
        trial.suggest_categorical("clipnorm", [None, 1.0])
        return loss_of(**values)

    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, TRIALS + 1, catch=RuntimeError)
    trials = [{**t.params, "loss": t.value} for t in study.trials]
    with pytest.warns(UserWarning, match=f"1 of {TRIALS + 1} trials"):
        check(trials, clipnorm=[1.0, None])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_keras_tuner(tmp_path):
    keras_tuner = pytest.importorskip("keras_tuner")

    class Tuner(keras_tuner.RandomSearch):
        def run_trial(self, trial, **kwargs):
            hp = trial.hyperparameters
            values = {
                "lr": hp.Float("lr", 1e-4, 1e-1, sampling="log"),
                "optimizer": hp.Choice("optimizer", ["adam", "sgd"]),
            }
            with hp.conditional_scope("optimizer", ["sgd"]):
                values["momentum"] = hp.Float("momentum", 0.5, 0.99)
            hp.Boolean("nesterov")
            return {"loss": loss_of(**values)}

    goal = keras_tuner.Objective("loss", "min")
    tuner = Tuner(objective=goal, max_trials=TRIALS, directory=tmp_path, seed=0)
    tuner.search(verbose=0)
    trials = [
        {**t.hyperparameters.values, "loss": t.score}
        for t in tuner.oracle.trials.values()
    ]
    check(trials, nesterov=[False, True])
