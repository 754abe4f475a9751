"""Does each word get its vector, from every form of file, or an error?"""

import codecs
import gzip
import pickle
import zlib

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keras_fast import CorruptFileError
from keras_fast.data import word_vectors
from keras_fast.layers import Embedding

pytestmark = pytest.mark.once

WORDS = ["the", "cat", "Äpfel", "über", "犬"]
TABLE = np.array(
    [[1, -2, 0.5], [0.25, 3e-5, 7], [-0.1, 8, 9], [2, 2, 2], [0, 1e10, -1]],
    "float32",
)


def line(word, row):
    return f"{word} {' '.join(map(repr, map(float, row)))}\n".encode()


def glove(words, table):
    return b"".join(map(line, words, table))


def header(words, table):
    return f"{len(words)} {table.shape[1]}\n".encode()


def fasttext(words, table):
    # Its lines end in a space.
    rows = glove(words, table).replace(b"\n", b" \n")
    return header(words, table) + rows


def word2vec(words, table, end=b""):
    rows = [
        word.encode() + b" " + row.astype("<f4").tobytes() + end
        for word, row in zip(words, table, strict=True)
    ]
    return header(words, table) + b"".join(rows)


def windows(words, table):
    return glove(words, table).replace(b"\n", b"\r\n")


def zipped(words, table):
    return gzip.compress(fasttext(words, table))


def zipped_binary(words, table):
    return gzip.compress(word2vec(words, table))


FORMS = {
    "glove.txt": glove,
    "windows.txt": windows,
    "cc.de.vec": fasttext,
    "gensim.bin": word2vec,
    "original.bin": lambda *x: word2vec(*x, end=b"\n"),
    "cc.vec.gz": zipped,
    "unnamed": zipped,
    "GoogleNews.BIN.gz": zipped_binary,
}


def written(folder, content, name="vectors.txt"):
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", FORMS)
def test_each_form(tmp_path, name):
    path = written(tmp_path, FORMS[name](WORDS, TABLE), name)
    found = word_vectors(path, ["[PAD]", "犬", "cat", "the"])
    assert found.vectors.dtype == "float32"
    np.testing.assert_array_equal(found.vectors[1:], TABLE[[4, 1, 0]])
    mean = TABLE[[4, 1, 0]].mean(axis=0)
    np.testing.assert_allclose(found.vectors[0], mean, rtol=1e-6)
    assert found.found.tolist() == [False, True, True, True]
    assert found.share == 0.75
    # By ids, in whatever order.
    by_id = word_vectors(str(path), {"the": 1, "über": 0})
    np.testing.assert_array_equal(by_id.vectors, TABLE[[3, 0]])


def test_the_mark_of_an_editor_is_no_part_of_the_first_word(tmp_path):
    for form in (glove, fasttext):
        path = written(tmp_path, codecs.BOM_UTF8 + form(WORDS, TABLE))
        found = word_vectors(path, WORDS[:1])
        np.testing.assert_array_equal(found.vectors, TABLE[:1])


letters = st.characters(exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"])
words = st.lists(st.text(letters, min_size=1, max_size=4), unique=True)


@settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(words.filter(bool), words.filter(bool), st.sampled_from([*FORMS]))
def test_any_words(tmp_path, there, vocabulary, name):
    table = np.random.default_rng(len(there)).normal(size=(len(there), 2))
    table = table.astype("float32")
    path = written(tmp_path, FORMS[name](there, table), name)
    if not {*there} & {*vocabulary}:
        with pytest.raises(ValueError, match="must have words of the vocab"):
            word_vectors(path, vocabulary)
        return
    found = word_vectors(path, vocabulary, missing=[7, -1])
    np.testing.assert_array_equal(found.found, [w in there for w in vocabulary])
    for word, row in zip(vocabulary, found.vectors, strict=True):
        expected = table[there.index(word)] if word in there else [7, -1]
        np.testing.assert_array_equal(row, expected)
    same = word_vectors((there, table), vocabulary, missing=[7, -1])
    np.testing.assert_array_equal(same.vectors, found.vectors)


@pytest.mark.parametrize("name", FORMS)
def test_a_file_that_is_cut_short(tmp_path, name):
    content = FORMS[name](WORDS, TABLE)
    ends = [content.find(b"\n", i) + 1 for i in range(len(content))]
    whole = {*ends} if name in ("glove.txt", "windows.txt") else set()
    if name == "original.bin":
        whole = {len(content) - 1}  # without the last newline
    for length in range(len(content)):
        path = written(tmp_path, content[:length], name)
        if length in whole and length:
            word_vectors(path, ["the"])
            continue
        with pytest.raises(CorruptFileError, match=r"`source` must be a whole"):
            word_vectors(path, ["the"])


def still_whole(changed, content):
    try:
        return gzip.decompress(changed) == gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return False


@pytest.mark.parametrize("name", ["unnamed", "GoogleNews.BIN.gz"])
def test_a_gzip_file_with_a_byte_changed(tmp_path, name):
    content = FORMS[name](WORDS, TABLE)
    for place in range(10, len(content)):
        changed = bytearray(content)
        changed[place] ^= 16
        if still_whole(changed, content):  # a bit that pads the last byte
            continue
        path = written(tmp_path, bytes(changed), name)
        with pytest.raises(CorruptFileError):
            word_vectors(path, ["the"])


SHORT = "`source` must be a whole file of word vectors: .* Received: source="
LINES = glove(["the", "cat"], TABLE[:2])
BAD = {
    "empty": (b"", "it is empty"),
    "no numbers": (b"the\ncat\n", "line 1: 0 numbers"),
    "narrow": (LINES + b"dog 1 2\n", "line 3: 2 numbers, not 3"),
    "wide": (LINES + b"dog 1 2 3 4\n", "line 3: 4 numbers, not 3"),
    "empty line": (LINES + b"\n", "line 3: 0 numbers, not 3"),
    "tabs": (b"the\t1\t2\n", "line 1: 0 numbers"),
    "word": (LINES + b"dog 1 x 3\n", "line 3: could not convert .*'x'"),
    "two spaces": (LINES + b"dog 1  3\n", "line 3: could not convert"),
    "NaN": (LINES + b"dog 1 nan 3\n", "line 3: nan is no finite float32"),
    "infinite": (LINES + b"dog 1 2 -inf\n", "line 3: -inf is no finite"),
    "too large": (LINES + b"dog 1 2 1e39\n", r"line 3: 1e\+39 is no finite"),
    "more": (b"1 3\n" + LINES, "line 1 promises 1 words, there are 2"),
    "fewer": (b"9 3\n" + LINES, "line 1 promises 9 words, there are 2"),
    "other width": (b"2 4\n" + LINES, "line 2: 3 numbers, not 4"),
    "forged width": (b"2 99999\n" + LINES, "line 2: 3 numbers, not 99999"),
    "forged count": (b"99999999999 3\n" + LINES, "there are 2"),
    "zip": (b"PK\x03\x04...", "it is a zip archive: unpack it"),
    "a picture": (b"\x89PNG\r\n\x1a\n\0\0", "line 1: 0 numbers"),
    "no newlines": (b"x" * (1 << 23), "line 1: 0 numbers"),
}
BINARY = word2vec(["the", "cat"], TABLE[:2])
NAN = TABLE[:1] * np.nan
BAD_BINARY = {
    "text": (LINES, "line 1: not the header of a binary file"),
    "text with header": (b"2 3\n" + LINES, "line 1 promises 2 words, more"),
    "more": (BINARY + b"dog ", "line 1 promises 2 words, more follow"),
    "fewer": (b"3" + BINARY[1:], "word 3 of 3: cut short"),
    "forged width": (b"2 99999\n" + BINARY[4:], "word 1 of 2: cut short"),
    "forged": (b"99999999999 3\n" + BINARY[4:], "word 3 of 99999999999"),
    "NaN": (word2vec(["dog"], NAN), "word 1: NaN or infinite numbers"),
    "fastText": (b"\xba\x16O/\x0c\0\0\0", "a model of fastText: pass its .vec"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_text(tmp_path, name):
    content, why = BAD[name]
    path = written(tmp_path, content)
    with pytest.raises(CorruptFileError, match=rf"{SHORT}.*\(.*{why}"):
        word_vectors(path, ["the", "dog"])


@pytest.mark.parametrize("name", BAD_BINARY)
def test_bad_binary(tmp_path, name):
    content, why = BAD_BINARY[name]
    path = written(tmp_path, content, "vectors.bin")
    with pytest.raises(CorruptFileError, match=rf"{SHORT}.*\(.*{why}"):
        word_vectors(path, ["the", "dog"])


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize("name", ["vectors.txt", "vectors.bin"])
def test_nothing_in_a_file_is_executed(tmp_path, name):
    path = written(tmp_path, pickle.dumps(Bomb()), name)
    with pytest.raises(CorruptFileError):
        word_vectors(path, ["the"])
    objects = np.array([Bomb(), Bomb()])
    with pytest.raises(TypeError, match="must be an array of numbers"):
        word_vectors((["the", "cat"], objects), ["the"])


def test_words_with_spaces_and_words_that_come_twice(tmp_path):
    content = LINES + b". . . 4 5 6\nthe 7 8 9\nat name@domain.com 3 2 1\n"
    path = written(tmp_path, content)
    found = word_vectors(path, ["the", ". . .", "at", "at name@domain.com"])
    assert found.vectors[[0, 1, 3]].tolist() == [
        TABLE[0].tolist(),
        [4, 5, 6],
        [3, 2, 1],
    ]
    assert found.found.tolist() == [True, True, False, True]
    twice = (["the", "the"], TABLE[:2])
    assert word_vectors(twice, ["the"]).vectors.tolist() == TABLE[:1].tolist()


def test_rows_of_other_words_are_not_parsed(tmp_path):
    path = written(tmp_path, LINES + b"dog 1 2 x\n")
    assert word_vectors(path, ["cat"]).share == 1


def test_lower_case_is_looked_up_second():
    source = (["Turkey", "turkey", "paris"], TABLE[:3])
    words = ["Turkey", "turkey", "Paris", "PARIS"]
    found = word_vectors(source, words, lowercase=True)
    np.testing.assert_array_equal(found.vectors, TABLE[[0, 1, 2, 2]])
    assert word_vectors(source, words).found.tolist() == [True, True, 0, 0]


def test_a_mapped_array_and_vectors_in_half_precision(tmp_path):
    np.save(tmp_path / "table.npy", TABLE[:4].astype("float16"))
    table = np.load(tmp_path / "table.npy", mmap_mode="r", allow_pickle=False)
    found = word_vectors((np.array(WORDS[:4]), table), ["über", "?"], missing=0)
    assert found.vectors.tolist() == [[2, 2, 2], [0, 0, 0]]
    assert repr(found) == "WordVectors(1 of 2 words, vectors of 3)"


def test_they_are_the_weights_of_an_embedding():
    found = word_vectors((WORDS, TABLE), ["[PAD]", "cat", "the"])
    layer = Embedding(
        *found.vectors.shape, weights=[found.vectors], trainable=False
    )
    model = keras.Sequential([keras.Input((2,), dtype="int32"), layer])
    rows = keras.ops.convert_to_numpy(model(np.array([[1, 2]])))
    np.testing.assert_array_equal(rows[0], TABLE[[1, 0]])
    assert not model.trainable_variables


WRONG = {
    "one word less": ((WORDS[:2], TABLE), ValueError, r"2 words .*\(5, 3\)"),
    "one row": ((["the"], TABLE[0]), ValueError, r"shape=\(3,\)"),
    "no columns": ((WORDS, TABLE[:, :0]), ValueError, r"\(5, 0\)"),
    "three": ((WORDS, TABLE, 1), ValueError, "Received: 3 items"),
    "strings": ((["the"], [["1"]]), TypeError, "array of numbers"),
    "ragged": ((["the", "a"], [[1], [1, 2]]), TypeError, "array of numbers"),
    "bytes": (([b"the"], TABLE[:1]), TypeError, r"source\[0\]\[0\]=b'the'"),
    "a string": (("the", TABLE), TypeError, r"`source\[0\]` must be a list"),
    "NaN": ((["the"], NAN), ValueError, r"source\[1\]\[0\]=.*nan.* for 'the'"),
    "nothing": (None, TypeError, "`source` must be a path"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arrays(name):
    source, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        word_vectors(source, ["the"])


@pytest.mark.parametrize("missing", ["zeros", np.nan, [1, 2], 1e39, True])
def test_wrong_vector_of_missing_words(missing):
    with pytest.raises(ValueError, match=r"finite number or a vector of 3\."):
        word_vectors((WORDS, TABLE), ["cat", "?"], missing=missing)


def test_no_word_and_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"pass `lowercase=True`\. .*'THE'"):
        word_vectors((WORDS, TABLE), ["THE"])
    with pytest.raises(ValueError, match=r"vocabulary\[1\]='cat'"):
        word_vectors((WORDS, TABLE), ["cat", "cat"])
    with pytest.raises(FileNotFoundError):
        word_vectors(tmp_path / "none.txt", ["the"])
