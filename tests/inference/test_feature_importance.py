"""Permutation importance against NumPy, with the same permutations."""

import functools

import keras
import numpy as np
import pytest
from helpers import digest
from matplotlib import pyplot as plt
from table_subjects import ROWS, sales, tabular

from keras_fast.inference import FeatureImportance, feature_importance

N = 50
SLOPES = np.array([[3.0], [-1.0], [0.0]], "float32")


def numbers():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(N, 3)).astype("float32")
    return x, x @ SLOPES[:, 0] + rng.normal(size=N).astype("float32")


def not_compiled():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, use_bias=False)]
    )
    model.set_weights([SLOPES])
    return model


@functools.cache
def linear():
    model = not_compiled()
    model.compile("sgd", "mse", metrics=["mae"])
    return model


@functools.cache
def linear_of_dicts():
    inputs = {name: keras.Input((), name=name) for name in "abc"}
    columns = [x[:, None] for x in inputs.values()]
    x = keras.layers.Concatenate()(columns)
    dense = keras.layers.Dense(1, use_bias=False)
    model = keras.Model(inputs, dense(x))
    dense.set_weights([SLOPES])
    model.compile("sgd", "mse")
    return model


def mse(y, predictions):
    return np.mean((y - predictions) ** 2)


def by_hand(x, y, groups, seed, repeats, metric=mse):
    """Means and deviations of the scores, and the score as it is."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(N) for _ in range(repeats)]
    slopes = SLOPES[:, 0].astype(float)
    scores = []
    for group in groups:
        scores.append([])
        for order in orders:
            mixed = x.astype(float)
            mixed[:, group] = mixed[order][:, group]
            scores[-1].append(metric(y, mixed @ slopes))
    baseline = metric(y, x.astype(float) @ slopes)
    scores = np.array(scores)
    return scores.mean(axis=1) - baseline, scores.std(axis=1), baseline


def check(found, expected):
    importances, spread, baseline = expected
    np.testing.assert_allclose(found.importances, importances, atol=2e-5)
    np.testing.assert_allclose(found.spread, spread, atol=2e-5)
    assert found.baseline == pytest.approx(baseline, abs=1e-5)


# Of 50 rows: whole, in equal parts, and with a last one that is filled up.
@pytest.mark.parametrize("batch_size", [64, 25, 17])
@pytest.mark.parametrize("form", ["array", "dict"])
def test_it_is_that_of_numpy(form, batch_size):
    x, y = numbers()
    how = {"num_repeats": 3, "batch_size": batch_size, "seed": 5}
    if form == "array":
        found = feature_importance(linear(), x, y, **how)
        assert found.names == ["0", "1", "2"]
    else:
        columns = dict(zip("abc", x.T, strict=True))
        found = feature_importance(linear_of_dicts(), columns, y, **how)
        assert found.names == ["a", "b", "c"]
    check(found, by_hand(x, y, [[0], [1], [2]], 5, 3))
    assert found.importances[2] == 0
    assert found.metric == "mean_squared_error"


def test_columns_named_together_keep_their_rows_together():
    x, y = numbers()
    columns = {"both": [0, 1], "last": [2]}
    found = feature_importance(linear(), x, y, columns=columns)
    assert found.names == ["both", "last"]
    check(found, by_hand(x, y, [[0, 1], [2]], 0, 5))
    apart = feature_importance(linear(), x, y)
    assert abs(found.importances[0] - apart.importances[:2].sum()) > 0.1


def test_tensors_and_labels_of_two_axes():
    x, y = numbers()
    tensors = (keras.ops.convert_to_tensor(each) for each in (x, y[:, None]))
    found = feature_importance(linear(), *tensors)
    check(found, by_hand(x, y, [[0], [1], [2]], 0, 5))


def minus_mse(y, predictions):
    assert y.shape == predictions.shape == (N,)
    return -mse(y, predictions)


def test_a_function_of_which_more_is_better():
    x, y = numbers()
    found = feature_importance(
        not_compiled(), x, y, metric=minus_mse, larger_is_better=True
    )
    check(found, (*by_hand(x, y, [[0], [1], [2]], 0, 5)[:2], found.baseline))
    assert found.baseline == pytest.approx(-mse(y, x @ SLOPES[:, 0]), abs=1e-5)
    assert (found.metric, found.larger_is_better) == ("minus_mse", True)


@pytest.mark.parametrize(
    ("metric", "larger", "function"),
    [
        (keras.metrics.R2Score(name="r2"), True, None),
        (
            keras.metrics.MeanAbsoluteError(name="mae"),
            False,
            lambda y, p: np.abs(y - p).mean(),
        ),
    ],
    ids=["R2Score", "MeanAbsoluteError"],
)
def test_a_keras_metric_declares_its_direction_and_keeps_its_state(
    metric, larger, function
):
    x, y = numbers()
    metric.update_state(np.ones((3, 1)), np.arange(3.0)[:, None])
    before = float(metric.result())
    found = feature_importance(linear(), x, y[:, None], metric=metric)
    assert float(metric.result()) == before
    assert (found.metric, found.larger_is_better) == (metric.name, larger)

    def r2(y, predictions):
        return -(1 - mse(y, predictions) / y.var())

    expected = by_hand(x, y, [[0], [1], [2]], 0, 5, function or r2)
    sign = -1 if larger else 1
    check(found, (*expected[:2], sign * expected[2]))


def test_masked_places_do_not_count():
    tokens = np.array([[1, 2, 0], [3, 0, 0], [2, 1, 3], [1, 3, 0]])
    inputs = {"tokens": keras.Input((3,), dtype="int32", name="tokens")}
    embed = keras.layers.Embedding(4, 1, mask_zero=True)
    model = keras.Model(inputs, embed(inputs["tokens"]))
    embed.set_weights([np.array([[100.0], [1.0], [2.0], [3.0]])])
    model.compile("sgd", "mse")
    y = tokens[..., None].astype("float32")
    found = feature_importance(model, {"tokens": tokens}, y, num_repeats=1)
    order = np.random.default_rng(0).permutation(4)
    mask = tokens[order] != 0
    errors = (tokens[order] - tokens) ** 2 * mask
    expected = (errors.sum(axis=1) / mask.sum(axis=1)).mean()
    assert found.baseline == 0
    np.testing.assert_allclose(found.importances, [expected], rtol=1e-6)


def test_what_was_one_column_of_the_table_is_permuted_together():
    x, y = tabular()[1](sales()), np.arange(ROWS, dtype="float32")
    assert len(x) > 10
    x["others"] = x["cut"] * 0
    model = model_of_more()
    found = feature_importance(model, x, y)
    assert found.names == ["cut", "carat", "sold", "others"]
    rng = np.random.default_rng(0)
    orders = [rng.permutation(ROWS) for _ in range(5)]
    parts = [name for name in x if name.startswith("sold_")]
    for i, names in enumerate([["cut"], ["carat", "carat_na"], parts]):
        scores = []
        for order in orders:
            mixed = {**x, **{name: x[name][order] for name in names}}
            outputs = model.predict_on_batch(mixed)[:, 0]
            scores.append(mse(y, outputs) - found.baseline)
        expected = np.mean(scores)
        np.testing.assert_allclose(found.importances[i], expected, rtol=1e-4)


@functools.cache
def model_of_more():
    """The model within another that takes one input more, and drops it."""
    inner, encoder = tabular()
    x = encoder(sales())
    inputs = {
        name: keras.Input((), dtype=str(array.dtype), name=name)
        for name, array in x.items()
    }
    others = keras.Input((), dtype="int32", name="others")
    outputs = inner(inputs)
    model = keras.Model({**inputs, "others": others}, outputs)
    model.compile("sgd", "mse")
    return model


def test_nothing_changes():
    model, x, y = linear(), *numbers()
    model.evaluate(x, y, verbose=0)
    before = (
        digest(model),
        [v.numpy().tolist() for v in model.metrics_variables],
    )
    assert len(before[1]) > 2
    np.random.seed(1)
    inputs = x.copy(), y.copy()
    first = feature_importance(model, x, y)
    assert np.random.get_state()[2] == 624  # nothing was drawn
    after = digest(model), [v.numpy().tolist() for v in model.metrics_variables]
    assert after == before
    for array, copy in zip((x, y), inputs, strict=True):
        np.testing.assert_array_equal(array, copy)
    second = feature_importance(model, x, y)
    np.testing.assert_array_equal(first.importances, second.importances)
    others = feature_importance(model, x, y, seed=None)
    assert (others.importances[:2] != first.importances[:2]).all()


def test_repr_and_html_put_the_most_important_first():
    result = FeatureImportance(
        ["a_b", "c", "d", "e"],
        np.array([0.1, 0.3, 0.2, -0.1]),
        np.array([0.01, 0.0, 0.0, 0.0]),
        0.9,
        "auc_score",
        larger_is_better=True,
    )
    assert repr(result) == (
        "FeatureImportance(decrease in auc score from 0.9: c 0.3, d 0.2, "
        "a_b 0.1, ... of 4 columns)"
    )
    html = result._repr_html_()
    assert html.index("<td>c</td>") < html.index("<td>a_b</td>")
    assert "decrease in auc score" in html


def test_the_plot_names_what_got_worse():
    x, y = numbers()
    result = feature_importance(linear(), x, y)
    _, ax = plt.subplots()
    assert result.plot(ax) is ax
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["0", "1", "2"]
    widths = [bar.get_width() for bar in ax.patches]
    np.testing.assert_allclose(widths, result.importances)
    assert ax.get_xlabel() == (
        f"increase in mean squared error from {result.baseline:.3g} "
        "when permuted"
    )


X, Y = numbers()
WRONG = {
    "y missing": (
        (X,),
        {},
        TypeError,
        "`y` must be the labels of `x`: how much worse predictions get is "
        "measured with them. Pass them. Received: y=None",
    ),
    "lengths": (
        ({"a": X[:, 0], "b": X[1:, 1]}, Y),
        {},
        ValueError,
        "`x` and `y` must have equally many rows. Check the length of each "
        "array. Received: rows {'a': 50, 'b': 49, 'y': 50}",
    ),
    "length of y": (
        (X, Y[1:]),
        {},
        ValueError,
        "Received: rows {'x': 50, 'y': 49}",
    ),
    "no axis": (
        ({"a": 1.0}, Y),
        {},
        ValueError,
        "Received: rows {'a': None, 'y': 50}",
    ),
    "no columns": (
        ({}, Y),
        {},
        ValueError,
        "`x` must have at least one row and one column. Check what was "
        "selected. Received: columns [], 50 rows",
    ),
    "no columns of an array": (
        (X[:, :0], Y),
        {},
        ValueError,
        "Received: columns ['x'], 50 rows",
    ),
    "no rows": (
        ({"a": X[:0, 0]}, Y[:0]),
        {},
        ValueError,
        "Received: columns ['a'], 0 rows",
    ),
    "a list": (
        ([X[:, 0], X[:, 1]], Y),
        {},
        TypeError,
        "`x` must be a dict of arrays, or an array (rows, columns). Columns "
        "are permuted over all rows, so pass these at once. Received: x=list",
    ),
    "batches": (
        (keras.utils.PyDataset(), None),
        {},
        TypeError,
        "pass these at once. Received: x=PyDataset",
    ),
    "a generator": (
        ((i for i in range(3)), Y),
        {},
        TypeError,
        "Received: x=generator",
    ),
    "metric": (
        (X, Y),
        {"metric": "mae"},
        TypeError,
        "`metric` must be callable. Pass `keras.metrics.get(name)`. "
        "Received: metric='mae'",
    ),
    "metric of several": (
        (X, Y),
        {"metric": lambda y, p: y},
        ValueError,
        "The metric must be one finite number. Return one for all rows, and "
        "check that the predictions are finite. Received: array(",
    ),
    "metric of NaN": (
        (X, Y),
        {"metric": lambda y, p: np.nan},
        ValueError,
        "check that the predictions are finite. Received: nan",
    ),
    "metric of None": (
        (X, Y),
        {"metric": lambda y, p: None},
        ValueError,
        "Received: None",
    ),
    "num_repeats": (
        (X, Y),
        {"num_repeats": 0},
        ValueError,
        "`num_repeats` must be a whole number of at least 1. Pass an int of 1 "
        "or more. Received: num_repeats=0",
    ),
    "batch_size": (
        (X, Y),
        {"batch_size": 0},
        ValueError,
        "`batch_size` must be a whole number of at least 1.",
    ),
    "columns that are not there": (
        (X, Y),
        {"columns": {"size": [2, 3]}},
        ValueError,
        "`columns['size']` must be columns of `x`. Choose from [0, 1, 2]. "
        "Received: [3]",
    ),
    "columns without a name": (
        (X, Y),
        {"columns": [0, 1]},
        TypeError,
        "`columns` must map a name to what is permuted together: names of "
        "arrays in `x`, or numbers of its columns. Pass a dict such as "
        "{'size': ['x', 'y']}. Received: columns=[0, 1]",
    ),
    "columns of a string": (
        (X, Y),
        {"columns": {"size": "x"}},
        TypeError,
        "`columns['size']` must be a list or a tuple. Pass one. Received: "
        "columns['size']='x'",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_refused(name):
    args, kwargs, error, message = WRONG[name]
    with pytest.raises(error) as caught:
        feature_importance(linear(), *args, **kwargs)
    assert message in str(caught.value)


def test_an_array_that_is_no_input_is_refused():
    # Keras would take "aa" for "b", and "b" for "c".
    x, y = numbers()
    columns = dict(zip(["a", "b", "c", "aa"], [*x.T, y], strict=True))
    with pytest.raises(ValueError, match="no other arrays") as caught:
        feature_importance(linear_of_dicts(), columns, y)
    assert str(caught.value).endswith("Received: x with ['aa']")


def test_a_model_that_is_not_compiled_needs_a_metric():
    model = not_compiled()
    with pytest.raises(ValueError, match="`model` must be compiled"):
        feature_importance(model, X, Y)
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        feature_importance("model", X, Y, metric=mse)


@pytest.mark.parametrize("wrong", ["the table", "an array", "no flag"])
def test_what_the_encoder_did_not_return_is_refused(wrong):
    model, encoder = tabular()
    x, name = sales(), "cut"
    received = f"Received: {x['cut'][0]!r} in 'cut'"
    if wrong == "an array":
        x = np.zeros((ROWS, 3))
        received = "Received: x without ['cut']"
    elif wrong == "no flag":
        x, name = encoder(x), "carat"
        del x["carat_na"]
        received = "Received: x without ['carat_na']"
    with pytest.raises(ValueError, match="as the encoder returns it") as caught:
        feature_importance(model, x, np.zeros(ROWS))
    assert str(caught.value) == (
        f"`x` must have column {name!r} as the encoder returns it. Pass "
        f"`TableEncoder.of(model)(table)`, not the table. {received}"
    )
