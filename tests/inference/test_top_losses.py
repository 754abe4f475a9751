"""Losses against NumPy's, and whether each comes with its own image."""

import functools

import keras
import numpy as np
import pytest
from subjects import CLASSES, FORMS, Batches, cnn, images, tf_data

from keras_fast.data import TextBatches
from keras_fast.inference import top_losses

ONE_HOT = np.eye(CLASSES, dtype="float32")
ops = keras.ops


@functools.cache
def model_and_losses():
    model = cnn()
    x, y = images()
    shares = model.predict(x, verbose=0)
    return model, shares, -np.log(shares[range(len(y)), y])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("largest", [True, False])
def test_they_are_those_of_numpy_in_all_that_fit_takes(form, largest):
    model, shares, losses = model_and_losses()
    x, y = images()
    found = top_losses(model, *FORMS[form](x, y), k=7, largest=largest)
    order = np.argsort(-losses if largest else losses)[:7]
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_allclose(found.losses, losses[order], rtol=1e-5)
    np.testing.assert_array_equal(found.inputs, x[order])
    np.testing.assert_array_equal(found.labels, y[order])
    np.testing.assert_allclose(found.probabilities, shares[order], rtol=1e-5)
    np.testing.assert_array_equal(found.predicted, shares[order].argmax(1))


def test_shuffled_data_keep_each_loss_with_its_image():
    model, _, losses = model_and_losses()
    x, y = images()
    data = tf_data(x, y).unbatch().shuffle(20).batch(6)  # anew at each pass
    first, second = (top_losses(model, data, k=5) for _ in range(2))
    assert first.indices.tolist() != second.indices.tolist()
    for found in (first, second):
        rows = [int(np.argmin(np.ptp(x - p, (1, 2, 3)))) for p in found.inputs]
        assert rows == np.argsort(-losses)[:5].tolist()
        np.testing.assert_array_equal(found.labels, y[rows])
        np.testing.assert_allclose(found.losses, losses[rows], rtol=1e-5)


def cross_entropy(y, shares):
    return -np.log(shares[np.arange(len(y)), y])


def sigmoid(scores):
    return 1 / (1 + np.exp(-scores))


def softmax(scores):
    return np.exp(scores) / np.exp(scores).sum(1, keepdims=True)


def smoothed(y, shares):
    return -((0.9 * ONE_HOT[y] + 0.1 / CLASSES) * np.log(shares)).sum(1)


def binary(y, p):
    p = p[:, -1]
    return -np.where(y == 1, np.log(p), np.log(1 - p))


def two(p):
    return np.concatenate([1 - p, p], axis=1)


class Plain(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.sum((y_true - y_pred) ** 2, axis=-1)


losses = keras.losses
CASES = {
    # loss, units, labels, outputs to probabilities, its NumPy
    "logits": (
        losses.SparseCategoricalCrossentropy(from_logits=True),
        (CLASSES, None),
        lambda y: y,
        softmax,
        cross_entropy,
    ),
    "one-hot": (
        losses.CategoricalCrossentropy(label_smoothing=0.1),
        (CLASSES, "softmax"),
        lambda y: ONE_HOT[y],
        lambda p: p,
        smoothed,
    ),
    "a list": (
        ["crossentropy"],
        (CLASSES, "softmax"),
        lambda y: y,
        lambda p: p,
        cross_entropy,
    ),
    "two classes": (
        "binary_crossentropy",
        (1, "sigmoid"),
        lambda y: y % 2,
        two,
        lambda y, p: binary(y % 2, p),
    ),
    "two classes, logits, columns": (
        losses.BinaryCrossentropy(from_logits=True),
        (1, None),
        lambda y: (y % 2)[:, None],
        lambda s: two(sigmoid(s)),
        lambda y, p: binary(y % 2, p),
    ),
    "a loss of one's own": (
        Plain(),
        (CLASSES, "softmax"),
        lambda y: ONE_HOT[y],
        lambda p: p,
        lambda y, p: ((ONE_HOT[y] - p) ** 2).sum(1),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_losses_of_every_kind_equal_numpy(case):
    loss, head, label, shares_of, reference = CASES[case]
    model = cnn(*head, loss=loss)
    x, y = images()
    shares = shares_of(model.predict(x, verbose=0).astype(float))
    expected = reference(y, shares)
    found = top_losses(model, x, label(y), k=len(x))
    order = np.argsort(-expected, kind="stable")
    np.testing.assert_array_equal(np.sort(found.indices), np.arange(len(x)))
    np.testing.assert_allclose(found.losses, expected[order], rtol=2e-4)
    np.testing.assert_allclose(
        found.probabilities, shares[found.indices], rtol=1e-5
    )
    np.testing.assert_array_equal(
        found.predicted, shares[found.indices].argmax(1)
    )


def test_regression_has_losses_and_no_classes():
    def error(y_true, y_pred):  # of no rank but its own
        return ops.mean(ops.abs(y_true - y_pred), axis=-1)

    model = cnn(1, None, loss=error)
    x, y = images()
    expected = np.abs(y - model.predict(x, verbose=0)[:, 0])
    found = top_losses(model, x, y, k=3)
    np.testing.assert_allclose(
        found.losses, np.sort(expected)[::-1][:3], rtol=1e-5
    )
    assert found.probabilities is None
    assert found.predicted is None
    assert found.plot()[0].get_title().startswith("predicted: ")


def test_several_classes_a_sample():
    model = cnn(CLASSES, "sigmoid", loss="binary_crossentropy")
    x, _ = images()
    y = np.random.default_rng(0).integers(2, size=(len(x), CLASSES))
    p = model.predict(x, verbose=0).astype(float)
    expected = -np.where(y == 1, np.log(p), np.log(1 - p)).mean(1)
    found = top_losses(model, x, y, k=4, class_names=["a", "b", "c"])
    order = np.argsort(-expected)[:4]
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_array_equal(found.predicted, p[order] >= 0.5)
    on = [name for name, flag in zip("abc", y[order[0]], strict=True) if flag]
    title = found.plot()[0].get_title()
    assert f"actual: {', '.join(on) or 'none'}" in title


def test_one_loss_an_image_where_each_pixel_has_one():
    inputs = keras.Input((4, 4, 2))
    outputs = keras.layers.Dense(CLASSES, "softmax")(inputs)
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 4, 4, 2)).astype("float32")
    y = rng.integers(CLASSES, size=(5, 4, 4))
    shares = model.predict(x, verbose=0)
    each = -np.log(np.take_along_axis(shares, y[..., None], -1))
    found = top_losses(model, x, y, k=5)
    expected = np.sort(each.mean((1, 2, 3)))[::-1]
    np.testing.assert_allclose(found.losses, expected, rtol=1e-5)


@pytest.mark.parametrize("structure", [dict, list])
def test_several_inputs_keep_their_structure(structure):
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    joined = keras.layers.Concatenate()([a, b])
    inputs = {"a": a, "b": b} if structure is dict else [a, b]
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(joined))
    model.compile("sgd", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(9, n)).astype("float32") for n in (3, 2)]
    y = rng.integers(2, size=9)
    whole = {"a": x[0], "b": x[1]} if structure is dict else x
    found = top_losses(model, whole, y, k=4)
    got = list(found.inputs.values()) if structure is dict else found.inputs
    for before, after in zip(x, got, strict=True):
        np.testing.assert_array_equal(after, before[found.indices])
    with pytest.raises(ValueError, match="must be images"):
        found.plot()


def test_nan_is_larger_than_any_and_the_first_of_equals_is_first():
    model = cnn(1, None, loss="mse")
    x, _ = images(4)
    x[:] = 0
    y = np.array([1.0, np.nan, np.inf, 1.0])
    x[2] = 0
    assert top_losses(model, x, y).indices.tolist() == [1, 2, 0, 3]
    smallest = top_losses(model, x, y, largest=False)
    assert smallest.indices.tolist() == [0, 3, 2, 1]


def test_steps_end_what_has_no_end():
    model, _, losses = model_and_losses()
    data = tf_data(*images()).repeat()
    found = top_losses(model, data, k=1, steps=2)
    assert found.losses[0] == pytest.approx(losses[:12].max(), rel=1e-5)
    with pytest.raises(ValueError, match="`steps` must be given, the data has"):
        top_losses(model, data)


def test_no_more_is_kept_than_asked_for():
    class Counted(Batches):
        def __getitem__(self, i):
            x, y = super().__getitem__(i)
            return x.copy(), y

    model = model_and_losses()[0]
    found = top_losses(model, Counted(*images()), k=2)
    assert found.inputs.shape[0] == 2
    assert found.inputs.base is None or found.inputs.base.shape[0] == 2


def test_plot_says_what_is_known():
    model, shares, losses = model_and_losses()
    x, y = images()
    found = top_losses(model, x[..., :1].repeat(2, 3), y, k=3)
    assert "actual: " in found.plot()[0].get_title()
    found = top_losses(model, x, y, k=3, class_names=["cat", "dog", "fox"])
    axes = found.plot()
    names = np.array(["cat", "dog", "fox"])
    worst = int(np.argmax(losses))
    assert len(axes) == 3
    assert axes[0].get_title() == (
        f"predicted: {names[shares[worst].argmax()]} "
        f"({shares[worst].max():.0%})\n"
        f"actual: {names[y[worst]]}\nloss: {losses[worst]:.3g}"
    )
    # So does the table in a notebook; a console gets a line.
    assert found._repr_html_().startswith(
        "<table><tr><th>index</th><th>predicted</th><th>actual</th>"
        f"<th>loss</th></tr><tr><td>{worst}</td>"
        f"<td>{names[shares[worst].argmax()]} ({shares[worst].max():.0%})</td>"
        f"<td>{names[y[worst]]}</td><td>{losses[worst]:.3g}</td></tr>"
    )
    shown = ", ".join(f"{loss:.3g}" for loss in np.sort(losses)[:-4:-1])
    assert repr(found) == f"TopLosses(3 samples, losses {shown})"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": 0}, "`k` must be a whole number of at least 1"),
        ({"y": None}, "`y` must have one label a sample"),
        ({"x": np.zeros((0, 8, 8, 2)), "y": []}, "`x` must have at least one"),
        ({"model": cnn(loss=None)}, "`model` must be compiled with one loss"),
        ({"model": keras.Sequential()}, "`model` must be compiled."),
        (
            {"model": cnn(loss=lambda y, p: ops.mean(p))},
            "The loss of `model` must be one for each sample",
        ),
    ],
    ids=["k", "no labels", "no data", "no loss", "not compiled", "a mean"],
)
def test_what_is_wrong_is_named(change, message):
    x, y = images(4)
    arguments = {"model": model_and_losses()[0], "x": x, "y": y, **change}
    with pytest.raises(ValueError, match=message):
        top_losses(**arguments)


def test_two_outputs_are_refused():
    inputs = keras.Input((4,))
    ends = [keras.layers.Dense(1)(inputs) for _ in range(2)]
    model = keras.Model(inputs, ends)
    model.compile("sgd", ["mse", None])
    x = np.zeros((4, 4))
    with pytest.raises(ValueError, match="Received: model="):
        top_losses(model, x, np.zeros(4))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Received: 2 outputs"):
        top_losses(model, x, np.zeros(4))


def test_texts_of_several_widths_are_shown_as_texts():
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(9, 4),
            keras.layers.GlobalMaxPooling1D(),
            keras.layers.Dense(2, "softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    texts = [[5, 3], [2] * 6, [4, 2, 7, 7, 2], [6]]
    y = np.array([0, 1, 1, 0])
    # Widths of 2 and 6, and another id of padding.
    data = TextBatches(texts, y, 2, round_to=2, pad=8, shuffle=False)
    words = "_abcdefg."
    found = top_losses(
        model,
        data,
        k=4,
        class_names=["dull", "great"],
        decode=lambda ids: " ".join(words[i] for i in ids),
    )
    shares = np.concatenate([model.predict_on_batch(x) for x, _ in data])
    order = np.argsort(-cross_entropy(y, shares))
    assert found.indices.tolist() == order.tolist()
    wanted = [" ".join(words[i] for i in texts[index]) for index in order]
    assert found.texts == wanted
    for row, index in zip(found.inputs, order, strict=True):
        length = len(texts[index])
        assert row[:length].tolist() == texts[index]
        assert set(row[length:].tolist()) <= {8}
    axes = found.plot()
    drawn = [" ".join(t.get_text() for t in ax.texts) for ax in axes]
    assert drawn == wanted
    title = axes[0].get_title(loc="left")
    assert title.startswith("predicted: ") and ", loss: " in title
    assert all(f"<td>{text}</td>" in found._repr_html_() for text in wanted)
    with pytest.raises(ValueError) as error:
        top_losses(model, data, k=4).plot()
    assert str(error.value) == (
        "The inputs must be images or texts to be drawn. Pass `decode` to "
        "`top_losses`, which makes strings of ids. Received: inputs of shape "
        "(4, 8)"
    )
