"""KerasHub's text encoders under a classifier of ours."""

import keras
import numpy as np
import pytest

import keras_fast
from keras_fast.data import TextBatches
from keras_fast.models import text_classifier

hub = pytest.importorskip("keras_hub")

TEXTS = [[2, 5, 6], [2, 7], [2, 5, 5, 8, 9], [2, 9, 6, 7]] * 8
LABELS = np.array([0, 1, 0, 1] * 8)


@pytest.fixture(scope="module")
def bert():
    keras.utils.set_random_seed(0)
    return hub.models.BertBackbone(
        vocabulary_size=12,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=32,
    )


def test_a_bert_learns_and_padding_does_not_count(bert, tmp_path):
    model = text_classifier(bert, 2, dropout=0)
    keras_fast.unfreeze(model)
    model.compile(
        keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy"
    )
    batches = TextBatches(TEXTS, LABELS, 32, seed=0)
    model.fit(batches, epochs=25, verbose=0)
    probabilities = model.predict(TextBatches(TEXTS), verbose=0)
    assert np.array_equal(probabilities.argmax(axis=-1), LABELS)
    narrow, wide = (
        np.pad([[2, 5, 5, 8, 9]], ((0, 0), (0, pad))) for pad in (3, 20)
    )
    np.testing.assert_allclose(
        model.predict(narrow, verbose=0),
        model.predict(wide, verbose=0),
        atol=1e-5,
    )
    model.save(tmp_path / "bert.keras")
    again = keras.saving.load_model(tmp_path / "bert.keras")
    np.testing.assert_allclose(
        again.predict(wide, verbose=0),
        model.predict(wide, verbose=0),
        atol=1e-6,
    )


def test_its_groups_and_what_is_frozen(bert):
    model = text_classifier(bert, 2)
    groups = keras_fast.layer_groups(model)
    head = {layer.name for layer in groups[-1]}
    assert "scores" in head
    trained = {id(v) for v in model.trainable_variables}
    assert not any(id(v) in trained for v in bert.weights)
    keras_fast.unfreeze(model)
    trained = {id(v) for v in model.trainable_variables}
    left = [v.path for v in bert.trainable_variables if id(v) not in trained]
    assert all("pooled_dense" in path for path in left) and len(left) == 2
