"""Is every token seen once an epoch, and followed by the right one?"""

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import state
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_fast import lr_find
from keras_fast.callbacks import ResumableCheckpoint
from keras_fast.data import TextBatches, TextStream
from keras_fast.layers import Embedding

sys.path.append(str(Path(__file__).parents[1] / "callbacks"))
from resuming import Kill, Killed

LENGTHS = [7, 0, 1, 30, 12, 5, 5, 22, 9, 14]


def numbered(lengths):
    """Texts in which each token is another: its place."""
    ends = np.cumsum(lengths, dtype="int64")
    return [
        np.arange(end - n, end) for end, n in zip(ends, lengths, strict=True)
    ]


def passed(stream):
    """All `x` and all `y` of an epoch, row after row."""
    batches = [stream[i] for i in range(stream.num_batches)]
    shape = stream.batch_size, stream.length
    for x, y in batches:
        assert (x.shape, y.shape, x.dtype, y.dtype) == (
            shape,
            shape,
            "int32",
            "int32",
        )
    return [
        np.concatenate(part, axis=1).ravel()
        for part in zip(*batches, strict=True)
    ]


def model(words, optimizer="adam", *layers):
    made = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            Embedding(words, 4),
            keras.layers.Dropout(0.2),
            *layers,
            keras.layers.Dense(words),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile(optimizer, loss)
    return made


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=12),
    st.integers(1, 4),
    st.integers(1, 5),
    st.integers(0, 3),
)
def test_every_token_once_in_contiguous_windows(lengths, size, length, epoch):
    texts, tokens = numbered(lengths), sum(lengths)
    assume(tokens > size * length)
    plain = TextStream(texts, size, length, shuffle=False)
    x, y = passed(plain)
    np.testing.assert_array_equal(x, np.arange(len(x)))
    np.testing.assert_array_equal(y, x + 1)
    assert 0 < tokens - len(x) <= size * length
    shuffled = TextStream(texts, size, length, seed=5)
    shuffled.epoch = epoch
    x, y = passed(shuffled)
    assert len(x) == plain.num_batches * size * length
    # The stream is whole texts, one after another, of which the end is cut.
    stream = np.append(x, y[-1])
    np.testing.assert_array_equal(y, stream[1:])
    assert len({*stream}) == len(stream)
    lasts = np.cumsum(lengths) - 1
    firsts = np.cumsum(lengths) - lengths
    goes_on = np.diff(stream) == 1
    assert (goes_on | np.isin(stream[:-1], lasts)).all()
    assert (goes_on | np.isin(stream[1:], firsts)).all()
    assert stream[0] in firsts


def test_the_order_follows_from_seed_and_epoch():
    orders = {}
    for seed in (1, 2):
        for epoch in range(3):
            stream, again = (
                TextStream(numbered(LENGTHS), 2, 5, seed=seed) for _ in "ab"
            )
            stream.epoch = again.epoch = epoch
            orders[seed, epoch] = tuple(passed(stream)[0])
            # Whatever was read before, and in whichever order.
            assert again[3][0].tolist() == stream[3][0].tolist()
    assert len({*orders.values()}) == 6
    drawn = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        drawn.append(TextStream(numbered(LENGTHS), 2, 5).seed)
    assert drawn[0] == drawn[1] != drawn[2]


class Epochs(keras.callbacks.Callback):
    def __init__(self, data):
        super().__init__()
        self.data, self.seen = data, []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.data.epoch)


@pytest.mark.parametrize("workers", [1, 2])
def test_epochs_are_those_of_fit(workers):
    stream = TextStream(numbered(LENGTHS), 2, 5, seed=1, workers=workers)
    held_out = TextStream(numbered(LENGTHS), 2, 5, shuffle=False)
    made, seen = model(105), Epochs(stream)
    for _ in range(2):
        made.fit(
            stream,
            epochs=2,
            verbose=0,
            validation_data=held_out,
            callbacks=[seen],
        )
    assert seen.seen == np.repeat(range(4), stream.num_batches).tolist()
    made.evaluate(stream, verbose=0)
    assert (stream.epoch, held_out.epoch) == (5, 4)


def test_the_finder_takes_it():
    stream = TextStream(numbered(LENGTHS), 2, 5, seed=1)
    found = lr_find(model(105), stream, num_steps=12)
    assert len(found.losses) == 12
    # A pass of 10 batches was whole.
    assert stream.epoch == 1


def stream():
    data = TextStream(numbered(LENGTHS), 2, 5)
    return data, model(105, keras.optimizers.Adam(0.01))


def batches():
    texts = [text + 1 for text in numbered(LENGTHS) for _ in "abcd"]
    data = TextBatches(texts, np.arange(40), 4, round_to=32)
    pool = keras.layers.GlobalAveragePooling1D()
    return data, model(106, keras.optimizers.Adam(0.01), pool)


def trained(make, callbacks=(), **attributes):
    keras.utils.set_random_seed(0)
    data, made = make()
    vars(data).update(attributes)
    made.fit(data, epochs=4, verbose=0, callbacks=[*callbacks])
    return made


@pytest.mark.parametrize("make", [stream, batches])
@pytest.mark.parametrize("after", [14, 20])
@pytest.mark.matrix(2)
def test_a_checkpoint_goes_on_with_the_same_order(make, after, tmp_path):
    expected = trained(make)
    path = tmp_path / "training.save"
    with pytest.raises(Killed):
        trained(make, [Kill(after), ResumableCheckpoint(path, save_freq=3)])

    # Another process may have another order.
    resumed = trained(make, [ResumableCheckpoint(path)], seed=99, epoch=7)
    for got, value in zip(state(resumed), state(expected), strict=True):
        np.testing.assert_array_equal(got, value)


def test_one_array_is_not_copied(tmp_path):
    flat = np.arange(105, dtype="uint16")
    np.save(tmp_path / "ids.npy", flat)
    mapped = np.load(tmp_path / "ids.npy", mmap_mode="r")
    offsets = np.cumsum([0, *LENGTHS])
    expected = passed(TextStream(numbered(LENGTHS), 2, 5, seed=4))
    for ids in (flat, mapped):
        made = TextStream(ids, 2, 5, seed=4, offsets=offsets)
        assert made._texts.ids is ids
        np.testing.assert_array_equal(passed(made), expected)
    # Without offsets one text.
    for ids in (flat, flat.tolist()):
        x, _ = passed(TextStream(ids, 2, 5, seed=4))
        np.testing.assert_array_equal(x, flat[:100])


def test_texts_of_any_kind():
    texts = ["ab", "", "cab", "bc"]
    expected = [0, 1, 2, 0, 1, 1]

    def tokenizer(text):
        return ["abc".index(letter) for letter in text]

    ids = [tokenizer(text) for text in texts]
    for given_texts, function in (
        (texts, tokenizer),
        (np.array(texts, "object"), tokenizer),
        (iter(texts), tokenizer),
        (texts, lambda text: np.array(tokenizer(text), "int8")),
        (ids, None),
        (np.array([*map(np.array, ids)], "object"), None),
        ((keras.ops.convert_to_tensor(row, "int32") for row in ids), None),
    ):
        made = TextStream(given_texts, 1, 3, tokenizer=function, shuffle=False)
        assert passed(made)[0].tolist() == expected


@pytest.mark.parametrize("index", [-1, 10])
def test_no_batch_of_that_number(index):
    made = TextStream(numbered(LENGTHS), 2, 5)
    with pytest.raises(IndexError) as error:
        made[index]
    assert str(error.value) == (
        "`index` must be that of a batch. Pass one from 0 to 9. "
        f"Received: index={index}"
    )


IDS = (
    "`texts` must be lists of whole numbers, the ids of tokens. Pass strings "
    "with `tokenizer`, a function from a text to its ids. Received: "
)
TOKENIZER = (
    "`tokenizer` must return one flat list of whole numbers, the ids of the "
    "tokens of a text. Look its tokens up in a vocabulary. Received: "
)
RANGE = (
    "`texts` must have ids from 0 to 2147483647. Give each word that is "
    "unknown an id of its own, such as 1. Received: "
)
OFFSETS = (
    "`offsets` must rise from 0 to the number of ids. Pass where each text "
    "begins, and where the last one ends. Received: "
)
NO_TEXT = (
    "`texts` must have at least one text. Check where they come from. "
    "Received: no text"
)


@pytest.mark.parametrize(
    ("texts", "arguments", "error", "message"),
    [
        ([[1], ["a"]], {}, TypeError, f"{IDS}texts[1]=['a']"),
        (["a rose"], {}, TypeError, f"{IDS}texts[0]='a rose'"),
        ([[1, 2], [0.5]], {}, TypeError, f"{IDS}texts[1]=[0.5]"),
        ([[1], [True]], {}, TypeError, f"{IDS}texts[1]=[True]"),
        ([[1], [[2], [3, 4]]], {}, TypeError, f"{IDS}texts[1]=[[2], [3, 4]]"),
        ([[1], [2, 3, -4]], {}, ValueError, f"{RANGE}texts[1][2]=-4"),
        (
            [[1], [], [1 << 31]],
            {},
            ValueError,
            f"{RANGE}texts[2][0]=2147483648",
        ),
        (
            ["a b"],
            {"tokenizer": str.split},
            TypeError,
            f"{TOKENIZER}tokenizer(texts[0])=['a', 'b']",
        ),
        (
            ["a b"],
            {"tokenizer": str},
            TypeError,
            f"{TOKENIZER}tokenizer(texts[0])='a b'",
        ),
        (
            "a b",
            {"tokenizer": len},
            TypeError,
            "`texts` must be a list or a tuple. Pass one. Received: "
            "texts='a b'",
        ),
        (
            ["a b"],
            {"tokenizer": 1},
            TypeError,
            "`tokenizer` must be callable. Pass the function itself, not its "
            "result. Received: tokenizer=1",
        ),
        (
            [1, 2],
            {"offsets": [0, 1]},
            ValueError,
            f"{OFFSETS}offsets=[0, 1] for 2 ids",
        ),
        (
            [1, 2],
            {"offsets": [0, 2, 1, 2]},
            ValueError,
            f"{OFFSETS}offsets=[0, 2, 1, 2] for 2 ids",
        ),
        (
            [[1, 2]],
            {"offsets": [0, 1]},
            TypeError,
            "`texts` with `offsets` must be one array of ids. Pass a list of "
            "texts without `offsets`, or ids without `tokenizer`. Received: "
            "texts=[[1, 2]]",
        ),
        ([], {}, ValueError, NO_TEXT),
        (np.array([], "int32"), {"offsets": [0]}, ValueError, NO_TEXT),
        (
            [[1, 2, 3], [4]],
            {},
            ValueError,
            "`texts` must have more than batch_size * length tokens. Lower "
            "`batch_size` or `length`, or pass more texts. Received: "
            "batch_size=2, length=2, 4 tokens",
        ),
        (
            [[1]],
            {"length": 0},
            ValueError,
            "`length` must be a whole number of at least 1. Pass an int of 1 "
            "or more. Received: length=0",
        ),
    ],
)
def test_bad_texts(texts, arguments, error, message):
    with pytest.raises(error) as caught:
        TextStream(texts, 2, **{"length": 2, **arguments})
    assert str(caught.value) == message
