"""Does each word keep what the model has learned of it, and nothing else?"""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_fast import layer_groups
from keras_fast.layers import Embedding, ScaledSigmoid
from keras_fast.models import (
    language_model,
    match_embeddings,
    text_classifier,
    text_encoder,
)
from keras_fast.models.text.vocabularies import _matched

OLD = ["[PAD]", "[UNK]", "the", "cat", "sat", "on", "mat"]
# Longer, as long, shorter.
NEW = {
    "longer": ["[PAD]", "[UNK]", "a", "dog", "sat", "the", "on", "top", "."],
    "as long": ["the", "[UNK]", "[PAD]", "dog", "sat", "a", "on"],
    "shorter": ["mat", "the", "dog"],
}
RNG = np.random.default_rng(0)


def with_random_weights(model):
    for variable in model.weights:
        variable.assign(RNG.normal(size=variable.shape))
    return model


def expected(values, new, axis=0):
    """Word by word: the old entry, or the mean of all."""
    values = np.moveaxis(np.asarray(values), axis, 0)
    entries = [
        values[OLD.index(word)] if word in OLD else values.mean(axis=0)
        for word in new
    ]
    return np.moveaxis(np.stack(entries), 0, axis)


def lm(**arguments):
    sizes = {"embedding_size": 4, "units": 6, "num_layers": 2}
    model = language_model(len(OLD), **sizes, **arguments)
    return with_random_weights(model)


def logits(model, ids):
    return keras.ops.convert_to_numpy(model(np.array([ids])))[0]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def trained(request):
    return lm(tie_weights=request.param)


@pytest.mark.parametrize("new", NEW.values(), ids=NEW)
def test_predictions_of_known_words_stay_the_same(trained, new):
    before = trained.get_weights()
    matched = match_embeddings(trained, OLD, new)
    known = [word for word in new if word in OLD]
    found = logits(matched, [new.index(word) for word in known])
    assert found.shape[-1] == len(new) == matched.layers[1].input_dim
    all_old = logits(trained, [OLD.index(word) for word in known])
    # Scores are linear in the decoder: the mean row has the mean score.
    np.testing.assert_allclose(found, expected(all_old, new, -1), atol=1e-5)
    for mine, theirs in zip(trained.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert [x.name for x in matched.layers] == [x.name for x in trained.layers]
    assert not matched.compiled


@pytest.mark.parametrize("new", NEW.values(), ids=NEW)
def test_a_classifier_and_what_is_frozen_in_it(new):
    encoder = text_encoder(lm())
    classifier = with_random_weights(text_classifier(encoder, 3, head_units=5))
    classifier.get_layer("text_encoder").get_layer("lstm_2").trainable = True
    classifier.compile("adam", "sparse_categorical_crossentropy")
    matched = match_embeddings(classifier, OLD, new)
    assert not matched.compiled
    for old, copy in zip(classifier.weights, matched.weights, strict=True):
        value = np.asarray(keras.ops.convert_to_numpy(old))
        if value.shape[0] == len(OLD):
            value = expected(value, new)
        found = keras.ops.convert_to_numpy(copy)
        np.testing.assert_allclose(found, value, rtol=1e-6)
        assert copy.trainable == old.trainable
    assert [len(x.trainable_variables) for x in matched.layers] == [
        len(x.trainable_variables) for x in classifier.layers
    ]
    names = [[x.name for x in group] for group in layer_groups(matched)]
    assert names == [[x.name for x in g] for g in layer_groups(classifier)]


def bag(embedding, *after):
    ids = keras.Input((3,), dtype="int32")
    x = keras.layers.GlobalAveragePooling1D()(embedding(ids))
    for layer in after:
        x = layer(x)
    return keras.Model(ids, x)


def sequential():
    return keras.Sequential(
        [
            keras.Input((3,), dtype="int32"),
            keras.layers.Embedding(len(OLD), 4, mask_zero=True),
            keras.layers.LSTM(5),
            keras.layers.Dense(len(OLD)),
            keras.layers.BatchNormalization(),
            keras.layers.Softmax(),
        ]
    )


def next_word():
    model = bag(Embedding(len(OLD), 4), keras.layers.Dense(len(OLD)))
    return keras.Sequential([model, keras.layers.Softmax()])


def test_the_copy_trains_alone():
    model = next_word()
    matched = match_embeddings(model, OLD, NEW["longer"])
    before, start = model.get_weights(), matched.get_weights()
    matched.compile("adam", "sparse_categorical_crossentropy")
    matched.fit(np.array([[1, 8, 3]]), np.array([7]), epochs=2, verbose=0)
    # On JAX, shared buffers would be gone by now.
    for mine, theirs in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    moved = zip(matched.get_weights(), start, strict=True)
    assert all((a != b).any() for a, b in moved)


def from_a_table():
    table = RNG.normal(size=(len(OLD), 4))
    constant = keras.initializers.Constant(table)
    layer = keras.layers.Embedding(len(OLD), 4, constant)
    return bag(layer, keras.layers.Dense(2))


def two_inputs():
    words = {x: keras.Input((3,), dtype="int32", name=x) for x in "ab"}
    place = keras.layers.Embedding(3, 4)
    embedding = Embedding(len(OLD), 4, weights=RNG.normal(size=(len(OLD), 4)))
    vectors = [
        embedding(x) + place(keras.ops.arange(3)) for x in words.values()
    ]
    score = keras.layers.Dot(2)(vectors)
    return keras.Model(words, {"score": ScaledSigmoid(0, 5)(score)})


@pytest.mark.parametrize(
    "build", [sequential, next_word, from_a_table, two_inputs]
)
def test_any_functional_model(build):
    model = with_random_weights(build())
    matched = match_embeddings(model, OLD, NEW["longer"])
    weights = zip(model.weights, matched.weights, strict=True)
    resized = 0
    for old, copy in weights:
        value = np.asarray(keras.ops.convert_to_numpy(old))
        for axis, size in enumerate(value.shape):
            if size == len(OLD):
                value = expected(value, NEW["longer"], axis)
                resized += 1
        found = keras.ops.convert_to_numpy(copy)
        np.testing.assert_allclose(found, value, rtol=1e-5)
    assert resized == {"sequential": 7, "next_word": 3}.get(build.__name__, 1)


def test_half_precision_is_averaged_in_full():
    values = np.full((3000, 2), 0.1, "float16")
    mean = _matched(values, 0, np.array([-1]))
    assert mean.dtype == "float16"
    np.testing.assert_array_equal(mean, values[:1])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 9), unique=True, min_size=1),
    st.lists(st.integers(0, 9), unique=True, min_size=1),
    st.integers(0, 1),
)
def test_matched_word_by_word(old, new, axis):
    rows = np.array([old.index(w) if w in old else -1 for w in new])
    values = RNG.normal(size=(2, len(old)) if axis else (len(old), 2))
    found = np.moveaxis(_matched(values, axis, rows), axis, 0)
    values = np.moveaxis(values, axis, 0)
    for word, row in zip(new, found, strict=True):
        known = values[old.index(word)] if word in old else values.mean(axis=0)
        np.testing.assert_allclose(row, known)


def test_vocabularies_of_a_tokenizer():
    model = bag(keras.layers.Embedding(len(OLD), 4), keras.layers.Dense(2))
    ids = {word: i for i, word in reversed([*enumerate(OLD)])}
    new = {"sat": 1, "dog": 0}
    matched = match_embeddings(model, ids, new)
    table = model.get_weights()[0]
    np.testing.assert_allclose(
        matched.get_weights()[0], [table.mean(axis=0), table[4]], rtol=1e-6
    )


class Subclass(keras.Model):
    def call(self, x):
        return x


@keras.saving.register_keras_serializable("test")
class Transposed(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], len(OLD)))

    def call(self, x):
        return keras.ops.matmul(x, self.kernel)


def quantized():
    model = bag(keras.layers.Embedding(len(OLD), 4, name="words"))
    model.get_layer("words").quantize("int8")
    return model


def words_of(*after, size=7):
    return bag(keras.layers.Embedding(size, 4), *after)


def two_tables():
    ids = keras.Input((3,), dtype="int32")
    tables = [keras.layers.Embedding(len(OLD), 4, name=x) for x in "ab"]
    return keras.Model(ids, tables[0](ids) + tables[1](ids))


MODELS = {
    "rows": (lambda: words_of(size=9), "a row for each of 7 old words.*: 9}"),
    "no table": (
        lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(7)]),
        "must have an embedding of words",
    ),
    "two": (two_tables, "must have one embedding of 7 rows.*'a': 7, 'b': 7"),
    "subclass": (Subclass, "must be functional .*Subclass"),
    "decoder": (
        lambda: words_of(Transposed(name="odd")),
        r"no other decoder .* odd \(Transposed\), which makes 7 outputs",
    ),
    "operation": (
        lambda: words_of(keras.layers.Dense(14), keras.layers.Reshape((2, 7))),
        "no other decoder",
    ),
    "quantized": (quantized, "must not be quantized.*int8"),
}


@pytest.mark.parametrize("name", MODELS)
def test_refused_models(name):
    build, message = MODELS[name]
    with pytest.raises(ValueError, match=message):
        match_embeddings(build(), OLD, NEW["longer"])


VOCABULARIES = {
    "twice": (["a", "b", "a"], ValueError, r"another word .*\[0\].*\[2\]='a'"),
    "gap": ({"a": 0, "b": 2}, ValueError, r"without gaps.*\[1\]=None"),
    "one id for two": ({"a": 0, "b": 0}, ValueError, r"gaps.*\[1\]=None"),
    "bytes": ([b"the"], TypeError, r"\[0\]=b'the'"),
    "a string": ("the", TypeError, "must be a list"),
    "empty": ([], ValueError, "must be a vocabulary"),
    "other case": (["THE", "CAT"], ValueError, "must have words of .*THE"),
}


@pytest.mark.once
@pytest.mark.parametrize("name", VOCABULARIES)
def test_refused_vocabularies(name):
    new, error, message = VOCABULARIES[name]
    with pytest.raises(error, match=message):
        match_embeddings(words_of(), OLD, new)


def test_a_classifier_of_as_many_classes_as_words():
    encoder = text_encoder(lm())
    model = text_classifier(encoder, len(OLD))
    matched = match_embeddings(model, OLD, ["[PAD]", "mat", "the"])
    ids = np.array([[OLD.index("the"), OLD.index("mat")]])
    np.testing.assert_allclose(
        matched.predict(np.array([[2, 1]]), verbose=0),
        model.predict(ids, verbose=0),
        rtol=1e-5,
    )


def test_what_only_looks_like_a_decoder_stays():
    # As wide as the vocabulary is long.
    ids = keras.Input((3,), dtype="int32")
    x = keras.layers.Embedding(len(OLD), 7)(ids)
    x = keras.layers.Dense(7, name="projection")(x)
    x = keras.layers.LSTM(7, return_sequences=True)(x)
    matched = match_embeddings(keras.Model(ids, x), OLD, NEW["longer"])
    assert matched.output_shape == (None, 3, 7)
    assert matched.get_layer("projection").units == 7
