"""Two networks against each other, as two optimizers by hand train them."""

import warnings

import keras
import numpy as np
import pytest
from helpers import BACKEND, distance, interpreted, weights
from keras import ops

import keras_fast
from keras_fast import callbacks, models
from keras_fast._keras.gradients import gradients

rng = np.random.default_rng(0)
NOISE = rng.normal(size=(24, 2)).astype("float32")
REAL = (rng.normal(size=(24, 3)) + 1).astype("float32")
BATCH = 8
RATE = 0.02


def mlp(sizes, name):
    layers = [keras.layers.Dense(n, "tanh") for n in sizes[1:-1]]
    layers = [keras.Input(sizes[:1]), *layers, keras.layers.Dense(sizes[-1])]
    return keras.Sequential(layers, name=name)


def parts():
    generator, critic = mlp((2, 5, 3), "generator"), mlp((3, 5, 1), "critic")
    start = np.random.default_rng(3)
    for variable in generator.weights + critic.weights:
        variable.assign(start.normal(scale=0.5, size=variable.shape))
    return generator, critic


def adam():
    return keras.optimizers.Adam(RATE, beta_1=0)


def sgd():
    return keras.optimizers.SGD(0.4)


def made(switch="both", optimizer=adam, **arguments):
    gan = models.GAN(*parts(), switch=switch)
    gan.compile(optimizer(), jit_compile=BACKEND == "jax", **arguments)
    return gan


def fit(gan, *extra, epochs=2, **arguments):
    how = {"batch_size": BATCH, "shuffle": False, "verbose": 0, **arguments}
    return gan.fit(NOISE, REAL, epochs=epochs, callbacks=[*extra], **how)


def softplus(x):
    return ops.mean(ops.softplus(x))


def critics_loss(generator, critic, noise, real):
    of_real, of_fake = critic(real), critic(generator(noise))
    return (softplus(-of_real) + softplus(of_fake)) / 2


def generators_loss(generator, critic, noise, real, weight):
    fake = generator(noise)
    error = ops.mean(ops.square(fake - real))
    return softplus(-critic(fake)) + weight * error


def gradient(loss, part):
    """Of a loss with respect to the weights of one part, and the loss."""
    variables = part.trainable_variables
    ends = np.cumsum([np.prod(v.shape) for v in variables])[:-1].tolist()

    def split(flat):
        values = zip(variables, ops.split(flat, ends), strict=True)
        return [(v, ops.reshape(value, v.shape)) for v, value in values]

    def of(flat):
        with keras.StatelessScope(split(flat)):
            return loss()

    flat = [ops.reshape(v.value, -1) for v in variables]
    value, found = gradients(of, ops.concatenate(flat))
    return value, [part for _, part in split(found)]


def by_hand(optimizer, turn, weight=0.0, epochs=2):
    """Two optimizers; `turn(updates)` says who trains in the next update.

    Returns the weights, and for each update a dict of who trained to the loss.
    """
    generator, critic = parts()
    of_generator, of_critic = optimizer(), optimizer()
    updates = []
    for k in range(epochs * len(NOISE) // BATCH):
        rows = slice(k * BATCH % len(NOISE), k * BATCH % len(NOISE) + BATCH)
        batch = [ops.convert_to_tensor(x[rows]) for x in (NOISE, REAL)]
        losses = {
            "critic": lambda b=batch: critics_loss(generator, critic, *b),
            "generator": lambda b=batch: generators_loss(
                generator, critic, *b, weight
            ),
        }
        pairs = {
            "critic": (of_critic, critic),
            "generator": (of_generator, generator),
        }
        who = turn(updates)
        found = {name: gradient(losses[name], pairs[name][1]) for name in who}
        for name, (_, values) in found.items():
            own, part = pairs[name]
            own.apply(values, part.trainable_variables)
        updates.append({name: float(loss) for name, (loss, _) in found.items()})
    ends = [np.ravel(w) for w in generator.get_weights() + critic.get_weights()]
    return np.concatenate(ends), updates


def both(updates):
    return ["critic", "generator"]


def two_to_one(updates):
    return ["generator" if len(updates) % 3 == 2 else "critic"]


def adaptive(updates):
    if not updates:
        return ["critic"]
    ((last, loss),) = updates[-1].items()
    other = "generator" if last == "critic" else "critic"
    return [other if loss < 0.65 else last]


def test_both_at_once_equal_two_optimizers():
    gan = made(loss="mse", loss_weights=3.0)
    history = fit(gan).history
    with interpreted():
        wanted, updates = by_hand(adam, both, weight=3.0)
    assert distance(weights(gan), wanted) <= 1e-6
    last = [list(each.values()) for each in updates[-3:]]
    critic, generator = np.mean(last, axis=0)
    assert history["critic_loss"][-1] == pytest.approx(critic, abs=1e-5)
    assert history["generator_loss"][-1] == pytest.approx(generator, abs=1e-5)
    assert history["loss"][-1] == pytest.approx(critic + generator, abs=1e-5)


@pytest.mark.parametrize(
    ("switch", "turn"), [((2, 1), two_to_one), ("adaptive", adaptive)]
)
def test_turns_equal_two_optimizers_that_pause(switch, turn):
    gan = made(switch, sgd)
    fit(gan, epochs=3)
    with interpreted():
        wanted, updates = by_hand(sgd, turn, epochs=3)
    who = "".join(next(iter(each))[0] for each in updates)
    print(who)
    assert "cg" in who
    assert "gc" in who
    # The turn is a weight too, the first.
    assert distance(weights(gan)[1:], wanted) <= 1e-6


def test_evaluation_moves_nothing():
    gan = made((1, 1))
    before = gan.get_weights()
    found = gan.evaluate(NOISE, REAL, verbose=0, return_dict=True)
    np.testing.assert_equal(gan.get_weights(), before)
    generator, critic = gan.generator, gan.critic
    data = map(ops.convert_to_tensor, (NOISE, REAL))
    wanted = ops.convert_to_numpy(critics_loss(generator, critic, *data))
    assert found["critic_loss"] == pytest.approx(float(wanted), abs=1e-5)


def test_saved_and_trained_on_as_if_never_saved(tmp_path):
    gan = made((2, 1), loss="mse")
    fit(gan, epochs=1)
    gan.save(tmp_path / "gan.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = keras.saving.load_model(tmp_path / "gan.keras")
    assert loaded.switch == (2, 1)
    for each in (gan, loaded):
        fit(each, epochs=1)
    assert distance(weights(loaded), weights(gan)) <= 1e-7
    fit(gan, epochs=1)
    gan.save_weights(tmp_path / "gan.weights.h5")
    loaded.load_weights(tmp_path / "gan.weights.h5")
    np.testing.assert_equal(weights(loaded), weights(gan))


def test_trains_with_what_other_models_train_with():
    gan = made(loss="mae")
    # The critic learns five times as fast, as in fastai.
    groups = [[gan.generator], [gan.critic]]
    multipliers = keras_fast.layer_multipliers(gan, [0.2, 1.0], groups=groups)
    optimizer = keras_fast.optimizers.DiscriminativeOptimizer(
        adam(), multipliers
    )
    gan.compile(optimizer, loss="mae")
    before = gan.get_weights()
    found = keras_fast.lr_find(gan, NOISE, REAL, batch_size=4, num_steps=20)
    np.testing.assert_equal(gan.get_weights(), before)
    assert len(found.losses) > 5
    recorder = callbacks.Recorder()
    cycle = callbacks.OneCycle(0.01, momentums=None)
    history = fit(gan, cycle, recorder).history
    assert recorder.losses.shape == (6,)
    assert recorder.losses[-3:].mean() == pytest.approx(
        history["loss"][-1], abs=1e-5
    )
    assert not recorder.momentums.any()
    moved = [
        np.abs(a - b).max()
        for a, b in zip(gan.get_weights(), before, strict=True)
    ]
    assert min(moved[:4]) > 0 and min(moved[4:]) > 0


def image_gan(**arguments):
    generator = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Conv2D(3, 3, padding="same"),
            keras.layers.Activation("tanh", dtype="float32"),
        ]
    )
    critic = models.critic((8, 8, 3), filters=4)
    return models.GAN(generator, critic, **arguments)


@pytest.mark.once
def test_critic_of_images_in_float16():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        gan = image_gan(switch=(1, 1))
    finally:
        keras.config.set_dtype_policy("float32")
    gan.compile(keras.optimizers.Adam(0.01, beta_1=0), "mae")
    images = rng.normal(size=(8, 8, 8, 3)).astype("float32")
    before = gan.get_weights()
    history = gan.fit(images, images, batch_size=4, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    kinds = [v.path for v in gan.critic.non_trainable_variables]
    vectors = [i for i, v in enumerate(gan.weights) if "vector_u" in v.path]
    assert len(vectors) == len(kinds) == 2
    after = gan.get_weights()
    assert all((after[i] != before[i]).any() for i in vectors)
    assert gan.critic(images).dtype in ("float32", ops.zeros(1).dtype)
    shapes = [layer.output.shape[1:] for layer in gan.critic.layers]
    assert [*map(tuple, shapes)] == [
        (8, 8, 3), (4, 4, 4), (4, 4, 4), (1, 1, 1), (1,), (1,)
    ]  # fmt: skip


@pytest.mark.once
def test_scores_of_a_critic_are_normalized():
    critic = models.critic((9, 6, 1), filters=2)
    kernel = critic.layers[1].layer.kernel
    kernel.assign(100 * kernel.numpy())
    images = rng.normal(size=(4, 9, 6, 1)).astype("float32")
    for _ in range(30):  # the power iteration
        critic(images, training=True)
    matrix = kernel.numpy().reshape(-1, kernel.shape[-1])
    assert np.linalg.norm(matrix, 2) == pytest.approx(1, abs=1e-3)


@pytest.mark.once
def test_a_map_of_scores_is_averaged():
    keras.utils.set_random_seed(0)
    patches = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(1, 3, strides=2)]
    )
    generator = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 1)]
    )
    gan = models.GAN(generator, patches)
    gan.compile(sgd())
    images = rng.normal(size=(4, 8, 8, 3)).astype("float32")
    found = gan.evaluate(images, images, verbose=0, return_dict=True)
    wanted = critics_loss(generator, patches, images, images)
    assert found["critic_loss"] == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    ("optimizer", "switch", "message"),
    [
        ("adam", "both", r"It goes on where .* `beta_1=0`. .*beta_1=0.9"),
        (
            keras.optimizers.SGD(0.1, momentum=0.5),
            (1, 1),
            "A GAN should train without momentum. The gradient of a part that "
            "rests is zero, so momentum alone moves it. Pass `momentum=0`. "
            "Received: optimizer=SGD with momentum=0.5",
        ),
        (
            keras.optimizers.AdamW(beta_1=0),
            "adaptive",
            "without weight decay. The gradient of a part that rests is zero, "
            "so decay alone moves it.*weight_decay=0.004",
        ),
    ],
)
def test_momentum_is_warned_of(optimizer, switch, message):
    gan = models.GAN(*parts(), switch=switch)
    with pytest.warns(UserWarning, match=message) as caught:
        gan.compile(optimizer)
    assert [each.filename for each in caught] == [__file__]


@pytest.mark.once
def test_no_momentum_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made(optimizer=lambda: keras.optimizers.AdamW(beta_1=0))
        made((1, 1))


def dense(*end, **arguments):
    return keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(*end, **arguments)], name="c"
    )


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"critic": dense(7)},
            "`critic` must give each sample one score, .* Received: "
            r"critic=c with outputs of shape \[\(None, 7\)\]",
        ),
        ({"critic": dense(1, "sigmoid")}, "`critic` must give logits"),
        ({"critic": keras.Sequential([])}, "`critic` must be built"),
        ({"generator": abs}, "`generator` must be a Keras model"),
        ({"critic": mlp((4, 1), "c")}, "`critic` must take what the generator"),
        ({"switch": "never"}, "`switch` must be 'both', 'adaptive' or a pair"),
        ({"switch": None}, "`switch` must be 'both', 'adaptive' or a pair"),
        ({"switch": (1, 2, 3)}, "`switch` must be 'both', 'adaptive' or a"),
        ({"switch": (1, 0)}, "`switch` must be a whole number of at least 1"),
        (
            {"critic": dense(1, kernel_regularizer="l2"), "switch": (1, 1)},
            "`critic` must have no regularizers where parts take turns",
        ),
    ],
)
def test_what_makes_no_gan_is_refused(change, message):
    generator, critic = parts()
    given = {"generator": generator, "critic": critic, **change}
    with pytest.raises((TypeError, ValueError), match=message):
        models.GAN(**given)


@pytest.mark.once
def test_critics_whose_end_shows_when_called():
    class Critic(keras.Model):
        def build(self, input_shape):
            self.dense = keras.layers.Dense(7)
            self.dense.build(input_shape)

        def call(self, x, training=None):
            return self.dense(x)

    critic = Critic(name="odd")
    critic.build((None, 3))
    gan = models.GAN(parts()[0], critic)
    gan.compile(sgd())
    with pytest.raises(ValueError, match="critic=odd with outputs of shape"):
        fit(gan)
    with pytest.raises(ValueError, match="`y` must be real images, or"):
        made().fit(NOISE, verbose=0)


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((None, None, 3),), "`input_shape` must have a height and a width"),
        (((8, 8),), "`input_shape` must be height, width and channels"),
    ],
)
def test_critic_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.critic(*arguments)


def test_a_part_can_not_train_against_itself():
    network = mlp((3, 3), "same")
    inside = keras.Sequential([keras.Input((3,)), network])
    inside.add(keras.layers.Dense(1))
    with pytest.raises(ValueError, match="no weights of the generator"):
        models.GAN(network, inside)


def test_without_targets_nothing_is_lost():
    gan = made()
    before = weights(gan)
    for method in (gan.fit, gan.evaluate):
        with pytest.raises(ValueError, match="`y` must be real images"):
            method(NOISE, verbose=0)
    assert distance(before, weights(gan)) == 0


def test_real_images_of_another_size():
    generator = mlp((2, 3), "generator")
    inputs = keras.Input((None,))
    critic = keras.Model(inputs, keras.ops.mean(inputs, -1, keepdims=True))
    gan = models.GAN(generator, critic)
    gan.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    with pytest.raises(ValueError, match=r"y of shape \(8, 5\), made of"):
        gan.fit(NOISE[:8], np.zeros((8, 5)), verbose=0)


@pytest.mark.tensorflow_only
def test_exported(tmp_path):
    import tensorflow as tf

    gan = made()
    gan.export(tmp_path / "gan", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "gan")
    np.testing.assert_allclose(
        loaded.serve(NOISE), gan.predict(NOISE, verbose=0), rtol=1e-5, atol=1e-6
    )
