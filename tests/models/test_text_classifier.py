import keras
import numpy as np
import pytest
from helpers import BACKEND, distance
from keras import ops

import keras_fast
from keras_fast import callbacks
from keras_fast.data import TextBatches
from keras_fast.models import language_model, text_classifier, text_encoder

JIT = BACKEND == "jax"
SIZES = {"embedding_size": 4, "units": 6, "num_layers": 2}
RNG = np.random.default_rng(0)
TEXTS = [RNG.integers(1, 9, n) for n in RNG.integers(1, 20, 24)]
# Whether a word is there.
LABELS = np.array([int(3 in text) for text in TEXTS])


def classifier(**arguments):
    encoder = text_encoder(language_model(9, **SIZES))
    model = text_classifier(encoder, 2, **arguments)
    model.compile(
        keras.optimizers.Adam(0.01),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=JIT,
    )
    return model


def batches(**arguments):
    # All of one width, traced once.
    return TextBatches(TEXTS, LABELS, 8, seed=0, **{"round_to": 32} | arguments)


def numbers(x):
    return keras.ops.convert_to_numpy(x)


def test_scores_are_those_of_its_parts():
    model, [ids, _] = classifier(head_units=5), batches()[0]
    rng = np.random.default_rng(1)
    weights = [rng.uniform(0.1, 0.5, w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    outputs = numbers(model.get_layer("text_encoder")(ids))
    rows = [
        row[: (text > 0).sum()] for row, text in zip(outputs, ids, strict=True)
    ]
    x = np.stack([np.r_[r[-1], r.max(axis=0), r.mean(axis=0)] for r in rows])
    for name in ("hidden", "scores"):
        norm = model.get_layer(f"{name}_bn").get_weights()
        gamma, beta, mean, variance = norm
        x = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
        kernel, bias = model.get_layer(name).get_weights()
        x = x @ kernel + bias
        x = np.maximum(x, 0) if name == "hidden" else np.exp(x)
    right = x / x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(numbers(model(ids)), right, atol=1e-4)


def test_padding_changes_nothing():
    model = classifier()
    wide = batches(round_to=64, shuffle=False)
    narrow = batches(round_to=1, shuffle=False)
    np.testing.assert_allclose(
        model.predict(wide, verbose=0),
        model.predict(narrow, verbose=0),
        atol=1e-5,
    )


def test_it_starts_frozen_and_is_unfrozen_group_by_group():
    model = classifier()
    assert len(model.trainable_variables) == 4
    names = [
        [layer.name for layer in group]
        for group in keras_fast.layer_groups(model)
    ]
    head = ["scores_bn", "scores"]
    assert names == [["embedding"], ["lstm_1"], ["lstm_2"], head]
    before = model.get_layer("text_encoder").get_weights()
    history = keras_fast.gradual_unfreeze(
        model,
        batches(),
        epochs=[1, 1, 2],
        learning_rates=0.02,
        validation_data=batches(shuffle=False),
        verbose=0,
    )
    assert history.history["first_group"] == [3, 2, 0, 0]
    after = model.get_layer("text_encoder").weights
    assert min(map(distance, after, before)) > 0


def test_it_learns_to_spot_a_word():
    model = classifier(head_units=None, dropout=0.0)
    keras_fast.unfreeze(model)
    model.fit(
        batches(), epochs=30, verbose=0, callbacks=[callbacks.OneCycle(0.05)]
    )
    _, accuracy = model.evaluate(batches(shuffle=False), verbose=0)
    assert accuracy > 0.9


def test_recipes_take_it(tmp_path):
    model, train = classifier(), batches()
    history = keras_fast.fine_tune(
        model, train, epochs=1, head_epochs=2, verbose=0
    )
    assert history.head is not None
    body, head = keras_fast.split_head(model)
    cache = keras_fast.cache_features(
        body, batches(shuffle=False), directory=tmp_path / "cache"
    )
    found = np.concatenate([x for x, _ in cache.dataset(8, shuffle=False)])
    ids = batches(shuffle=False)
    right = body.predict(ids, verbose=0)
    np.testing.assert_allclose(found, right, atol=1e-5)
    np.testing.assert_allclose(
        head.predict(found, verbose=0), model.predict(ids, verbose=0), atol=1e-5
    )
    snapshots = callbacks.SnapshotEnsemble(tmp_path / "snapshots")
    model.fit(
        train,
        epochs=2,
        verbose=0,
        callbacks=[callbacks.SGDR(0.01, cycle_len=1), snapshots],
    )
    assert snapshots.predict(ids).shape == (24, 2)


def test_saved_and_loaded(tmp_path):
    model, [ids, _] = classifier(), batches()[0]
    model.fit(batches(), verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(numbers(model(ids)), numbers(again(ids)))
    keras_fast.unfreeze(again)
    again.fit(batches(), verbose=0)


@pytest.mark.tensorflow_only
def test_exported(tmp_path):
    import tensorflow as tf

    model, [ids, _] = classifier(), batches()[0]
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(
        served.serve(ids), numbers(model(ids)), atol=1e-5
    )


def like_bert(end="sequence_output"):
    """Inputs and outputs as those of KerasHub's backbones."""
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask", "segment_ids")
    }
    x = keras.layers.Embedding(9, 4)(inputs["token_ids"])
    x += keras.layers.Embedding(2, 4)(inputs["segment_ids"])
    mask = ops.expand_dims(ops.cast(inputs["padding_mask"], x.dtype), -1)
    return keras.Model(inputs, {end: x * mask, "pooled_output": x[:, 0]})


def test_encoders_of_keras_hub():
    base = like_bert()
    model = text_classifier(base, 2)
    ids = np.array([[3, 4, 0], [5, 6, 7]])
    pooled = model.get_layer("pooling").output
    there = numbers(keras.Model(model.input, pooled)(ids))
    given = {"token_ids": ids, "padding_mask": ids > 0, "segment_ids": ids * 0}
    outputs = numbers(base(given)["sequence_output"])
    np.testing.assert_allclose(there[0, :4], outputs[0, 1], atol=1e-6)
    np.testing.assert_allclose(there[1, 8:], outputs[1].mean(0), atol=1e-6)


def test_what_is_no_encoder_of_sequences():
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    words = keras.Input((None,), name="words")
    other = keras.Model({"words": words}, words)
    for encoder in (like_bert("other"), dense, other):
        with pytest.raises(ValueError, match=f"encoder={encoder.name} from"):
            text_classifier(encoder, 2)
    with pytest.raises(TypeError, match="Received: encoder='bert'"):
        text_classifier("bert", 2)
    with pytest.raises(ValueError, match=r"Pass `text_encoder\(language_m"):
        text_classifier(language_model(9, **SIZES), 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "Received: num_classes=0"),
        ({"head_units": 0}, "Received: head_units=0"),
        ({"dropout": 1.0}, r"Received: dropout=1\.0"),
        ({"activation": "relu"}, "Received: activation='relu'"),
        ({"pad": -1}, "Received: pad=-1"),
    ],
)
def test_bad_arguments(arguments, message):
    encoder = text_encoder(language_model(9, **SIZES))
    with pytest.raises(ValueError, match=message):
        text_classifier(encoder, **{"num_classes": 2} | arguments)
    assert encoder.trainable
