"""Does a GAN find all modes, does momentum harm, and what does a step cost?

The ring of eight Gaussians and the networks of `examples/gan.py`, five seeds
each: without momentum, with Adam's usual beta_1, with turns, and one Gaussian
fitted to the points. Goal without momentum: in each seed at least 7 modes, and
.65 of the points within 3 standard deviations of a centre. Then CPU time of a
step against a loop of two steps by hand, compiled too, for networks of images
and for those of the ring, whose steps are so short that keeping the means of
three losses shows. Goal: at most 1.

    python benchmarks/gan.py [--steps] [--write]

`--steps` leaves the ring out, which takes minutes.
"""

import sys
import warnings
from pathlib import Path
from typing import Any

import _measure as measure
import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import gan as example

import keras_fast

SEEDS = range(5)
GOAL_MODES, GOAL_SHARE = 7, 0.65
STEPS, IMAGE_STEPS, REPEATS = 100, 10, 15
WAYS = {
    "both at once, beta_1 0": {},
    "both at once, beta_1 .9": {"beta_1": 0.9},
    "turns (1, 1), beta_1 0": {"switch": (1, 1)},
    "adaptive, beta_1 0": {"switch": "adaptive"},
}


def judged(seed, switch="both", beta_1=0.0):
    keras.utils.set_random_seed(seed)
    gan = example.build(switch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of momentum
        example.compile_model(gan, beta_1=beta_1)
    # As many updates of the generator, whoever else trains.
    epochs = 30 if switch == "both" else 60
    example.train(gan, epochs)
    made = gan.predict(example.noise(2000, seed=100 + seed), verbose=0)
    return example.judge(made)


def one_gaussian(seed):
    points = example.ring(example.SAMPLES)
    rng = np.random.default_rng(seed)
    mean, covariance = points.mean(axis=0), np.cov(points.T)
    return example.judge(rng.multivariate_normal(mean, covariance, 2000))


def by_hand(gan):
    """A compiled step of the critic, then one of the generator."""
    generator, critic = gan.generator, gan.critic
    optimizers = [keras.optimizers.Adam(2e-3, 0, 0.99) for _ in range(2)]
    parts = critic, generator
    for optimizer, part in zip(optimizers, parts, strict=True):
        optimizer.build(part.trainable_variables)
    crossentropy: Any = keras.losses.BinaryCrossentropy(from_logits=True)

    def loss(scores, wanted):
        return crossentropy(tf.fill(tf.shape(scores), wanted), scores)

    @tf.function
    def step(noise, real):
        fake = generator(noise, training=True)
        with tf.GradientTape() as tape:
            of_real = loss(critic(real, training=True), 1.0)
            of_fake = loss(critic(fake, training=True), 0.0)
            critics = (of_real + of_fake) / 2
        variables: Any = critic.trainable_variables
        optimizers[0].apply(tape.gradient(critics, variables), variables)
        with tf.GradientTape() as tape:
            fake = generator(noise, training=True)
            generators = loss(critic(fake, training=True), 1.0)
        variables = generator.trainable_variables
        optimizers[1].apply(tape.gradient(generators, variables), variables)
        return critics, generators

    return step


def points():
    """The GAN of the ring, and data for it."""
    gan = example.build()
    example.compile_model(gan)
    size = STEPS * example.BATCH_SIZE
    return gan, example.noise(size), example.ring(size), example.BATCH_SIZE


def images(batch_size=32):
    """A GAN of images of 32 pixels, convolutions all through."""
    conv = keras.layers.Conv2DTranspose
    stride = {"strides": 2, "padding": "same"}
    layers = [
        keras.Input((64,)),
        keras.layers.Dense(4 * 4 * 64, "relu"),
        keras.layers.Reshape((4, 4, 64)),
        conv(64, 4, activation="relu", **stride),
        conv(32, 4, activation="relu", **stride),
        conv(3, 4, activation="tanh", **stride),
    ]
    critic = keras_fast.models.critic((32, 32, 3), filters=32)
    gan = keras_fast.models.GAN(keras.Sequential(layers), critic)
    example.compile_model(gan)
    rng = np.random.default_rng(0)
    size = IMAGE_STEPS * batch_size
    real = rng.uniform(-1, 1, (size, 32, 32, 3))
    return gan, rng.normal(size=(size, 64)), real, batch_size


def step_cost(build):
    """Milliseconds of a step by hand, and quantiles of ours over it."""
    gan, *data, batch_size = build()
    batches = tf.data.Dataset.from_tensor_slices(
        tuple(x.astype("float32") for x in data)
    ).batch(batch_size)
    ours = gan.make_train_function(force=True) or gan.train_function
    step = by_hand(build()[0])

    def fit():
        iterator = iter(batches)
        for _ in range(len(batches)):
            ours(iterator)

    def loop():
        for noise, real in batches:
            step(noise, real)

    seconds = measure.interleaved([loop, fit], REPEATS)
    milliseconds = 1000 * np.median(seconds[:, 0]) / len(batches)
    return milliseconds, measure.ratio(seconds, 1)


def ring():
    rows = []
    for name, arguments in WAYS.items():
        found = [judged(seed, **arguments) for seed in SEEDS]
        goal = ""
        if not arguments:
            met = all(m >= GOAL_MODES and s >= GOAL_SHARE for m, s in found)
            goal = f"{'met' if met else 'missed'} (≥ 7, ≥ .65, each)"
        rows.append(row(name, found, goal))
    rows.append(row("one Gaussian", [one_gaussian(s) for s in SEEDS], ""))
    head = ["way", *(f"seed {seed}" for seed in SEEDS), "goal"]
    measure.report("gan-ring", measure.table(head, rows))


def steps():
    rows = []
    kinds = {"images of 32 pixels, batches of 32": images, "the ring": points}
    for name, build in kinds.items():
        milliseconds, quantiles = step_cost(build)
        cells = f"{milliseconds:.2f} ms", measure.shown(quantiles)
        rows.append([name, *cells, measure.verdict(quantiles, 1)])
    head = ["networks", "two steps by hand", "`models.GAN` / by hand", "goal"]
    measure.report("gan-step", measure.table(head, rows))


def row(name, found, goal):
    return [name, *(f"{m}, {s:.2f}" for m, s in found), goal]


if __name__ == "__main__":
    steps()
    if "--steps" not in sys.argv[1:]:
        ring()
