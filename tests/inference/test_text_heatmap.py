"""Scores of words against closed forms and finite differences."""

import keras
import numpy as np
import pytest
from helpers import digest

from keras_fast.inference import text_heatmap
from keras_fast.models import language_model, text_classifier, text_encoder
from keras_fast.transfer.ends import lent

WORDS = 8
IDS = np.array([[2, 3, 4, 5], [6, 2, 7, 3]])
layers = keras.layers


def seeded(model):
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if not weight.name.startswith("moving"):
            weight.assign(0.5 * rng.normal(size=weight.shape))
    return model


def bag(units=3, activation="softmax", masked=False):
    return seeded(
        keras.Sequential(
            [
                keras.Input((None,), dtype="int32"),
                layers.Embedding(WORDS, 5, mask_zero=masked),
                layers.GlobalAveragePooling1D(),
                layers.Dense(units, activation),
            ]
        )
    )


def closed_form(model, ids, column):
    """The share of each word in a mean of vectors, times the weights."""
    vectors = model.layers[0].get_weights()[0][ids]
    kernel = model.layers[-1].get_weights()[0]
    counts = np.maximum((ids > 0).sum(axis=1), 1)
    return vectors @ kernel[:, column] / counts[:, None]


@pytest.mark.parametrize("activation", ["softmax", "log_softmax", None])
def test_scores_of_a_linear_model_add_up(activation):
    model = bag(activation=activation)
    found = text_heatmap(model, IDS, class_index=2)
    wanted = closed_form(model, IDS, 2)
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-4, atol=1e-6)
    assert found.classes.tolist() == [2, 2]
    # And without its end the model says the sum, and the bias.
    with lent(model.layers[-1], "activation", lambda x: x):
        logits = keras.ops.convert_to_numpy(model(IDS))[:, 2]
    bias = model.layers[-1].get_weights()[1][2]
    np.testing.assert_allclose(found.scores.sum(1) + bias, logits, rtol=1e-4)


def test_the_class_is_the_predicted_one_and_each_text_may_have_its_own():
    model = bag()
    predicted = model.predict_on_batch(IDS).argmax(axis=1)
    found = text_heatmap(model, IDS)
    np.testing.assert_array_equal(found.classes, predicted)
    found = text_heatmap(model, IDS, class_index=[1, 0])
    for row, column in enumerate([1, 0]):
        wanted = closed_form(model, IDS, column)[row]
        np.testing.assert_allclose(found.scores[row], wanted, rtol=1e-4)


def test_one_output_speaks_for_class_1_and_against_class_0():
    model = bag(1, "sigmoid")
    wanted = closed_form(model, IDS, 0)
    for index, sign in ((1, 1), (0, -1)):
        found = text_heatmap(model, IDS, class_index=index)
        np.testing.assert_allclose(found.scores, sign * wanted, rtol=1e-4)


def test_lists_are_padded_and_padding_has_no_score_where_it_is_masked():
    model = bag(masked=True)
    words = [None, *"bcdefgh"]
    found = text_heatmap(model, [[2, 3, 4], [5]], tokens=words, class_index=0)
    ids = np.array([[2, 3, 4], [5, 0, 0]])
    wanted = closed_form(model, ids, 0) * (ids > 0)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-4)
    assert found.tokens == [["c", "d", "e"], ["f", "", ""]]
    named = [dict(enumerate(words)), lambda i: words[i]]
    for tokens in named:
        again = text_heatmap(model, ids, tokens=tokens, class_index=0)
        assert again.tokens == found.tokens
    fixed = keras.Sequential([keras.Input((4,), dtype="int32"), *model.layers])
    assert text_heatmap(fixed, [[2], []]).ids.tolist() == [
        [2, 0, 0, 0],
        [0] * 4,
    ]


def classifier():
    lm = language_model(WORDS, embedding_size=4, units=6, num_layers=1)
    return seeded(text_classifier(text_encoder(lm), 2))


def by_differences(model, text, step=0.003):
    """How the class's logits change as one word's vector gets longer."""
    embedding = model.get_layer("text_encoder").get_layer("embedding")
    size = len(text)
    factors = np.ones((2 * size, size, 1), "float32")
    for i in range(size):
        factors[i, i], factors[size + i, i] = 1 + step, 1 - step
    factors = keras.ops.convert_to_tensor(factors)
    call = embedding.call

    def longer(*args, **kwargs):
        return call(*args, **kwargs) * factors

    with (
        lent(embedding, "call", longer),
        lent(model.get_layer("scores"), "activation", lambda x: x),
    ):
        logits = keras.ops.convert_to_numpy(model(np.tile(text, (2 * size, 1))))
    return (logits[:size] - logits[size:])[:, 1] / (2 * step)


def test_an_lstm_within_a_nested_encoder_by_finite_differences():
    model = classifier()
    before = digest_of(model)
    found = text_heatmap(model, IDS, class_index=1)
    for text, scores in zip(IDS, found.scores, strict=True):
        wanted = by_differences(model, text)
        scale = np.abs(wanted).max()
        np.testing.assert_allclose(scores, wanted, atol=0.01 * scale)
    assert digest_of(model) == before


@pytest.mark.once
def test_padding_on_the_right_changes_no_score():
    model = classifier()
    padded = np.pad(IDS, ((0, 0), (0, 3)))
    wanted, found = (
        text_heatmap(model, ids, class_index=1).scores for ids in (IDS, padded)
    )
    np.testing.assert_allclose(found[:, :4], wanted, rtol=1e-3, atol=1e-6)
    assert not found[:, 4:].any()


def digest_of(model):
    attributes = [sorted(layer.__dict__) for layer in model.layers]
    return [v.numpy().tolist() for v in model.variables], attributes


def test_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = bag()
    finally:
        keras.config.set_dtype_policy("float32")
    found = text_heatmap(model, IDS, class_index=1).scores
    wanted = closed_form(model, IDS, 1)
    np.testing.assert_allclose(found, wanted, atol=0.01 * np.abs(wanted).max())


def test_a_dict_of_inputs():
    inputs = {
        "token_ids": keras.Input((None,), dtype="int32", name="token_ids"),
        "mask": keras.Input((None,), dtype="bool", name="mask"),
    }
    kinds = layers.Embedding(2, 5, name="kinds")
    words = layers.Embedding(WORDS, 5, name="words")
    x = words(inputs["token_ids"]) + kinds(inputs["token_ids"] * 0)
    x = layers.GlobalAveragePooling1D()(x, mask=inputs["mask"])
    model = seeded(keras.Model(inputs, layers.Dense(2)(x)))
    data = {"token_ids": IDS, "mask": IDS > 2}
    found = text_heatmap(model, data, layer="words", class_index=0)
    kernel = model.layers[-1].get_weights()[0][:, 0]
    shares = words.get_weights()[0][IDS] @ kernel * (IDS > 2)
    wanted = shares / (IDS > 2).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.scores, wanted, rtol=1e-4)
    with pytest.raises(ValueError) as error:
        text_heatmap(model, data)
    assert str(error.value) == (
        "`model` must have one `keras.layers.Embedding`, that of the tokens. "
        "Pass that of the tokens as `layer`, or its name. Received: "
        f"model={model.name} with ['words', 'kinds']"
    )


def test_training_goes_on_as_if_nothing_had_been():
    ends = []
    for look in (False, True):
        keras.utils.set_random_seed(0)
        model = bag(masked=True)
        model.compile("adam", "sparse_categorical_crossentropy")
        for _ in range(2):
            model.fit(IDS, np.array([0, 1]), verbose=0)
            if look:
                text_heatmap(model, IDS)
        ends.append(digest(model))
    assert ends[0] == ends[1]


def broken():
    model = bag()
    model.layers[0].set_weights([w * np.nan for w in model.layers[0].weights])
    return model


def no_embedding():
    inputs = keras.Input((4,))
    return keras.Model(inputs, layers.Dense(2)(inputs))


@pytest.mark.parametrize(
    ("model", "ids", "how", "message"),
    [
        (no_embedding, IDS, {}, "Pass as `layer` any other whose outputs"),
        (bag, IDS, {"layer": "none"}, "`layer` must be one layer of"),
        (bag, IDS[0], {}, r"`ids` must be \(n, length\).*shape \(4,\)"),
        (bag, [2, 3], {}, r"`ids` must be \(n, length\).*shape \(2,\)"),
        (bag, [[1], 2], {}, r"`ids` must be \(n, length\).*shape \(2,\)"),
        (bag, {"ids": IDS}, {}, "a dict with `token_ids`"),
        (bag, [["a", "b"]], {}, "`ids` must be whole numbers"),
        (bag, IDS + 100, {}, "those of the tokens that the model knows"),
        (bag, IDS * 0.5, {}, "`ids` must be whole numbers"),
        (bag, IDS, {"tokens": ["", "a", "b"]}, "one for the id 3"),
        (bag, IDS, {"class_index": 3}, "`class_index` must be from 0 to 2"),
        (bag, IDS, {"class_index": [0]}, "`class_index` must be one class"),
        (broken, IDS, {}, "finite scores.* ids from 2 to 7, scores of NaN"),
        (bag, IDS, {"pad": -1}, "`pad` must be a whole number"),
    ],
)
def test_what_is_wrong_is_refused(model, ids, how, message):
    with pytest.raises((TypeError, ValueError), match=message):
        text_heatmap(model(), ids, **how)


def test_a_layer_of_no_words_is_refused():
    model = bag()
    with pytest.raises(ValueError, match="`layer` must give a vector for each"):
        text_heatmap(model, IDS, layer=model.layers[-1])
