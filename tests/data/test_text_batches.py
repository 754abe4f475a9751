"""Is every text in an epoch once, whole, and padded on the right alone?"""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_fast.data import TextBatches
from keras_fast.layers import ConcatPooling, Embedding, WeightDropLSTM

RNG = np.random.default_rng(0)


def texts_of(lengths, pad=0):
    return [RNG.integers(pad + 1, pad + 50, n) for n in lengths]


def classifier():
    ids = keras.Input((None,), dtype="int32")
    x = WeightDropLSTM(3, return_sequences=True)(Embedding(60, 4)(ids))
    model = keras.Model(ids, keras.layers.Dense(1)(ConcatPooling()([x, ids])))
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=30),
    st.integers(1, 7),
    st.integers(1, 9),
    st.booleans(),
    st.integers(0, 2),
)
def test_every_text_once_and_whole(lengths, size, round_to, shuffle, epoch):
    texts = texts_of(lengths, pad=3)
    labels = np.arange(len(texts))
    made = TextBatches(
        texts,
        labels,
        size,
        pad=3,
        round_to=round_to,
        shuffle=shuffle,
        seed=1,
        sample_weight=labels / 2,
    )
    made.epoch = epoch
    batches = [made[i] for i in range(made.num_batches)]
    found = np.concatenate([y for _, y, _ in batches])
    np.testing.assert_array_equal(found, made.order)
    assert sorted(found) == labels.tolist()
    if not shuffle:
        assert found.tolist() == labels.tolist()
    sizes = sorted(len(y) for _, y, _ in batches)
    assert sizes[1:] == [size] * (len(batches) - 1)
    assert sizes[0] == (len(texts) - 1) % size + 1
    for i, (x, y, weights) in enumerate(batches):
        assert x.dtype == "int32" and x.shape[1] % round_to == 0
        longest = max(1, *(len(texts[k]) for k in y))
        assert x.shape[1] >= longest
        assert i == 1 or x.shape[1] < longest + round_to
        np.testing.assert_array_equal(weights, y / 2)
        for row, k in zip(x, y, strict=True):
            assert row[: len(texts[k])].tolist() == texts[k].tolist()
            assert (row[len(texts[k]) :] == 3).all()


def test_the_order_follows_from_seed_and_epoch():
    texts = texts_of(range(40))
    orders = set()
    for seed in (1, 2):
        for epoch in range(3):
            made, again = (
                TextBatches(texts, range(40), 4, seed=seed) for _ in "ab"
            )
            made.epoch = again.epoch = epoch
            assert made[3][1].tolist() == again[3][1].tolist()
            orders.add(tuple(made.order))
    assert len(orders) == 6


def test_little_is_padding():
    lengths = np.exp(RNG.normal(4, 0.6, 4000)).astype(int) + 1
    texts = texts_of(lengths)

    def share(**arguments):
        made = TextBatches(texts, lengths, **arguments)
        return sum(made[i][0].size for i in range(125)) / lengths.sum()

    assert share(shuffle=False, round_to=1) > 2.5
    assert share(round_to=1) < 1.1
    assert share() < 1.25
    # Chunks have all lengths, and batches come in any order.
    means = lengths[TextBatches(texts, lengths).order.reshape(125, 32)].mean(1)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.5


def test_labels_have_it_shuffled_and_predictions_keep_the_order():
    texts = texts_of([0, 5, 1, 9, 5] * 4)
    assert TextBatches(texts, range(20)).shuffle
    assert not TextBatches(texts).shuffle
    model = classifier()
    expected = [numbers(model(text[None]))[0] for text in texts[1:5]]
    got = model.predict(
        TextBatches(texts, batch_size=3, round_to=32), verbose=0
    )
    np.testing.assert_allclose(got[1:5], expected, atol=1e-6)
    shuffled = TextBatches(texts, range(20), 3, round_to=32)
    order = shuffled.order
    again = model.predict(shuffled, verbose=0)
    np.testing.assert_allclose(again, got[order], atol=1e-6)
    assert shuffled.order.tolist() != order.tolist()


# On TensorFlow Keras takes from the first two batches how wide all are.
@pytest.mark.parametrize("lengths", [[3, 3, 9, 3], [9, 9, 3, 3]])
def test_first_batches_of_equal_width_are_told_apart(lengths):
    made = TextBatches(texts_of(lengths), batch_size=1, round_to=4)
    widths = [made[i][0].shape[1] for i in range(4)]
    assert widths[0] != widths[1]
    assert len(classifier().predict(made, verbose=0)) == 4
    made = TextBatches(texts_of([2, 3, 4, 1]), batch_size=1, round_to=4)
    assert [made[i][0].shape[1] for i in range(4)] == [4] * 4


def test_it_trains():
    lengths = RNG.choice([0, 3, 30], 40)
    labels = (lengths > 20).astype("float32")
    made = TextBatches(texts_of(lengths), labels, 4)
    held_out = TextBatches(texts_of(lengths), labels, 4, shuffle=False)
    model = classifier()
    history = model.fit(made, epochs=3, verbose=0, validation_data=held_out)
    assert len(history.history["val_loss"]) == made.epoch == 3
    loss = model.evaluate(held_out, verbose=0)
    outputs = model.predict(held_out, verbose=0)[:, 0]
    np.testing.assert_allclose(loss, np.mean((outputs - labels) ** 2), 1e-5)


def test_texts_are_cut_only_if_told():
    text = np.arange(1, 100)
    assert TextBatches([text], round_to=1)[0][0].tolist() == [text.tolist()]
    cut = TextBatches([text, text[:3]], round_to=1, max_length=5)
    assert cut[0][0].tolist() == [[1, 2, 3, 4, 5], [1, 2, 3, 0, 0]]


def test_a_tokenizer_or_offsets():
    flat, offsets = np.array([5, 3, 4, 2, 2, 6]), [0, 2, 3, 3, 6]
    expected = [[5, 3, 0], [4, 0, 0], [0, 0, 0], [2, 2, 6]]
    made = TextBatches(flat, offsets=offsets, round_to=3)
    assert made[0][0].tolist() == expected
    made = TextBatches(
        ["53", "4", "", "226"],
        tokenizer=lambda text: [*map(int, text)],
        round_to=3,
    )
    assert made[0][0].tolist() == expected


TEXTS = [[1, 2], [3, 0]]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {},
            ValueError,
            "`pad` must be an id that no text has. Pass another, or take the "
            "padding out of the texts. Received: pad=0, texts[1][1]=0",
        ),
        (
            {"pad": 9, "y": [1, 0, 1]},
            ValueError,
            "`y` must have an entry for each text, 2. Check both. Received: "
            "y=[1, 0, 1] of shape (3,)",
        ),
        (
            {"pad": 9, "y": 1},
            ValueError,
            "`y` must have an entry for each text, 2. Check both. Received: "
            "y=1 of shape ()",
        ),
        (
            {"pad": 9, "y": [[1], [1, 0]]},
            ValueError,
            "`y` must have an entry for each text, 2. Check both. Received: "
            "y=[[1], [1, 0]] of shape ()",
        ),
        (
            {"pad": 9, "y": ["good", None]},
            TypeError,
            "`y` must be numbers. Pass an array of them; number classes from "
            "0. Received: y=['good', None]",
        ),
        (
            {"pad": 9, "y": [1.0, float("nan")]},
            ValueError,
            "`y` must have no missing value. Leave those texts out. "
            "Received: y[1]=nan",
        ),
        (
            {"texts": [[5]], "tokenizer": lambda text: [text]},
            TypeError,
            "`tokenizer` must return one flat list of whole numbers, the ids "
            "of the tokens of a text. Look its tokens up in a vocabulary. "
            "Received: tokenizer(texts[0])=[[5]]",
        ),
        (
            {"pad": 2**31},
            ValueError,
            "`pad` must be an id, from 0 to 2147483647. Pass one that no text "
            "has, such as 0. Received: pad=2147483648",
        ),
        (
            {"texts": [[1], [2, 3]], "offsets": [0, 2]},
            TypeError,
            "`texts` with `offsets` must be one array of ids. Pass a list of "
            "texts without `offsets`, or ids without `tokenizer`. Received: "
            "texts=[[1], [2, 3]]",
        ),
        (
            {"pad": 9, "y": [1, 0], "sample_weight": [1.0]},
            ValueError,
            "`sample_weight` must have an entry for each text, 2. Check both. "
            "Received: sample_weight=[1.0] of shape (1,)",
        ),
        (
            {"pad": 9, "sample_weight": [1.0, 2.0]},
            ValueError,
            "`sample_weight` needs labels. Pass `y`. Received: y=None",
        ),
        (
            {"texts": [1, 2]},
            TypeError,
            "`texts` must be lists of whole numbers, the ids of tokens. Pass "
            "strings with `tokenizer`, a function from a text to its ids. "
            "Received: texts[0]=1",
        ),
        (
            {"round_to": 0},
            ValueError,
            "`round_to` must be a whole number of at least 1. Pass an int of "
            "1 or more. Received: round_to=0",
        ),
        (
            {"max_length": 0},
            ValueError,
            "`max_length` must be a whole number of at least 1. Pass an int "
            "of 1 or more. Received: max_length=0",
        ),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error) as caught:
        TextBatches(**{"texts": TEXTS, **arguments})
    assert str(caught.value) == message


def test_a_tokenizer_that_fails_names_the_text():
    with pytest.raises(AttributeError) as caught:
        TextBatches(
            ["a b", None], tokenizer=lambda text: [*map(ord, text.strip())]
        )
    assert caught.value.__notes__ == [
        "`tokenizer` raised this for texts[1]=None"
    ]


def test_a_tokenizer_in_the_form_of_hugging_faces():
    class Encoding:
        ids = (1, 2)

    class Tokenizer:
        def encode(self, text):
            return Encoding()

    tokenizer = Tokenizer()
    with pytest.raises(TypeError, match=r"Pass `lambda text: tokenizer\.enc"):
        TextBatches(["good"], tokenizer=tokenizer)
    with pytest.raises(TypeError, match=r"Return its `\.ids`"):
        TextBatches(["good"], tokenizer=tokenizer.encode)
    made = TextBatches(
        ["good"], tokenizer=lambda text: tokenizer.encode(text).ids
    )
    assert made[0][0][0, :2].tolist() == [1, 2]
