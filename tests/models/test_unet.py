"""The U-Net on a small backbone: sizes, groups, training, saving."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_fast
from keras_fast import layer_groups, models
from keras_fast.inference import flips
from keras_fast.models.images._resize_like import ResizeLike

PIXELS = np.random.default_rng(0).uniform(0, 255, (4, 101, 127, 4))
PIXELS = PIXELS.astype("float32")
DECODER = [
    "level2_skip_bn",
    "level2_conv1",
    "level2_bn1",
    "level2_conv2",
    "level2_bn2",
    "level1_enlarge",
    "level1_skip_bn",
    "level1_conv1",
    "level1_bn1",
    "level1_conv2",
    "level1_bn2",
    "level0_enlarge",
    "image_bn",
    "level0_conv1",
    "level0_bn1",
    "level0_conv2",
    "level0_bn2",
    "scores",
]


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def backbone(padding="same", channels=3):
    return keras.Sequential(
        [
            keras.Input((None, None, channels)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, strides=2, padding=padding, name="first"),
            layers.BatchNormalization(momentum=0.9, name="norm"),
            layers.ReLU(),
            layers.Conv2D(6, 3, strides=2, padding=padding, name="second"),
        ],
        name="small",
    )


def shallow(padding="same"):
    """Half the decoder, where a train step is compiled."""
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Conv2D(4, 3, strides=2, padding=padding, name="first"),
            layers.BatchNormalization(momentum=0.9, name="norm"),
        ]
    )


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = models.unet(backbone(), 3)
    model.compile("adam", loss())
    return model


@pytest.mark.once
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_output_is_as_large_as_the_images(padding):
    model = models.unet(backbone(padding), 3, input_shape=(16, 16, 3))
    assert model.input_shape == (None, None, None, 3)
    for height, width in [(101, 127), (20, 41), (16, 16)]:
        found = model(PIXELS[:1, :height, :width, :3])
        assert found.shape == (1, height, width, 3)


@pytest.mark.tensorflow_only  # sizes are known in the step alone
def test_an_export_takes_any_size(tmp_path):
    import tensorflow as tf

    model = models.unet(shallow("valid"), 2)
    model.export(tmp_path / "unet", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "unet"))
    for height, width in [(21, 26), (14, 17)]:
        pixels = PIXELS[:2, :height, :width, :3]
        np.testing.assert_allclose(
            numbers(loaded.serve(pixels)),
            numbers(model(pixels)),
            rtol=1e-3,
            atol=1e-3,
        )


@pytest.mark.parametrize("have, want", [(8, 8), (8, 7), (5, 12), (12, 5)])
def test_resizing_is_nearest(have, want):
    maps = np.random.default_rng(1).normal(size=(2, have, have + 1, 3))
    maps = maps.astype("float32")
    like = np.zeros((2, want, want, 1), "float32")
    rows = np.floor(np.arange(want) * have / want).astype(int)
    columns = np.floor(np.arange(want) * (have + 1) / want).astype(int)
    inputs = [keras.Input((None, None, 3)), keras.Input((None, None, 1))]
    model = keras.Model(inputs, ResizeLike()(inputs))
    np.testing.assert_array_equal(
        model.predict([maps, like], verbose=0), maps[:, rows][:, :, columns]
    )


def test_the_encoder_computes_what_the_backbone_does():
    base = backbone()
    base.get_layer("norm").moving_mean.assign([0.1, -0.2, 0.3, 0.0])
    encoder = models.unet(base, 3).get_layer("encoder")
    levels = encoder(PIXELS[..., :3])
    assert [level.shape[-1] for level in levels] == [4, 6]
    np.testing.assert_allclose(
        numbers(levels[-1]), numbers(base(PIXELS[..., :3])), atol=1e-5
    )


def test_images_reach_the_output_and_start_as_nothing():
    model = models.unet(backbone(), 3)
    for name in ("level1_join", "level0_join"):
        assert len(model.get_layer(name).input) == 2

    def change():
        """By how much images change the output."""
        kernel = model.get_layer("level0_conv1").kernel
        before = numbers(kernel)
        outputs = numbers(model(PIXELS[:1, :16, :16, :3]))
        cut = before.copy()
        cut[:, :, -3:] = 0  # of the images
        kernel.assign(cut)
        without = numbers(model(PIXELS[:1, :16, :16, :3]))
        kernel.assign(before)
        return np.abs(without - outputs).max()

    assert change() == 0
    model.get_layer("level0_bn2").gamma.assign(np.ones(16))
    assert change() > 0


def test_groups_are_encoder_encoder_decoder(model):
    names = [[layer.name for layer in group] for group in layer_groups(model)]
    assert names == [["first", "norm"], ["second"], DECODER]


def test_the_encoder_starts_frozen():
    model = models.unet(backbone(), 3)
    trainable = {v.path.split("/")[0] for v in model.trainable_variables}
    assert trainable == {*DECODER}
    keras_fast.unfreeze(model)
    # Kernel and bias or gamma and beta: 5 kernels of the decoder are alone.
    # So are those of the base but for its moving averages.
    assert len(model.trainable_variables) == len(model.weights) - 2 * 10
    keras_fast.freeze(model)
    assert {v.path.split("/")[0] for v in model.trainable_variables} == (
        trainable
    )


def squares(number):
    """Images with one bright square, and its mask."""
    rng = np.random.default_rng(2)
    x = rng.uniform(0, 80, (number, 21, 26, 3)).astype("float32")
    y = np.zeros((number, 21, 26), "int32")
    for i in range(number):
        row, column = rng.integers(0, 10, 2)
        x[i, row : row + 9, column : column + 9] += 120
        y[i, row : row + 9, column : column + 9] = 1
    return x, y


def test_fine_tune_and_all_around_it(tmp_path):
    """Rates, training, a plan, and a file."""
    keras.utils.set_random_seed(0)
    x, y = squares(24)
    model = models.unet(shallow(), 2)
    model.compile("adam", loss())
    found = keras_fast.lr_find(model, x, y, batch_size=8, num_steps=9)
    assert len(found.losses) > 5
    keras_fast.fine_tune(
        model,
        x,
        y,
        epochs=8,
        base_lr=2e-2,
        head_epochs=0,
        average=0,
        batch_size=8,
        verbose=0,
    )
    masks = model.predict(x, verbose=0).argmax(axis=-1)
    both, either = (masks & y).sum(), (masks | y).sum()
    assert both / either > 0.8
    plan = str(keras_fast.training_plan(model))
    assert "first" in plan
    assert "scores" in plan
    model.save(tmp_path / "unet.keras")
    again = keras.saving.load_model(tmp_path / "unet.keras")
    np.testing.assert_array_equal(
        again.predict(x[:2], verbose=0), model.predict(x[:2], verbose=0)
    )


@pytest.mark.once
def test_a_default_fine_tune_says_that_features_do_not_serve():
    x, y = squares(4)
    model = models.unet(shallow(), 2)
    model.compile("adam", loss(), run_eagerly=True)
    with pytest.warns(UserWarning, match="with the base frozen, for 1 epochs"):
        keras_fast.fine_tune(model, x, y, epochs=1, verbose=0)


def test_it_can_not_be_split(model):
    with pytest.raises(ValueError, match="that can be cut in two at one"):
        keras_fast.split_head(model)


def test_masks_turn_with_the_views(model):
    x = PIXELS[:2, :24, :31, :3]
    views, plain = keras_fast.predict_tta(model, x, flips(), beta=None)
    for found, way in ((plain, 1), (views, -1)):
        expected = numbers(model(x[:, :, ::way]))[:, :, ::way]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.once
def test_as_a_regressor_of_pixels():
    model = models.unet(shallow(), 3)
    model.compile("adam", "mse", run_eagerly=True)
    pixels = PIXELS[:, :21, :33, :3]
    targets = pixels / 255
    errors = numbers(model(pixels)) - targets
    found = model.test_on_batch(pixels, targets)
    np.testing.assert_allclose(found, np.mean(errors**2), rtol=1e-4)


@pytest.mark.once
def test_activations():
    for name in ("softmax", "sigmoid"):
        model = models.unet(shallow(), 2, activation=name)
        found = numbers(model(PIXELS[:1, :16, :16, :3]))
        assert ((found >= 0) & (found <= 1)).all()
        total = found.sum(axis=-1)
        assert np.allclose(total, 1, atol=1e-5) == (name == "softmax")


@pytest.mark.once
@pytest.mark.parametrize("channels", [1, 2, 4])
def test_other_channels(channels):
    model = models.unet(backbone(), 3, input_shape=(None, None, channels))
    pixels = PIXELS[:1, :21, :33, :channels]
    assert model(pixels).shape == (1, 21, 33, 3)
    kernel = model.get_layer("encoder").get_layer("first").kernel
    assert kernel.shape == (3, 3, channels, 4)


@pytest.mark.once
def test_a_fourth_channel_changes_nothing_in_the_encoder():
    base = backbone()
    three = models.unet(base, 2).get_layer("encoder")
    four = models.unet(base, 2, input_shape=(None, None, 4))
    four = four.get_layer("encoder")
    for a, b in zip(three(PIXELS[..., :3]), four(PIXELS), strict=True):
        np.testing.assert_allclose(numbers(a), numbers(b), atol=1e-5)


def test_output_is_float32_under_mixed_float16():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = models.unet(backbone(), 3, self_attention=True)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("level0_conv1").compute_dtype == "float16"
    found = model(PIXELS[:1, :21, :33, :3])
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    assert np.isfinite(numbers(found)).all()


def test_self_attention_starts_as_nothing_and_looks_everywhere():
    model = models.unet(backbone(), 3, self_attention=True)
    join = model.get_layer("attention_add")
    around, attended = keras.Model(model.input, [*join.input])(
        PIXELS[:1, :21, :33, :3]
    )
    np.testing.assert_array_equal(numbers(attended), 0)
    assert around.shape == (1, 11, 17, 32)  # an eighth is not there
    norm = model.get_layer("attention_bn")
    norm.gamma.assign(np.ones(32))
    attention = model.get_layer("attention")
    x = numbers(around).reshape(1, -1, 32)

    def projected(name):
        layer = getattr(attention, f"_{name}_dense")
        return x @ numbers(layer.kernel)[:, 0]

    query, key, value = map(projected, ("query", "key", "value"))
    scores = query @ key.swapaxes(1, 2) / np.sqrt(4)
    scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
    scores /= scores.sum(axis=-1, keepdims=True)
    mixed = scores @ value @ numbers(attention._output_dense.kernel)[0]
    _, again = keras.Model(model.input, [*join.input])(PIXELS[:1, :21, :33, :3])
    np.testing.assert_allclose(
        numbers(again).reshape(x.shape),
        mixed / np.sqrt(1 + norm.epsilon),
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.once
def test_a_backbone_without_a_level_is_enlarged_twice():
    base = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(320, 4, strides=4)]
    )
    model = models.unet(base, 2)
    names = {layer.name for layer in model.layers}
    assert {"level1_enlarge", "level0_enlarge"} <= names
    assert "level1_join" not in names
    widths = [model.get_layer(f"level{n}_conv2").filters for n in (2, 1, 0)]
    assert widths == [64, 32, 16]  # the least
    assert model(PIXELS[:1, :, :, :3]).shape == (1, 101, 127, 2)


def test_a_backbone_that_makes_nothing_smaller():
    base = keras.Sequential(
        [keras.Input((None, None, 3)), layers.Conv2D(2, 3)], name="flat"
    )
    with pytest.raises(ValueError, match="must make images smaller") as error:
        models.unet(base, 2)
    assert "Received: backbone=flat" in str(error.value)


def test_images_smaller_than_the_stride():
    with pytest.raises(
        ValueError, match="stride of the features, 4 pixels"
    ) as error:
        models.unet(backbone(), 2, input_shape=(3, None, 3))
    assert "input_shape=(3, None, 3), backbone=small" in str(error.value)


@pytest.mark.once
def test_a_backbone_of_one_size():
    base = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(4, 2, strides=2),
            layers.Reshape((4, 4, 16)),
        ],
        name="fixed",
    )
    with pytest.raises(ValueError, match="of any size"):
        models.unet(base, 2)


def test_nothing_sensible_to_predict():
    with pytest.raises(ValueError, match="`num_classes` must be at least 2"):
        models.unet(backbone(), 1, activation="softmax")
    with pytest.raises(ValueError, match="`activation` must be 'softmax'"):
        models.unet(backbone(), 2, activation="relu")
    with pytest.raises(ValueError, match="`input_shape` must be height, width"):
        models.unet(backbone(), 2, input_shape=(64, 64))


def test_features_at_full_size_may_have_lost_their_borders():
    network = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 5),
            keras.layers.Conv2D(8, 3, strides=2),
        ]
    )
    model = models.unet(network, 2)
    assert model(np.zeros((1, 21, 34, 3))).shape == (1, 21, 34, 2)
