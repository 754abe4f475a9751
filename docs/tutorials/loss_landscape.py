# %% [markdown]
# # What the loss looks like
#
# Why does a network of twenty layers learn nothing at all, while the same
# network with shortcuts learns at once? This page looks at the signals that go
# through the layers, and at the loss around the weights.
#
# The networks are small, so each trains in seconds, on scikit-learn's digits of
# 8 by 8 pixels.

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
# One function builds all networks on this page. A plain network is a stack of
# convolutions. With residual connections, each convolution adds its output to
# its input. With dense connections, each appends a few maps to all earlier
# ones. There is no normalization, because it would hide the effects that this
# page is about.

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
# Keras draws the initial weights by Glorot's rule, which preserves the size of
# a signal through layers without an activation. A relu takes half of it away.
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
# The outputs of the last convolution determine how large the gradients are. So
# does the network learn? All three train on the same digits for five epochs,
# with the same optimizer.

# %%
for name, model in networks.items():
    print(f"{name:<10} {accuracy(model):.3f}")

# %% [markdown]
# ## Connections
#
# With shortcuts, the first layer's output reaches the last layer, whatever the
# layers in between do. Both of these networks start from Glorot's weights, with
# which the plain network hardly learns.

# %%
connected = {kind: network(kind) for kind in ("residual", "dense")}
for name, model in connected.items():
    print(f"{name:<10} {accuracy(model):.3f}")

# %% [markdown]
# Both learn more than the plain network did. But sums of 18 layers grow, so the
# residual network is far from what good initial weights achieve. That is why
# residual networks are built with normalization.
#
# ## The landscape
#
# A loss is a function of all weights, 42,000 here. `loss_landscape` moves from
# the trained weights along two random directions, and computes the loss at each
# of 21 by 21 points. Each filter of a direction has the norm of the network's
# filter, so that plots of different networks can be compared. The white dot is
# the network itself.

# %% alt="Contours and a surface of the loss around the plain network"
plain = inference.loss_landscape(networks["lsuv_init"], x[:128], y[:128])
axes = plain.plot()

# %% alt="Contours and a surface of the loss around the network with residual connections"
residual = inference.loss_landscape(connected["residual"], x[:128], y[:128])
axes = residual.plot()

# %%
for name, landscape in {"plain": plain, "residual": residual}.items():
    print(f"{name:<9} {landscape}")

# %% [markdown]
# ## What this shows and what it doesn't
#
# - If a deep network has neither normalization nor shortcuts, its initial
#   weights decide whether it learns. `lsuv_init` is one line, before `fit()`.
# - With normalization or shortcuts none of this is needed, and almost every
#   network has them.
# - The plots show two directions of 42,000. A smooth plot doesn't mean that a
#   network generalizes well, and a rough one doesn't mean that it can't be
#   trained: the optimizer never moves in random directions.
# - Five epochs on 1,400 small digits are a toy example.
