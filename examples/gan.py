"""Two networks against each other: points on a ring, out of noise.

    python examples/gan.py

The generator has to find eight groups of points that it never sees; it only
hears what the critic thinks of its own. With momentum it often ends in few of
them. Nothing is downloaded.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import keras_fast
from keras_fast import callbacks

NUM_MODES = 8
SPREAD = 0.05  # standard deviation of each group; the ring has radius 1
NOISE = 8  # numbers a point is made of
BATCH_SIZE = 128
SAMPLES = BATCH_SIZE * 50


def ring(num_samples, seed=0):
    """Points around eight centres, (num_samples, 2)."""
    rng = np.random.default_rng(seed)
    centres = mode_centres()[rng.integers(NUM_MODES, size=num_samples)]
    return centres + SPREAD * rng.normal(size=centres.shape)


def mode_centres():
    angles = 2 * np.pi * np.arange(NUM_MODES) / NUM_MODES
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def noise(num_samples, seed=1):
    return np.random.default_rng(seed).normal(size=(num_samples, NOISE))


def build(switch="both", units=64):
    """Two small networks that train against each other."""

    def dense(inputs, outputs, name):
        hidden = [keras.layers.Dense(units, "relu") for _ in range(2)]
        layers = [keras.Input((inputs,)), *hidden, keras.layers.Dense(outputs)]
        return keras.Sequential(layers, name=name)

    return keras_fast.models.GAN(
        dense(NOISE, 2, "generator"), dense(2, 1, "critic"), switch=switch
    )


def compile_model(gan, learning_rate=2e-3, beta_1=0.0):
    optimizer = keras.optimizers.Adam(learning_rate, beta_1, beta_2=0.99)
    gan.compile(optimizer)


def train(gan, epochs=30, learning_rate=2e-3):
    # Not OneCycle's own momentums, which would put back what is left out.
    cycle = callbacks.OneCycle(learning_rate, momentums=None)
    return gan.fit(
        noise(SAMPLES),
        ring(SAMPLES),
        batch_size=BATCH_SIZE,
        epochs=epochs,
        callbacks=[cycle],
        verbose=0,
    )


def judge(points):
    """How many modes have their share, and the share of good points.

    A point is good within 3 standard deviations of a centre. A mode is found
    with a quarter of the good points that it would have if all had as many.
    """
    distances = np.linalg.norm(points[:, None] - mode_centres(), axis=-1)
    good = distances.min(axis=1) < 3 * SPREAD
    counts = np.bincount(distances.argmin(axis=1)[good], minlength=NUM_MODES)
    found = counts >= 0.25 * len(points) / NUM_MODES
    return int(found.sum()), float(good.mean())


def main():
    keras.utils.set_random_seed(0)
    gan = build()
    compile_model(gan)
    history = train(gan).history
    for part in ("critic_loss", "generator_loss"):
        print(f"{part}: {history[part][0]:.3f}, then {history[part][-1]:.3f}")
    print("at log 2 = 0.693 the critic can't tell real from made")
    modes, share = judge(gan.predict(noise(2000, seed=2), verbose=0))
    print(f"modes found: {modes} of {NUM_MODES}, good points: {share:.2f}")


if __name__ == "__main__":
    main()
