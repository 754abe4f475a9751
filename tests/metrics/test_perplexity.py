"""Perplexity against NumPy's, in training too."""

import contextlib

import keras
import numpy as np
import pytest
from helpers import BACKEND

from keras_fast.layers import ActivationRegularization
from keras_fast.metrics import Perplexity

WORDS = 7


def batches():
    """Of several widths, so that a mean over texts would be another."""
    rng = np.random.default_rng(0)
    for rows, width in ((2, 3), (4, 9), (1, 1)):
        logits = 3 * rng.normal(size=(rows, width, WORDS))
        yield (
            rng.integers(WORDS, size=(rows, width)),
            logits.astype("float32"),
            rng.uniform(size=(rows, width)).astype("float32"),
        )


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def cross_entropies(labels, logits):
    shares = softmax(logits.astype("float64"))
    return -np.log(np.take_along_axis(shares, labels[..., None], -1)[..., 0])


def expected(weigh=lambda labels, weights: np.ones(labels.shape)):
    total = count = 0
    for labels, logits, weights in batches():
        share = weigh(labels, weights)
        total += (share * cross_entropies(labels, logits)).sum()
        count += np.broadcast_to(share, labels.shape).sum()
    return np.exp(total / count)


def of(metric, change=lambda *batch: batch):
    for batch in batches():
        metric.update_state(*change(*batch))
    return float(metric.result())


@pytest.mark.parametrize("from_logits", [True, False])
def test_it_is_exp_of_the_mean_over_tokens(from_logits):
    metric = Perplexity(from_logits=from_logits)
    link = (lambda x: x) if from_logits else softmax
    for _ in range(2):
        found = of(metric, lambda y, p, w: (y, link(p)))
        np.testing.assert_allclose(found, expected(), rtol=1e-5)
        metric.reset_state()
    shape = of(metric, lambda y, p, w: (y[..., None], link(p)))
    np.testing.assert_allclose(shape, expected(), rtol=1e-5)


def test_weights_of_tokens_and_of_texts():
    metric = Perplexity(from_logits=True)
    found = of(metric)
    np.testing.assert_allclose(found, expected(lambda y, w: w), rtol=1e-5)
    metric.reset_state()
    found = of(metric, lambda y, p, w: (y, p, w[:, 0]))
    wanted = expected(lambda y, w: w[:, :1] * np.ones(y.shape))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_an_ignored_class_does_not_count_and_need_not_exist():
    def ignored(y, p, w):
        return np.where(y == 2, 255, y), np.where((y == 2)[..., None], 9e9, p)

    found = of(Perplexity(from_logits=True, ignore_class=255), ignored)
    wanted = expected(lambda y, w: (y != 2).astype(float))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_what_the_model_masks_does_not_count():
    ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(WORDS, 5, mask_zero=True)(ids)
    model = keras.Model(ids, keras.layers.Dense(WORDS)(x))
    loss = "sparse_categorical_crossentropy"
    model.compile("sgd", loss, metrics=[Perplexity(from_logits=True)])
    x = np.array([[3, 1, 0, 0], [2, 0, 0, 0]])
    found = model.test_on_batch(x, (x + 1) % WORDS, return_dict=True)
    losses = cross_entropies((x + 1) % WORDS, model.predict_on_batch(x))
    wanted = np.exp(losses[x > 0].mean())
    np.testing.assert_allclose(found["perplexity"], wanted, rtol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_training_and_validation_without_penalties(policy):
    keras.config.set_dtype_policy(policy)
    try:
        ids = keras.Input((None,), dtype="int32")
        x = keras.layers.Embedding(WORDS, 5)(ids)
        x = ActivationRegularization()([x, x])
        x = keras.layers.Dense(WORDS, dtype="float32")(x)
        model = keras.Model(ids, x)
        metric = Perplexity(from_logits=True)
    finally:
        keras.config.set_dtype_policy("float32")
    for weight in model.trainable_variables:
        weight.assign(5 * weight)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.SGD(0.0),
        loss,
        metrics=[metric],
        jit_compile=BACKEND == "jax",
    )
    ids = np.random.default_rng(1).integers(WORDS, size=(6, 9))
    x, y = ids[:, :-1], ids[:, 1:]
    history = model.fit(
        x,
        y,
        batch_size=4,
        validation_data=(x[:3], y[:3]),
        verbose=0,
        # It asks the metric which way is better.
        callbacks=[keras.callbacks.EarlyStopping("val_perplexity")],
    ).history
    losses = cross_entropies(y, model.predict_on_batch(x))
    tolerance = 1e-5 if policy == "float32" else 1e-2
    for name, rows in (("perplexity", 6), ("val_perplexity", 3)):
        wanted = np.exp(losses[:rows].mean())
        np.testing.assert_allclose(history[name][0], wanted, rtol=tolerance)
    assert np.exp(history["loss"][0]) > 1.01 * history["perplexity"][0]


@pytest.mark.tensorflow_only
def test_two_replicas_are_one():
    import tensorflow as tf

    rng = np.random.default_rng(1)
    x, y = rng.integers(WORDS, size=(2, 12, 5))
    found = []
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    for scope in (strategy.scope(), contextlib.nullcontext()):
        keras.utils.set_random_seed(0)
        with scope:
            table = keras.layers.Embedding(WORDS, WORDS)
            ids = keras.Input((None,), dtype="int32")
            model = keras.Model(ids, table(ids))
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile("sgd", loss, metrics=[Perplexity(from_logits=True)])
        table.embeddings.assign(np.eye(WORDS)[::-1])
        history = model.fit(x, y, batch_size=8, verbose=0, shuffle=False)
        found.append(history.history["perplexity"][0])
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="the others raise an error")
def test_a_label_that_is_no_word_is_not_certain():
    for label in (WORDS, -1):
        metric = Perplexity(from_logits=True)
        metric.update_state([[label]], np.zeros((1, 1, WORDS)))
        assert np.isnan(float(metric.result()))


def test_logits_are_no_probabilities():
    metric = Perplexity()
    metric.update_state([[0, 1]], [[[0.5, 0.5], [-1.0, 2.0]]])
    assert np.isnan(float(metric.result()))


def test_the_config_comes_back():
    metric = Perplexity(True, 0, name="ppl")
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert again.get_config() == metric.get_config()
    assert again.name == "ppl"
    assert np.isnan(float(metric.result()))


def test_what_is_no_id_is_refused():
    with pytest.raises(ValueError) as error:
        Perplexity().update_state(np.eye(3)[None], np.eye(3)[None])
    assert str(error.value) == (
        "`y_true` must be the ids of tokens, (batch, length), for outputs "
        "(batch, length, num_tokens). Pass ids, not one-hot vectors. "
        "Received: y_true of shape (1, 3, 3), y_pred of shape (1, 3, 3)"
    )
    with pytest.raises(TypeError, match="`ignore_class` must be a whole"):
        Perplexity(ignore_class="pad")
