"""Texts after each epoch, and a training that does not notice them."""

import io
import random
from contextlib import redirect_stdout

import keras
import numpy as np
import pytest
from helpers import BACKEND, digest

from keras_fast.callbacks import SampleText
from keras_fast.inference import TextGenerator

WORDS = 7
rng = np.random.default_rng(0)
PROMPTS = [[1], [2, 3]]
IDS = rng.integers(WORDS, size=(24, 6))


def language_model():
    """With a dropout, whose seed is a state of the training."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(WORDS, 4),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(WORDS),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.Adam(0.1), loss, jit_compile=BACKEND == "jax"
    )
    return model


def fit(model, *callbacks, **how):
    # Shuffled: the order too is a random state.
    how = {"epochs": 3, "batch_size": 8, "verbose": 0, **how}
    return model.fit(IDS[:, :-1], IDS[:, 1:], callbacks=[*callbacks], **how)


def test_training_is_the_same_bit_for_bit_and_texts_are_those_of_its_weights():
    ends = []
    for number in range(2):
        model = language_model()
        generate = TextGenerator(model).generate
        samples = SampleText(generate, PROMPTS, 8, write=list)
        history = fit(model, *[samples][:number]).history
        state = (digest(model), random.getstate(), str(np.random.get_state()))
        ends.append((*state, history))
    assert ends[0] == ends[1]
    fresh = TextGenerator(model).generate(PROMPTS, 8, seed=0)
    assert samples.texts[2] == [" ".join(map(str, text)) for text in fresh]
    assert samples.texts.keys() == {0, 1, 2}
    assert samples.texts[0] != samples.texts[2]


def test_every_second_epoch_below_its_bar():
    calls = []

    def generate(prompts, num_tokens, *, seed):
        calls.append((prompts, num_tokens, seed))
        return [[*prompt, 5] for prompt in prompts]

    samples = SampleText(
        generate,
        [[1], [2]],
        decode=lambda ids: "".join("abcdef"[i] for i in ids),
        every=2,
        seed=7,
    )
    out = io.StringIO()
    with redirect_stdout(out):
        fit(language_model(), samples, epochs=4, verbose=2)
    # The first to see whether prompts and decoder fit.
    assert calls == [([[1], [2]], n, 7) for n in (1, 30, 30)]
    assert samples.texts == {1: ["bf", "cf"], 3: ["bf", "cf"]}
    lines = [
        line if line in ("bf", "cf") else line.partition(" ")[0]
        for line in out.getvalue().splitlines()
    ]
    texts, bar = ["bf", "cf"], ["Epoch", "3/3"]
    assert lines == [*bar, *bar, *texts, *bar, *bar, *texts]


def test_what_does_not_fit_is_refused_before_the_first_epoch():
    model = language_model()
    before = model.get_weights()
    generate = TextGenerator(model).generate
    for samples, message in (
        (SampleText(generate, [[1], [WORDS]]), "`prompts` must have ids below"),
        (SampleText(generate, ["ab"]), "`prompts` must be a list of texts"),
        (SampleText(generate, [[1]], decode=lambda: ""), "positional argument"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            fit(model, samples)
    np.testing.assert_equal(model.get_weights(), before)
