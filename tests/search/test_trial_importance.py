"""Importances and curves against closed forms and scikit-learn's own."""

import math
import sys
import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import partial_dependence

from keras_fast.search import trial_importance

pytestmark = pytest.mark.once

mpl.use("Agg")

NAN = math.nan


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def additive(count=200, noise=0.0):
    """Trials whose loss is 3 a + 2 (b is "x") + c / 2, and not of d."""
    rng = np.random.default_rng(0)
    trials = []
    for _ in range(count):
        trial = {
            "a": float(rng.uniform()),
            "b": str(rng.choice(["x", "y", "z"])),
            "c": bool(rng.integers(2)),
            "d": int(rng.integers(9)),
        }
        loss = 3 * trial["a"] + 2 * (trial["b"] == "x") + trial["c"] / 2
        trials.append({**trial, "loss": loss + noise * rng.normal()})
    return trials


def arrays(trials, names=("a", "b", "c", "d")):
    """The table as one would make it by hand, strings one-hot."""
    columns = []
    for name in names:
        values = [trial[name] for trial in trials]
        kinds = sorted(set(values)) if isinstance(values[0], str) else [None]
        columns += [
            values if kind is None else [v == kind for v in values]
            for kind in kinds
        ]
    return np.array(columns, float).T, np.array([t["loss"] for t in trials])


@pytest.fixture(scope="module")
def result():
    return trial_importance(additive(), "loss")


@pytest.fixture(scope="module")
def small():
    return trial_importance(additive(30), "loss", num_repeats=2)


def test_importances_are_those_of_an_additive_function(result):
    x, y = arrays(additive())
    parts = {"a": 3 * x[:, 0], "b": 2 * x[:, 1], "c": x[:, 4] / 2}
    assert list(result.importances) == ["b", "a", "c", "d"]
    assert list(result.spreads) == list(result.importances)
    # Shuffled, a part misses by twice its variance.
    for name, part in parts.items():
        expected = 2 * part.var() / y.var()
        assert result.importances[name] == pytest.approx(expected, rel=0.3)
        assert 0 < result.spreads[name] < 0.2 * expected
    assert abs(result.importances["d"]) < 0.01
    assert result.num_trials == 200
    assert result.target == "loss"


def test_r2_is_scikit_learns(result):
    x, y = arrays(additive())
    forest = RandomForestRegressor(300, oob_score=True, random_state=0)
    expected = forest.fit(x, y).oob_score_
    assert 0.9 < result.r2 < 1
    assert result.r2 == pytest.approx(expected, abs=0.01)


def test_numbers_alone_give_the_forest_of_scikit_learn_exactly():
    """Ranks 0 to n - 1 have the midpoints of the numbers themselves."""
    rng = np.random.default_rng(1)
    x = np.stack([rng.permutation(60) for _ in range(3)], axis=1)
    y = x[:, 0] + 0.1 * x[:, 1] ** 1.5
    trials = [
        {**{k: int(v) for k, v in zip("abc", row, strict=True)}, "loss": t}
        for row, t in zip(x, y, strict=True)
    ]
    found = trial_importance(trials, "loss", seed=5)
    forest = RandomForestRegressor(300, oob_score=True, random_state=5)
    forest.fit(x, y)
    assert found.r2 == pytest.approx(forest.oob_score_, abs=1e-12)
    curve = found.curve("b")
    assert len(curve.values) == 40
    expected = partial_dependence(
        forest,
        x.astype(float),
        [1],
        method="brute",
        custom_values={1: np.array(curve.values, float)},
    )
    np.testing.assert_allclose(curve.mean, expected["average"][0], rtol=1e-12)
    assert (curve.values[0], curve.values[-1]) == (0, 59)


def test_curves_are_the_marginals_of_the_function(result):
    _, y = arrays(additive())
    trials = additive()
    numbers = result.curve("a")
    assert numbers.values == sorted(numbers.values)
    assert set(numbers.values) <= {trial["a"] for trial in trials}
    assert min(numbers.values) == min(trial["a"] for trial in trials)
    others = y.mean() - 3 * np.mean([trial["a"] for trial in trials])
    expected = 3 * np.array(numbers.values) + others
    np.testing.assert_allclose(numbers.mean, expected, atol=0.25)
    categories = result.curve("b")
    assert categories.values == ["x", "y", "z"]
    x, y_, z = categories.mean
    assert x - y_ == pytest.approx(2, abs=0.1)
    assert y_ == pytest.approx(z, abs=0.1)
    switches = result.curve("c")
    assert switches.values == [False, True]
    assert np.ptp(switches.mean) == pytest.approx(0.5, abs=0.15)
    assert np.ptp(result.curve("d").mean) < 0.1
    for curve in (numbers, categories, switches):
        assert curve.spread.shape == curve.mean.shape
        assert (curve.spread > 0).all()


def test_the_same_trials_give_the_same_result(small):
    turned = [dict(reversed(trial.items())) for trial in additive(30)]
    again = trial_importance(turned, "loss", num_repeats=2)
    assert again.r2 == small.r2
    assert again.importances == small.importances
    assert again.spreads == small.spreads
    np.testing.assert_array_equal(again.curve("a").mean, small.curve("a").mean)
    other = trial_importance(turned, "loss", num_repeats=2, seed=1)
    assert other.r2 != small.r2


@pytest.mark.parametrize("far", [1e-300, 1e200])
def test_neither_logarithms_nor_the_scale_of_numbers_matter(far, small):
    scaled = [{**t, "a": far * 10 ** t["a"]} for t in additive(30)]
    found = trial_importance(scaled, "loss", num_repeats=2)
    assert found.importances == small.importances
    np.testing.assert_array_equal(found.curve("a").mean, small.curve("a").mean)


def conditional(count=150):
    """Momentum is of SGD alone, and SGD is worse by 1."""
    rng = np.random.default_rng(0)
    trials = []
    for _ in range(count):
        sgd = bool(rng.integers(2))
        trial = {"optimizer": "sgd" if sgd else "adam", "loss": float(sgd)}
        if sgd:
            trial["momentum"] = float(rng.uniform())
            trial["loss"] -= trial["momentum"]
        trials.append(trial)
    return trials


def test_a_conditional_hyperparameter_takes_no_credit_for_being_there():
    trials = conditional()
    found = trial_importance(trials, "loss")
    loss = np.array([trial["loss"] for trial in trials])
    momenta = np.array([t["momentum"] for t in trials if "momentum" in t])
    share = len(momenta) / len(loss)
    expected = 2 * share * momenta.var() / loss.var()
    assert found.importances["momentum"] == pytest.approx(expected, rel=0.2)
    # Shuffled, Adam is taken for SGD, or the other way round, in a share of
    # 2 p (1 - p), and is wrong by (1 - momentum) squared.
    wrong = 2 * share * (1 - share) * np.mean((1 - momenta) ** 2)
    expected = wrong / loss.var()
    assert found.importances["optimizer"] == pytest.approx(expected, rel=0.2)
    curve = found.curve("momentum")
    assert set(curve.values) <= set(momenta)
    np.testing.assert_allclose(
        curve.mean, 1 - np.array(curve.values), atol=0.08
    )


def test_none_is_a_value_beside_numbers_and_strings():
    rng = np.random.default_rng(0)
    trials = [
        {
            "clipnorm": [None, 0.5, 1.0][rng.integers(3)],
            "activation": [None, "relu"][rng.integers(2)],
        }
        for _ in range(60)
    ]
    for t in trials:
        t["loss"] = 2.0 * (t["clipnorm"] is None) + (t["activation"] is None)
    found = trial_importance(trials, "loss")
    clipnorm = found.curve("clipnorm")
    assert clipnorm.values == [0.5, 1.0, None]
    low, middle, off = clipnorm.mean
    assert low == pytest.approx(middle, abs=1e-6)
    assert off - low == pytest.approx(2, abs=1e-6)
    assert found.curve("activation").values == ["relu", None]
    assert found.r2 > 0.999


def test_what_never_varies_has_no_importance():
    trials = [{**trial, "epochs": 5} for trial in additive(30)]
    found = trial_importance(trials, "loss")
    assert found.importances["epochs"] == 0
    assert found.curve("epochs").values == [5]


def test_values_of_numpy_are_values(small):
    trials = additive(30)
    as_numpy = [
        {
            "a": np.float64(t["a"]),
            "b": np.str_(t["b"]),
            "c": np.bool_(t["c"]),
            "d": np.int64(t["d"]),
            "loss": np.float64(t["loss"]),
        }
        for t in trials
    ]
    found = trial_importance(as_numpy, "loss", num_repeats=2)
    assert found.importances == small.importances
    assert {type(value) for value in found.curve("c").values} == {bool}


@pytest.mark.parametrize("failed", [NAN, None, math.inf, np.float32(NAN)])
def test_failed_trials_are_left_out(failed, small):
    trials = additive(30)
    bad = [{"a": 99.0, "b": "failed", "loss": failed}] * 2
    with pytest.warns(UserWarning) as said:
        found = trial_importance([*bad, *trials], "loss", num_repeats=2)
    assert str(said[0].message) == (
        "2 of 32 trials have no finite `loss` and are left out."
    )
    assert said[0].filename == __file__
    assert found.num_trials == 30
    assert found.importances == small.importances
    assert "failed" not in found.curve("b").values


def test_noise_is_called_noise():
    rng = np.random.default_rng(0)
    trials = [{"a": float(i), "loss": float(rng.normal())} for i in range(20)]
    with pytest.warns(UserWarning) as said:
        found = trial_importance(trials, "loss")
    assert found.r2 <= 0
    assert str(said[0].message) == (
        "The hyperparameters do not explain `loss`: the out-of-bag R² of the "
        f"forest is {found.r2:.2f}, so the importances are noise. Run more "
        "trials, or search wider ranges."
    )
    assert said[0].filename == __file__


def test_a_signal_is_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trial_importance(additive(40, noise=0.1), "loss").r2 > 0.5


def test_shown(result):
    assert repr(result) == (
        f"TrialImportance(200 trials, R² of loss={result.r2:.3g}, first: b)"
    )
    mean = result.curve("c").mean
    assert repr(result.curve("c")) == (
        f"TrialCurve(loss at 2 values of c, from {mean.min():.4g} to "
        f"{mean.max():.4g})"
    )


def test_plot_shows_importances_and_the_first_curves(result):
    axes = result.plot(2)
    axes[0].figure.canvas.draw()
    assert axes.shape == (3,)
    bars = axes[0].patches
    assert [bar.get_width() for bar in bars] == list(
        result.importances.values()
    )
    assert f"{result.r2:.2f}" in axes[0].get_xlabel()
    assert [ax.get_xlabel() for ax in axes[1:]] == ["b", "a"]
    assert axes[1].get_ylabel() == "loss"
    assert axes[1].get_ylim() == axes[2].get_ylim()
    (line,) = axes[2].get_lines()
    np.testing.assert_array_equal(line.get_ydata(), result.curve("a").mean)
    assert len(result.plot()) == 4
    assert len(result.plot(9)) == 5
    assert len(result.plot(0)) == 1


GOOD = [{"a": i, "loss": float(i)} for i in range(10)]


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        (
            [],
            "`trials` must hold at least 8 trials with a finite `loss`. Run "
            "more of them. Received: 0 trials with a finite target out of 0",
        ),
        (
            GOOD[:7],
            "`trials` must hold at least 8 trials with a finite `loss`. Run "
            "more of them. Received: 7 trials with a finite target out of 7",
        ),
        (
            [*GOOD, {"a": 1}],
            "`trials` must have `loss` in each trial. Give a failed trial NaN. "
            "Received: trials[10]={'a': 1}",
        ),
        (
            [{"a": i, "loss": 2.0} for i in range(10)],
            "`loss` must differ between trials. Choose a target that the "
            "hyperparameters can change. Received: loss=2 in each trial",
        ),
        (
            [{"a": 1, "loss": float(i)} for i in range(10)],
            "`trials` must vary at least one hyperparameter. Add what you "
            "changed to the dicts. Received: trials of {'a': 1, 'loss': 0.0} "
            "and no other value",
        ),
        (
            [{"loss": float(i)} for i in range(10)],
            "`trials` must vary at least one hyperparameter. Add what you "
            "changed to the dicts. Received: trials of {'loss': 0.0} and no "
            "other value",
        ),
        (
            [*GOOD, {"a": "auto", "loss": 1.0}],
            "`a` must be either numbers or strings, as they have no common "
            "order. Pass None for 'off', or `str(value)` of all. "
            "Received: a=0 and a='auto'",
        ),
        (
            [*GOOD, {"a": NAN, "loss": 1.0}],
            "`a` must be finite in each trial. Pass None for 'off', and leave "
            "it out of trials that do not have it. Received: a=nan",
        ),
        (
            [*GOOD, {"a": -math.inf, "loss": 1.0}],
            "`a` must be finite in each trial. Pass None for 'off', and leave "
            "it out of trials that do not have it. Received: a=-inf",
        ),
    ],
)
def test_trials_that_tell_nothing_are_refused(trials, message):
    with pytest.raises(ValueError) as error:
        trial_importance(trials, "loss")
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        (GOOD[0], "`trials` must be a list or a tuple. Pass one."),
        (3, "`trials` must be a list or a tuple. Pass one."),
        ([*GOOD, 1.0], 'Pass a data frame as `frame.to_dict("records")`.'),
        ([*GOOD, {"a": [1], "loss": 1.0}], "Received: a=[1]"),
        ([*GOOD, {"a": 1, "loss": "low"}], "trials[10]['loss']='low'"),
        ([*GOOD, {"a": 1, "loss": True}], "trials[10]['loss']=True"),
        ([*GOOD, {1: 1, "loss": 1.0}], "trials[10]'s key=1"),
    ],
)
def test_what_are_no_trials_are_refused(trials, message):
    with pytest.raises(TypeError) as error:
        trial_importance(trials, "loss")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("target", 3, TypeError),
        ("target", "", TypeError),
        ("num_repeats", 0, ValueError),
        ("num_repeats", 1.5, TypeError),
        ("seed", -1, ValueError),
        ("seed", None, TypeError),
    ],
)
def test_wrong_arguments_are_named(name, value, error):
    arguments = {"trials": GOOD, "target": "loss", name: value}
    with pytest.raises(error, match=f"Received: {name}={value!r}"):
        trial_importance(**arguments)


def test_an_unknown_hyperparameter_is_named(result):
    with pytest.raises(ValueError) as error:
        result.curve("lr")
    assert str(error.value) == (
        "`name` must be a hyperparameter of the trials: a, b, c, d. Check its "
        "spelling. Received: name='lr'"
    )
    with pytest.raises(ValueError, match="Received: num_curves=-1"):
        result.plot(-1)


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(ImportError) as error:
        trial_importance(GOOD, "loss")
    assert str(error.value) == (
        "`trial_importance` needs scikit-learn. Install it with "
        '`pip install "keras-fast[search]"`.'
    )
