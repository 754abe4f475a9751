"""Texts that a language model continues, against a loop by hand."""

import functools
import random

import keras
import numpy as np
import pytest
from helpers import BACKEND, digest

from keras_fast.inference import TextGenerator
from keras_fast.inference._next_token import next_token

WORDS = 6
PROMPTS = [[2, 3, 4, 5], [1], [5, 1]]


def causal(words=WORDS, length=None):
    """Sees three tokens, none of them ahead."""
    model = keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            keras.layers.Embedding(words, 4),
            keras.layers.Conv1D(words, 3, padding="causal"),
        ]
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    return model


def bigrams(*ends):
    """Each token has its own logits of the next."""
    rng = np.random.default_rng(1)
    table = keras.layers.Embedding(WORDS, WORDS)
    model = keras.Sequential(
        [keras.Input((None,), dtype="int32"), table, *ends]
    )
    table.embeddings.assign(rng.normal(size=(WORDS, WORDS)))
    return model


def as_lists(texts):
    return [text.tolist() for text in texts]


def by_hand(model, texts, num_tokens, length):
    texts = [list(text) for text in texts]
    for text in texts:
        for _ in range(num_tokens):
            seen = np.array([text[-length:]])
            logits = keras.ops.convert_to_numpy(model(seen))
            text.append(int(logits[0, -1].argmax()))
    return texts


@pytest.mark.parametrize("length", [2, 72])
def test_greedy_is_a_loop_by_hand(length):
    model = causal()
    generator = TextGenerator(model, temperature=0, length=length)
    found = as_lists(generator.generate(PROMPTS, 6))
    assert found == by_hand(model, PROMPTS, 6, length)
    assert [len(text) for text in found] == [10, 7, 8]
    # The weights are those of now.
    for weight in model.weights:
        weight.assign(weight.numpy()[::-1].copy())
    again = as_lists(generator.generate(PROMPTS, 6))
    assert again == by_hand(model, PROMPTS, 6, length) != found


def test_the_window_is_that_of_the_input():
    fixed, free = causal(length=3), causal()
    found = TextGenerator(fixed, temperature=0).generate(PROMPTS, 5)
    assert as_lists(found) == by_hand(free, PROMPTS, 5, 3)


def test_it_is_traced_once():
    model = bigrams()
    calls = []
    table = model.layers[0]
    call = table.call
    table.call = lambda *args: calls.append(args) or call(*args)
    generator = TextGenerator(model)
    for seed in range(2):
        generator.generate(PROMPTS, 10, seed=seed)
    assert len(calls) == {"tensorflow": 1, "jax": 1, "torch": 20}[BACKEND]


CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy
ENDS = {
    "logits": ([], None),
    "compiled logits": ([], CROSS_ENTROPY(from_logits=True)),
    "probabilities": (["softmax"], None),
    "compiled probabilities": (["softmax"], CROSS_ENTROPY()),
    "logarithms": (["log_softmax"], None),
    "compiled logarithms": (["log_softmax"], CROSS_ENTROPY(from_logits=True)),
}


@functools.cache
def continued(name):
    ends, loss = ENDS[name]
    model = bigrams(*map(keras.layers.Activation, ends))
    if loss is not None:
        model.compile("sgd", loss)
    return as_lists(TextGenerator(model).generate(PROMPTS, 8, seed=3))


@pytest.mark.parametrize("name", ENDS)
def test_logits_and_probabilities_say_the_same(name):
    assert continued(name) == continued("logits")


def test_chance_is_that_of_the_softmax():
    scores = np.array([0.5, -np.inf, 2.0, 1.0])
    generator = np.random.default_rng(0)
    for temperature, top_k in ((1.0, None), (0.5, None), (2.0, 2)):
        powers = np.exp(scores / temperature)
        if top_k:
            powers[0] = 0
        drawn = [
            next_token(scores, temperature, top_k, generator)
            for _ in range(4000)
        ]
        shares = np.bincount(drawn, minlength=4) / 4000
        np.testing.assert_allclose(shares, powers / powers.sum(), atol=0.03)
    assert next_token(scores, 1e-12, None, generator) == 2


def test_a_seed_is_all_the_chance_there_is():
    model = bigrams(keras.layers.Dropout(0.5))
    model.compile("sgd", CROSS_ENTROPY(from_logits=True))
    generator = TextGenerator(model)
    before = digest(model), random.getstate(), str(np.random.get_state())
    first = as_lists(generator.generate(PROMPTS, 12, seed=0))
    assert as_lists(generator.generate(PROMPTS, 12, seed=0)) == first
    assert as_lists(generator.generate(PROMPTS, 12, seed=1)) != first
    # No prompt depends on its neighbours.
    assert as_lists(generator.generate(PROMPTS[:1], 12, seed=0)) == first[:1]
    others = [as_lists(generator.generate([[1]], 12)) for _ in range(3)]
    assert not others[0] == others[1] == others[2]
    after = digest(model), random.getstate(), str(np.random.get_state())
    assert after == before


def test_what_must_not_come_and_where_a_text_ends():
    generator = TextGenerator(bigrams(), exclude=[0, 1, 99], stop=4)
    texts = generator.generate([[0, 4, 1]] * 20, 15, seed=0)
    new = [text[3:].tolist() for text in texts]
    assert {token for text in new for token in text} == {2, 3, 4, 5}
    assert all(4 not in text[:-1] for text in new)
    assert all(text[-1] == 4 or len(text) == 15 for text in new)
    assert len({len(text) for text in new}) > 3


def refused(call):
    with pytest.raises((TypeError, ValueError)) as error:
        call()
    return str(error.value)


def test_what_is_no_prompt_is_refused():
    generator = TextGenerator(bigrams())
    assert refused(lambda: generator.generate([2, 3], 1)) == (
        "`prompts` must be a list of texts, each a list of the ids of its "
        "tokens. Pass one text as [text], and strings through your tokenizer. "
        "Received: prompts=[2, 3]"
    )
    assert refused(lambda: generator.generate([[2], []], 1)) == (
        "`prompts` must have texts of one id or more, and ids of 0 or more. "
        "Begin an empty text with the token that begins every text. "
        "Received: prompts=[[2], []]"
    )
    assert "strings" in refused(lambda: generator.generate(["ab"], 1))
    assert "strings" in refused(lambda: generator.generate([[0.5]], 1))


def test_an_unknown_id_is_refused():
    # What TensorFlow would refuse on a CPU alone.
    length, tokens = 3, 4
    model = keras.Sequential(
        [
            keras.Input((length,), dtype="int32"),
            keras.layers.RepeatVector(tokens),
            keras.layers.Permute((2, 1)),
        ]
    )
    assert refused(lambda: TextGenerator(model).generate([[7]], 1)) == (
        "`prompts` must have ids below 4, the number of tokens that the model "
        "knows. Use its tokenizer. Received: an id of 7"
    )
    # What TensorFlow refuses in words of its own.
    assert refused(lambda: TextGenerator(bigrams()).generate([[99]], 1)) == (
        f"`prompts` must have ids below {WORDS}, the number of tokens that the "
        "model knows. Use its tokenizer. Received: an id of 99"
    )


def test_what_is_no_language_model_is_refused():
    pooled = bigrams(keras.layers.GlobalAveragePooling1D())
    assert "(batch, length, num_tokens). Pass a language" in refused(
        lambda: TextGenerator(pooled).generate([[2]], 1)
    )
    flags = bigrams(keras.layers.Activation("sigmoid"))
    assert "End it in a softmax, or compile" in refused(
        lambda: TextGenerator(flags).generate([[2]], 1)
    )
    broken = bigrams()
    broken.set_weights([np.full((WORDS, WORDS), np.nan)])
    assert "training may have diverged" in refused(
        lambda: TextGenerator(broken).generate([[2]], 1)
    )
    everything = TextGenerator(bigrams(), exclude=range(WORDS))
    assert "`exclude` must leave a token" in refused(
        lambda: everything.generate([[2]], 1)
    )
    unbuilt = keras.Sequential([keras.layers.Embedding(WORDS, WORDS)])
    assert "(not built)" in refused(lambda: TextGenerator(unbuilt))
    assert "`length` must be that of the model's input" in refused(
        lambda: TextGenerator(causal(length=3), length=4)
    )
