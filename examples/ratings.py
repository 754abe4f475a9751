"""Which films will you like? Factors and biases of users and films.

    pip install ".[tables]"
    python examples/ratings.py

100,004 ratings of MovieLens, from half a star to five. The model is compared
with biases alone. Then it shows which films are rated well by everyone, along
which axes tastes differ, and what someone new should see.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd
from _tables import load, split

from keras_fast import inference
from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import collaborative_filter

# The rate, the batch size and the weight decay belong together.
RATE, BATCH_SIZE, WEIGHT_DECAY = 1e-2, 256, 0.4
EPOCHS = 5
STARS = (0, 5.5)  # no prediction reaches the ends of a sigmoid
SEED = 0
MOST_RATED = 1000  # little is learned of rare films
LOVED = ["Alien (1979)", "Blade Runner (1982)", "Brazil (1985)"]
HATED = ["Pretty Woman (1990)", "Titanic (1997)", "Notting Hill (1999)"]


def ratings():
    """Columns user, film and stars."""
    table = load("dslabs", "movielens").dropna(subset=["title", "year"])
    film = table["title"] + table["year"].map(" ({:.0f})".format)
    columns = {"user": table["userId"], "film": film, "stars": table["rating"]}
    return pd.DataFrame(columns)


def fit(train):
    """A trained model, with an encoder that knows these users and films."""
    encoder = TableEncoder(["user", "film"])
    encoder.adapt(train)
    x, stars = encoder(train), train["stars"].to_numpy()
    model = collaborative_filter(encoder, y_range=STARS, targets=stars)
    optimizer = keras.optimizers.AdamW(
        weight_decay=WEIGHT_DECAY, beta_2=0.99, epsilon=1e-5
    )
    model.compile(optimizer, "mse")
    cycle = [OneCycle(RATE)]
    model.fit(x, stars, BATCH_SIZE, epochs=EPOCHS, callbacks=cycle, verbose=0)
    return model


def predict(model, rows):
    x = TableEncoder.of(model)(rows)
    return model.predict(x, batch_size=4096, verbose=0)[:, 0]


def biases(train, test, penalty=5.0):
    """Predictions of the mean, a bias for each film and one for each user."""
    mean = train["stars"].mean()
    left, predicted = train["stars"] - mean, np.full(len(test), mean)
    for name in ("film", "user"):
        groups = left.groupby(train[name])
        # As if each had `penalty` more ratings, all of them the mean.
        bias = groups.sum() / (groups.count() + penalty)
        left = left - train[name].map(bias)
        predicted = predicted + test[name].map(bias).fillna(0).to_numpy()
    return predicted


def for_newcomer(model, films, stars, penalty=5.0):
    """Stars for each film that the model knows, in the order of its words.

    The films stay as they are. Ridge regression finds how far the newcomer is
    from the average user, where the sigmoid is taken for a straight line.
    """
    learned = inference.embeddings(model)["film"]
    codes = [learned.words.index(film) for film in films]
    nobody = [None] * len(learned.words)
    average = predict(model, {"user": nobody, "film": learned.words})
    share = average / STARS[1]
    vectors = np.column_stack([learned.vectors, np.ones(len(share))])
    slopes = vectors * (STARS[1] * share * (1 - share))[:, None]
    a, b = slopes[codes], np.array(stars) - average[codes]
    away = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ b)
    logits = np.log(share / (1 - share)) + vectors @ away
    return STARS[1] / (1 + np.exp(-logits))


def main():
    keras.utils.set_random_seed(SEED)
    train, test = split(ratings())
    model = fit(train)
    print("RMSE in stars")
    for name, predicted in {
        "biases alone": biases(train, test),
        "factors and biases": predict(model, test),
    }.items():
        error = np.sqrt(np.mean((predicted - test["stars"]) ** 2))
        print(f"{name:<20}{error:.4f}")

    films = inference.embeddings(model)["film"]
    often = films.most_frequent(MOST_RATED)
    for name, ends in ("best", often.highest(5)), ("worst", often.lowest(5)):
        print(f"\nrated {name}:", *[film for film, _ in ends], sep="\n  ")
    for number, places in enumerate(often.principal_axes(2).T, 1):
        order = [often.words[i] for i in np.argsort(places)]
        print(f"\naxis {number}, from", *order[:5], sep="\n  ")
        print("to", *order[-5:], sep="\n  ")

    stars = [5] * len(LOVED) + [1] * len(HATED)
    average = for_newcomer(model, [], [])
    gained = for_newcomer(model, LOVED + HATED, stars) - average
    others = {*often.words} - {*LOVED, *HATED}
    order = [films.words[i] for i in np.argsort(-gained)]
    liked = [film for film in order if film in others]
    print("\nfor someone who loves", *LOVED, sep="\n  ")
    print("and hates", *HATED, sep="\n  ")
    print("more than for others:", *liked[:8], sep="\n  ")


if __name__ == "__main__":
    main()
