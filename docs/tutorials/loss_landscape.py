# %% [markdown]
# # What the loss looks like
#
# Why does a network of twenty layers learn nothing at all, and the same network
# with shortcuts learn at once? This page looks at what goes through the layers,
# and at the loss around the weights.
#
# The networks are small, so that each trains in seconds, on the digits of
# scikit-learn, 8 by 8 pixels.

# %%
import keras
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import keras_fast
from keras_fast import inference

layers = keras.layers
digits = load_digits()
order = np.random.default_rng(0).permutation(len(digits.images))
images = digits.images[order][..., None].astype("float32") / 8 - 1
labels = digits.target[order]
x, x_test = images[:1400], images[1400:]
y, y_test = labels[:1400], labels[1400:]

# %% [markdown]
# One function for all networks of this page. A plain one is convolution after
# convolution. With residual connections each convolution adds to what it was
# given. With dense connections each puts a few maps beside all before it. There
# is no normalization: it would hide what this page is about.

# %%
DEPTH = 18


def network(kind="plain", initializer="glorot_uniform"):
    keras.utils.set_random_seed(0)
    start = {"padding": "same", "kernel_initializer": initializer}
    inputs = keras.Input((8, 8, 1))
    t = layers.Conv2D(16, 3, strides=2, activation="relu", **start)(inputs)
    for _ in range(DEPTH):
        maps = 4 if kind == "dense" else 16
        new = layers.Conv2D(maps, 3, activation="relu", **start)(t)
        if kind == "plain":
            t = new
        elif kind == "residual":
            t = layers.Add()([t, new])
        else:
            t = layers.Concatenate()([t, new])
    t = layers.GlobalAveragePooling2D()(t)
    outputs = layers.Dense(10, "softmax")(t)
    model = keras.Model(inputs, outputs)
    model.compile(
        "adam", "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def accuracy(model, epochs=5):
    model.fit(x, y, epochs=epochs, verbose=0)
    return model.evaluate(x_test, y_test, verbose=0)[1]


# %% [markdown]
# ## Signals that fade
#
# Keras draws the first weights by Glorot's rule, which keeps a signal as large
# as it is through layers without an activation. A relu takes half of it away.
# He's rule makes up for that on average. `lsuv_init` measures: it takes a batch
# of data and scales each layer in turn, so that its outputs, before the relu,
# have a standard deviation of 1.


# %%
def deviations(model):
    """The standard deviation of what each convolution gives."""
    convolutions = [t for t in model.layers if isinstance(t, layers.Conv2D)]
    inside = keras.Model(model.inputs, [t.output for t in convolutions])
    return [outputs.std() for outputs in inside.predict(x[:256], verbose=0)]


networks = {
    "Glorot": network(),
    "He": network(initializer="he_normal"),
    "lsuv_init": network(),
}
found = keras_fast.lsuv_init(networks["lsuv_init"], x)
print(f"{len(found)} layers scaled, the first from {found['conv2d_38'][0]:.2f}")

# %% alt="Standard deviation of the outputs of 19 convolutions, on a logarithmic scale: with Glorot's weights it falls steadily, with He's it falls less, after lsuv_init it stays near one half"
figure, ax = plt.subplots(figsize=(7, 4))
for (name, model), marker in zip(networks.items(), "os^", strict=True):
    ax.plot(deviations(model), marker=marker, label=name)
ax.set(yscale="log", xlabel="convolution", ylabel="standard deviation")
ax.set_xticks(range(0, DEPTH + 1, 3))
legend = ax.legend(frameon=False)

# %% [markdown]
# What comes out of the last convolution decides how large the gradients are.
# So does the network learn? All three see the same digits, five times, with the
# same optimizer.

# %%
for name, model in networks.items():
    print(f"{name:<10} {accuracy(model):.3f}")

# %% [markdown]
# ## Connections
#
# With shortcuts, what the first layer gives reaches the last one, whatever the
# layers between do. Both of these start from Glorot's weights, with which the
# plain network hardly learns.

# %%
connected = {kind: network(kind) for kind in ("residual", "dense")}
for name, model in connected.items():
    print(f"{name:<10} {accuracy(model):.3f}")

# %% [markdown]
# Both learn more than the plain network did. But sums of 18 layers grow, and so
# the residual network is far from what good first weights reach: that is why
# residual networks are built with normalization.
#
# ## The landscape
#
# A loss is a function of all weights, here of 42,000. `loss_landscape` walks
# from the weights that training has found along two random directions, and
# computes the loss at each of 21 by 21 places. Each filter of a direction is as
# long as the filter of the network, so that pictures of different networks can
# be compared. The white dot is the network itself.

# %% alt="Contours and a surface of the loss around the plain network"
plain = inference.loss_landscape(networks["lsuv_init"], x[:256], y[:256])
axes = plain.plot()

# %% alt="Contours and a surface of the loss around the network with residual connections"
residual = inference.loss_landscape(connected["residual"], x[:256], y[:256])
axes = residual.plot()

# %%
for name, landscape in {"plain": plain, "residual": residual}.items():
    print(f"{name:<9} {landscape}")

# %% [markdown]
# ## What this shows, and what not
#
# - Where a deep network has neither normalization nor shortcuts, its first
#   weights decide whether it learns. `lsuv_init` is one line, before `fit()`.
# - With normalization or shortcuts nothing of this is needed, and almost every
#   network has them.
# - The pictures show two directions of 42,000. A smooth one does not say that a
#   network generalizes well, and a rough one does not say that it can't be
#   trained: the optimizer never goes in random directions.
# - Five epochs on 1,400 small digits are a toy.
