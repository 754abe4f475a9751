"""ULMFiT: a language model reads all texts, and needs few labels then.

    pip install ".[tables,text]"
    python examples/text_classification.py

5,000 reviews of food, great or not. A language model learns to predict each
next word of the reviews, without their labels. Its encoder becomes a
classifier, which learns from 500 labels, one group of layers after another.
A linear model on counts of words is there to compare with. It is ahead here:
300,000 words are few to learn a language from. The page of benchmarks has what
four times as many do. Takes three minutes on a CPU.
"""

import html
import os
import re

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from _tables import load
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from tokenizers import (
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

import keras_fast
from keras_fast.callbacks import OneCycle
from keras_fast.data import TextBatches, TextStream
from keras_fast.models import language_model, text_classifier, text_encoder

WORDS = 3000
LABELS = 500
EPOCHS = 4
DROPOUT = 1.0  # of the classifier
SIZES = {"embedding_size": 128, "units": 256, "num_layers": 2}
SEED = 0


def reviews():
    """Texts and labels to train on, and to test on."""
    tables = [
        load("modeldata", name) for name in ("training_data", "testing_data")
    ]
    return [
        (
            [without_markup(text) for text in table["review"]],
            (table["score"] == "great").to_numpy(int),
        )
        for table in tables
    ]


def without_markup(text):
    """As a customer wrote it."""
    return html.unescape(re.sub(r"<br ?/?>", " ", text))


def tokenizer_of(texts):
    """A tokenizer of words; its id 0 is for padding alone."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[BEGIN]"]
    trainer = trainers.WordLevelTrainer(
        vocab_size=WORDS, special_tokens=special
    )
    tokenizer.train_from_iterator(texts, trainer)
    begin = processors.TemplateProcessing(
        single="[BEGIN] $A", special_tokens=[("[BEGIN]", 2)]
    )
    tokenizer.post_processor = begin
    return tokenizer


def ids_of(tokenizer):
    """A function from a text to its ids."""
    return lambda text: tokenizer.encode(text).ids


def learn_language(texts, tokenizer, epochs=EPOCHS):
    """A language model of these texts."""
    model = language_model(WORDS, dropout=0.3, **SIZES)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(epsilon=1e-8), crossentropy)
    stream = TextStream(
        texts, batch_size=16, tokenizer=ids_of(tokenizer), seed=SEED
    )
    cycle = OneCycle(8e-3, momentums=(0.8, 0.7, 0.8))
    model.fit(stream, epochs=epochs, callbacks=[cycle], verbose=2)
    return model


def classify(model, texts, labels, tokenize):
    """A classifier that knows what the language model knows."""
    classifier = text_classifier(
        text_encoder(model, dropout=DROPOUT), num_classes=2
    )
    loss = "sparse_categorical_crossentropy"
    classifier.compile("adam", loss, metrics=["accuracy"])
    train = TextBatches(texts, labels, tokenizer=tokenize, seed=SEED)
    keras_fast.gradual_unfreeze(
        classifier,
        train,
        epochs=[8, 4, 4],
        learning_rates=[1e-2, 5e-3, 1e-3],
        verbose=0,
    )
    return classifier


def linear(texts, labels, test):
    """Logistic regression on words and pairs of words."""
    features = TfidfVectorizer(ngram_range=(1, 2))
    fitted = LogisticRegression(C=4).fit(features.fit_transform(texts), labels)
    return fitted.predict_proba(features.transform(test))[:, 1]


def main():
    keras.utils.set_random_seed(SEED)
    (texts, labels), (test, right) = reviews()
    tokenizer = tokenizer_of(texts)
    tokenize = ids_of(tokenizer)
    model = learn_language(texts, tokenizer)
    few = texts[:LABELS], labels[:LABELS]
    classifier = classify(model, *few, tokenize)
    rows = TextBatches(test, tokenizer=tokenize)
    found = {
        "words, linear": linear(*few, test),
        "language model": classifier.predict(rows, verbose=0)[:, 1],
    }
    found["both, averaged"] = np.mean([*found.values()], axis=0)
    print(f"area under the ROC curve, {LABELS} labels")
    for name, scores in found.items():
        print(f"{name:<16} {roc_auc_score(right, scores):.3f}")


if __name__ == "__main__":
    main()
