"""Words, vectors and biases against the model's weights, axes against NumPy."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from matplotlib import pyplot as plt
from table_subjects import FILMS, collaborative, rows_of, tabular

from keras_fast.data import TableEncoder
from keras_fast.inference import ColumnEmbedding, embeddings
from keras_fast.models import tabular_model


def test_each_word_has_the_row_of_its_code():
    model = collaborative()
    found = embeddings(model)
    assert list(found) == ["user", "film"]
    assert found["user"].words == [7, 8, 9]
    assert found["film"].words == FILMS
    assert found["film"].counts.tolist() == [1, 2, 3, 1]
    for name, column in found.items():
        vectors = rows_of(model, name, "embedding")[1:]
        biases = rows_of(model, name, "bias")[1:, 0]
        np.testing.assert_array_equal(column.vectors, vectors)
        np.testing.assert_array_equal(column.biases, biases)
        assert column.name == name


def test_they_explain_what_the_model_predicts():
    model = collaborative()
    found = embeddings(model)
    user, film = found["user"], found["film"]
    score = user.vectors[2] @ film.vectors[1] + user.biases[2] + film.biases[1]
    codes = {"user": np.array([3]), "film": np.array([2])}
    predicted = model.predict(codes, verbose=0)[0, 0]
    assert predicted == pytest.approx(5.5 / (1 + np.exp(-score)), rel=1e-5)


def test_lowest_and_highest_are_by_bias():
    film = embeddings(collaborative())["film"]
    pairs = sorted(zip(film.biases.tolist(), FILMS, strict=True))
    pairs = [(word, bias) for bias, word in pairs]
    assert film.lowest(2) == pairs[:2]
    assert film.highest(2) == pairs[::-1][:2]
    assert film.lowest() == film.highest(9)[::-1] == pairs
    with pytest.raises(ValueError, match="`n` must be a whole number"):
        film.lowest(0)


def test_the_most_frequent_words_keep_what_is_theirs():
    film = embeddings(collaborative())["film"]
    two = film.most_frequent(2)
    assert two.words == ["Up", "Jaws"]
    assert two.counts.tolist() == [3, 2]
    np.testing.assert_array_equal(two.vectors, film.vectors[[2, 1]])
    np.testing.assert_array_equal(two.biases, film.biases[[2, 1]])
    assert len(film.most_frequent(99).words) == 4


def test_tabular_models_have_vectors_alone():
    model, encoder = tabular()
    found = embeddings(model)
    assert found.keys() == encoder.vocabularies.keys()
    cut = found["cut"]
    assert cut.words == ["Fair", "Good", "Ideal"]
    rows = rows_of(model, "cut", "embedding")
    np.testing.assert_array_equal(cut.vectors, rows[1:])
    assert cut.biases is None
    with pytest.raises(ValueError, match="must have biases") as caught:
        cut.highest(1)
    assert str(caught.value) == (
        "Column 'cut' must have biases to be ordered by. "
        "`collaborative_filter` learns them; look at vectors with `plot()` or "
        "`principal_axes()`. Received: ColumnEmbedding('cut', 3 words, "
        "vectors of 3, no biases)"
    )


def column(vectors, words=None):
    words = words or [f"word {i}" for i in range(len(vectors))]
    counts = np.arange(len(vectors), 0, -1)
    return ColumnEmbedding("c", words, np.float32(vectors), None, counts)


def test_principal_axes_are_those_of_numpy():
    vectors = np.random.default_rng(0).normal(size=(40, 5)) @ np.diag(range(5))
    vectors = np.float32(vectors + 7)
    found = column(vectors).principal_axes(3)
    values, axes = np.linalg.eigh(np.cov(vectors.T.astype(float)))
    assert (np.diff(values) > 0.9).all()
    for i in range(3):
        axis = axes[:, -1 - i]
        axis = axis * np.sign(axis[np.abs(axis).argmax()])
        expected = (vectors - vectors.mean(axis=0, dtype=float)) @ axis
        np.testing.assert_allclose(found[:, i], expected, atol=1e-6)
        np.testing.assert_allclose(expected.var(ddof=1), values[-1 - i])


@pytest.mark.parametrize(
    "vectors", [[[1.0, 2.0]], [[1.0], [3.0]], [[0.1, 0.2], [0.3, 0.5]]]
)
def test_axes_that_are_not_there_are_zero(vectors):
    found = column(vectors).principal_axes()
    assert found.shape == (len(vectors), 2)
    assert (found[:, 1] == 0).all()
    distance = np.linalg.norm(np.ptp(np.float32(vectors), axis=0))
    assert np.ptp(found[:, 0]) == pytest.approx(distance)
    assert len(column(vectors).plot().texts) == len(vectors)


def test_the_plot_names_its_axes_and_writes_frequent_words():
    vectors = np.zeros((4, 3))
    vectors[:, 0], vectors[:, 1] = [-3, 3, -3, 3], [-1, -1, 1, 1]
    words = column(vectors, [5, 6, 7, 8])
    _, ax = plt.subplots()
    assert words.plot(ax) is ax
    assert ax.get_xlabel() == "first principal axis (90% of the variance)"
    assert ax.get_ylabel() == "second principal axis (10%)"
    written = {text.get_text(): text.xy for text in ax.texts}
    assert set(written) == {"5", "6", "7", "8"}
    points = words.principal_axes()
    np.testing.assert_allclose([written[w] for w in "5678"], points)
    rng = np.random.default_rng(0)
    many = column(rng.normal(size=(200, 3)), [*range(200)])
    order = rng.permutation(200)
    many = ColumnEmbedding("c", many.words, many.vectors, None, order)
    written = {int(text.get_text()) for text in many.plot().texts}
    assert len(written) > 20
    assert written <= {*np.argsort(-order)[:40].tolist()}


def test_within_another_model():
    inner = collaborative()
    model = keras.Model(inner.inputs, inner(inner.inputs) * 2)
    found = embeddings(model)["film"]
    np.testing.assert_array_equal(
        found.vectors, embeddings(inner)["film"].vectors
    )


CODE = """
import sys
import keras
import numpy as np
from keras_fast.inference import embeddings

film = embeddings(keras.models.load_model(sys.argv[1]))["film"]
np.savez(
    sys.argv[2], words=film.words, vectors=film.vectors, biases=film.biases,
    axes=film.principal_axes(), highest=film.highest(1)[0][0]
)
"""


def test_a_file_holds_them_all(tmp_path):
    path, output = tmp_path / "model.keras", tmp_path / "found.npz"
    collaborative().save(path)
    subprocess.run([sys.executable, "-c", CODE, path, output], check=True)
    film, found = embeddings(collaborative())["film"], np.load(output)
    assert found["words"].tolist() == film.words
    np.testing.assert_array_equal(found["vectors"], film.vectors)
    np.testing.assert_array_equal(found["biases"], film.biases)
    np.testing.assert_array_equal(found["axes"], film.principal_axes())
    assert found["highest"] == film.highest(1)[0][0]


def plain():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def of_numbers():
    encoder = TableEncoder([], ["carat"])
    encoder.adapt({"carat": [0.5, 1.0]})
    return tabular_model(encoder, 1, units=())


def several():
    inner = collaborative(), tabular()[0]
    inputs = [*inner[0].inputs, *inner[1].inputs]
    return keras.Model(inputs, [model(model.inputs) for model in inner])


@pytest.mark.parametrize(
    ("model", "received"),
    [
        (plain, "0 tables of categorical columns []"),
        (of_numbers, "1 tables of categorical columns []"),
        (several, "2 tables of categorical columns ['user', 'film', 'cut',"),
    ],
)
def test_models_without_one_table_of_categories_are_refused(model, received):
    model = model()
    with pytest.raises(ValueError, match="must embed") as caught:
        embeddings(model)
    assert (
        "`model` must embed the categorical columns of one table. Pass a model "
        "of `tabular_model` or `collaborative_filter`; of several, one after "
        f"the other. Received: model={model.name} with {received}"
    ) in str(caught.value)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match="`model` must be a Keras model"):
        embeddings("model.keras")
