"""Is the loss what NumPy makes of the features, and the network untouched?"""

import warnings

import keras
import numpy as np
import pytest
from helpers import BACKEND

from keras_fast.losses import FeatureLoss

rng = np.random.default_rng(0)
TARGET = rng.uniform(size=(3, 16, 12, 3)).astype("float32")
MADE = rng.uniform(size=(3, 16, 12, 3)).astype("float32")


def network(size=(None, None)):
    """Features of two levels, and a layer that moves when it trains."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((*size, 3)),
            keras.layers.Rescaling(2.0, offset=-1),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", name="one"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.ReLU(name="relu"),
            keras.layers.Conv2D(5, 3, strides=2, padding="same", name="two"),
        ],
        name="eyes",
    )


EYES = network()


def numpy_loss(names, style, pixel):
    taps = keras.Model(
        EYES.inputs[0], [EYES.get_layer(name).output for name in names]
    )
    wanted, found = (
        [
            keras.ops.convert_to_numpy(x).astype(float)
            for x in keras.tree.flatten(taps(images))
        ]
        for images in (TARGET, MADE)
    )
    total = 0
    for t, f in zip(wanted, found, strict=True):
        total += np.abs(f - t).mean() / np.abs(t).mean()
        grams = [
            np.einsum("bhwi,bhwj->bij", x, x) / np.prod(x.shape[1:])
            for x in (t, f)
        ]
        difference = np.abs(grams[0] - grams[1]).mean()
        total += style * difference / np.abs(grams[0]).mean()
    return total / len(names) + pixel * np.abs(MADE - TARGET).mean()


@pytest.mark.parametrize(
    ("names", "arguments", "style", "pixel"),
    [
        (["relu", "two"], {}, 0, 1),
        (["relu", "two"], {"style": 3.0, "pixel": None}, 3, 0),
        (["one"], {"layers": ["one"], "style": 1.0}, 1, 1),
        (
            ["two"],
            {"layers": ["two"], "pixel": keras.losses.MeanAbsoluteError()},
            0,
            1,
        ),
    ],
)
def test_equals_numpy(names, arguments, style, pixel):
    loss = FeatureLoss(EYES, **arguments)
    found = keras.ops.convert_to_numpy(loss(TARGET, MADE))
    wanted = numpy_loss(names, style, pixel)
    assert float(found) == pytest.approx(wanted, rel=1e-4)
    assert float(loss(TARGET, TARGET)) == 0


def test_each_sample_has_its_weight():
    loss = FeatureLoss(EYES, style=1.0, reduction=None)
    each = keras.ops.convert_to_numpy(loss(TARGET, MADE))
    assert each.shape == (3,)
    mean = FeatureLoss(EYES, style=1.0)
    weighted = mean(TARGET, MADE, sample_weight=np.array([0.0, 3.0, 0.0]))
    assert float(weighted) == pytest.approx(each[1], rel=1e-5)


def painter(policy="float32"):
    keras.utils.set_random_seed(1)
    convolution = keras.layers.Conv2D(3, 3, padding="same", dtype=policy)
    last = keras.layers.Activation("sigmoid", dtype="float32")
    return keras.Sequential([keras.Input((16, 12, 3)), convolution, last])


def test_training_follows_it_and_leaves_the_network(tmp_path):
    eyes = network()
    before = eyes.get_weights()
    model = painter()
    optimizer = keras.optimizers.Adam(0.05)
    jit_compile = BACKEND == "jax"
    loss = FeatureLoss(eyes, style=0.5)
    model.compile(optimizer, loss, jit_compile=jit_compile)
    losses = model.fit(
        MADE, TARGET, batch_size=3, epochs=25, verbose=0
    ).history["loss"]
    assert losses[-1] < 0.9 * losses[0]
    np.testing.assert_equal(eyes.get_weights(), before)
    assert all(v.trainable for v in eyes.trainable_variables)
    assert not {*map(id, model.variables)} & {*map(id, eyes.variables)}
    model.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="saved without its weights.*=eyes"):
        loaded = keras.saving.load_model(tmp_path / "model.keras")
    again = loaded.loss
    assert (again.style, again.pixel, again.layers) == (0.5, "mae", None)
    again.network.set_weights(before)
    assert float(again(TARGET, MADE)) == float(loss(TARGET, MADE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keras.saving.load_model(tmp_path / "model.keras", compile=False)


@pytest.mark.once
def test_in_float16():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        eyes = network()
    finally:
        keras.config.set_dtype_policy("float32")
    eyes.set_weights(EYES.get_weights())
    # Of 16 bits, sums of squares of these would be infinite.
    loss = FeatureLoss(eyes, style=1.0)
    bright, dark = 300 * TARGET, 300 * MADE
    wanted = float(FeatureLoss(EYES, style=1.0)(bright, dark))
    assert float(loss(bright, dark)) == pytest.approx(wanted, rel=1e-2)
    model = painter("mixed_float16")
    model.compile("adam", loss)
    history = model.fit(MADE, TARGET, epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


@pytest.mark.once
def test_networks_that_do_not_fit_are_refused():
    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    layers = [keras.Input((None, None, 3)), *network().layers, *head]
    classifier = keras.Sequential(layers, name="judge")
    twice = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.ReLU(name="relu"), EYES]
    )
    for given, message in [
        ({"network": twice}, "must have layers of different names.*relu"),
        ({"network": abs}, "`network` must be a Keras model"),
        ({"network": dense}, r"must be a functional model .*\[\(None, 4\)\]"),
        ({"network": classifier}, "must give feature maps.*network=judge"),
        ({"layers": ["three"]}, r"names of layers.*layers=\['three'\]"),
        ({"style": -1}, "`style` must be a finite number of at least 0"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            FeatureLoss(**{"network": EYES, **given})
    for loss, images in [
        (FeatureLoss(EYES), TARGET[..., :1]),
        (FeatureLoss(EYES), TARGET[0]),
        (FeatureLoss(network((8, 8)), layers=["one"]), TARGET),
    ]:
        with pytest.raises(
            ValueError, match=r"`network` must take the images.*network=eyes"
        ):
            loss(images, images)


def test_images_of_two_sizes():
    images = np.zeros((2, 16, 16, 3), "float32")
    with pytest.raises(ValueError, match="must be of one size"):
        FeatureLoss(EYES)(images, images[:, :8])
