"""The composed transform, against NumPy, pixel by pixel."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_fast.data import AugTransforms, mix

IMAGES = np.random.default_rng(0).uniform(0, 255, (6, 9, 12, 3))
IMAGES = IMAGES.astype("float32")
NOTHING = {"max_rotate": 0, "max_zoom": 1, "max_warp": 0, "max_lighting": 0}


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def layer(**arguments):
    return AugTransforms(**{**NOTHING, "flip": None, "seed": 1, **arguments})


def drawn(rows):
    """The 17 numbers of each image; those not given change nothing."""
    draws = np.full((len(rows), 17), 0.5, "float32")
    for row, given in zip(draws, rows, strict=True):
        for place, value in given.items():
            row[place] = value
    return {"drawn": keras.ops.convert_to_tensor(draws)}


def apply(augment, rows, images=IMAGES):
    images = keras.ops.convert_to_tensor(images[: len(rows)])
    return numbers(augment.transform_images(images, drawn(rows)))


def reflected(position, size):
    """Which pixel lies there, if the image repeats as in a mirror."""
    cell = position % (2 * size)
    return cell if cell < size else 2 * size - 1 - cell


def sampled(image, x, y):
    """The bilinear mean of four pixels."""
    height, width, _ = image.shape
    left, top = int(np.floor(x)), int(np.floor(y))
    total = 0
    for j in (0, 1):
        for i in (0, 1):
            weight = (1 - abs(x - left - i)) * (1 - abs(y - top - j))
            pixel = image[
                reflected(top + j, height), reflected(left + i, width)
            ]
            total = total + weight * pixel.astype("float64")
    return total


def expect(found, image, source):
    """Compare each pixel with the one at `source(x, y)`."""
    height, width, _ = image.shape
    for y in range(height):
        for x in range(width):
            np.testing.assert_allclose(
                found[y, x], sampled(image, *source(x, y)), atol=0.02
            )


def test_rotation_is_that_of_the_plane():
    augment = layer(max_rotate=30)
    [found] = apply(augment, [{3: 1.0, 4: 0.0}])
    sine, cosine = np.sin(np.pi / 6), np.cos(np.pi / 6)

    def source(x, y):
        x, y = x - 5.5, y - 4.0
        return cosine * x - sine * y + 5.5, sine * x + cosine * y + 4.0

    expect(found, IMAGES[0], source)


def test_zoom_is_towards_its_centre():
    augment = layer(max_zoom=1.5)
    [found] = apply(augment, [{5: 1.0, 6: 0.0, 7: 0.0, 8: 1.0}])

    def source(x, y):  # towards the left and the bottom
        x, y = (x - 5.5) / 6, (y - 4.0) / 4.5
        x, y = x / 1.5 - (1 - 1 / 1.5), y / 1.5 + (1 - 1 / 1.5)
        return 6 * x + 5.5, 4.5 * y + 4.0

    expect(found, IMAGES[0], source)


def test_warp_takes_corners_where_fastai_takes_them():
    augment = layer(max_warp=0.2)
    [found] = apply(augment, [{9: 1.0, 10: 0.0, 11: 0.25, 12: 0.0}])
    a, b = 0.2, -0.1
    corners = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    targets = [
        (-1 - b, -1 - a),
        (-1 + b, 1 + a),
        (1 + b, -1 + a),
        (1 - b, 1 - a),
    ]
    equations, values = [], []
    for (x, y), (u, v) in zip(corners, targets, strict=True):
        equations.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        equations.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    matrix = np.append(np.linalg.solve(equations, values), 1).reshape(3, 3)

    def source(x, y):
        u, v, w = matrix @ [(x - 5.5) / 6, (y - 4.0) / 4.5, 1]
        return 6 * u / w + 5.5, 4.5 * v / w + 4.0

    expect(found, IMAGES[0], source)


def test_flips_are_exact():
    [mirrored, same] = apply(layer(flip="horizontal"), [{0: 0.0}, {0: 1.0}])
    np.testing.assert_array_equal(mirrored, IMAGES[0][:, ::-1])
    np.testing.assert_array_equal(same, IMAGES[1])


def test_dihedral_turns_to_each_of_eight_sides():
    square = np.repeat(IMAGES[:1, :, :9], 8, axis=0)
    rows = [{i: float(k >> i & 1) for i in range(3)} for k in range(8)]
    found = apply(layer(flip="dihedral"), rows, square)
    sides = [square[0], square[0].swapaxes(0, 1)]
    sides = [side[:, ::i] for side in sides for i in (1, -1)]
    sides = {side[::i].tobytes() for side in sides for i in (1, -1)}
    assert {image.tobytes() for image in found} == sides
    assert len(sides) == 8


def test_lighting_is_in_logits():
    augment = layer(max_lighting=0.2)
    rows = [{13: 1.0, 14: 0.0}, {15: 1.0, 16: 0.0}, {13: 1.0, 14: 0.8}]
    found = apply(layer(max_lighting=0.2, p=0.75), rows)
    share = IMAGES[:3].astype("float64") / 255
    logit = np.log(share / (1 - share))
    brighter = 255 / (1 + np.exp(-(logit[0] + np.log(0.6 / 0.4))))
    np.testing.assert_allclose(found[0], brighter, atol=0.01)
    sharper = 255 / (1 + np.exp(-logit[1] / 0.8))
    np.testing.assert_allclose(found[1], sharper, atol=0.01)
    np.testing.assert_array_equal(found[2], IMAGES[2])
    assert augment.compute_output_shape((2, 3, 4, 3)) == (2, 3, 4, 3)


def test_parameters_are_as_frequent_as_they_should_be():
    # A ramp shows where its pixels come from.
    ramp = np.tile(np.arange(21, dtype="float32"), (4000, 1, 1))[..., None]
    for p in (0.25, 0.75):
        augment = layer(max_zoom=2, p=p, seed=3)
        found = numbers(augment(ramp, training=True))[:, 0, :, 0]
        size = found[:, 12] - found[:, 11]
        assert abs(np.mean(size < 1 - 1e-4) - p) < 0.03
        assert size.min() >= 0.5 - 1e-4 and size.max() <= 1 + 1e-4
        zoom = 1 / size[size < 1 - 1e-4]
        assert abs(zoom.mean() - 1.5) < 0.03
    flipped = numbers(layer(flip="horizontal")(ramp, training=True))
    assert abs(np.mean(flipped[:, 0, 0, 0] == 20) - 0.5) < 0.03


@pytest.mark.parametrize("channels", [True, False])
def test_masks_stay_in_step_and_labels_as_they_are(channels):
    # The mask is an image of few values: nearest pixels of it are exact.
    masks = (IMAGES[..., :1] // 64).astype("int32")
    augment = AugTransforms(flip="dihedral", p=1, seed=2, max_lighting=0)
    blocks = np.kron(masks, np.ones((1, 8, 8, 1))).astype("int32")
    batch = {
        "images": blocks.astype("float32"),
        "labels": np.arange(6),
        "segmentation_masks": blocks if channels else blocks[..., 0],
    }
    found = augment(batch, training=True)
    moved = numbers(found["segmentation_masks"]).reshape(blocks.shape)
    assert set(np.unique(moved)) <= {0, 1, 2, 3}
    close = np.abs(moved - numbers(found["images"])) < 0.5
    assert close.mean() > 0.9
    assert np.mean(moved != blocks) > 0.3
    assert found["labels"] is batch["labels"]


def test_does_nothing_where_it_should_not():
    for found in (
        layer()(IMAGES, training=True),
        AugTransforms()(IMAGES, training=False),
        AugTransforms(p=0, flip=None)(IMAGES, training=True),
    ):
        np.testing.assert_array_equal(numbers(found), IMAGES)


def epochs(augment, images=IMAGES, count=2):
    data = tf.data.Dataset.from_tensor_slices((images, np.arange(6)))
    data = data.batch(4).map(lambda x, y: (augment(x, training=True), y))
    found = [list(data.as_numpy_iterator()) for _ in range(count)]
    return [np.concatenate([x for x, _ in epoch]) for epoch in found]


def test_pipelines_draw_anew_each_epoch_and_repeat_with_the_seed():
    first, second = epochs(AugTransforms(seed=1))
    again, _ = epochs(AugTransforms(seed=1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).mean() > 1
    bytes_in, _ = epochs(AugTransforms(seed=1), IMAGES.astype("uint8"))
    assert np.abs(bytes_in - first).max() < 4


def test_the_compiled_pass_is_the_plain_one():
    found, _ = epochs(AugTransforms(seed=1))
    augment = AugTransforms(seed=1)
    if keras.backend.backend() == "tensorflow":
        plain = [augment(IMAGES[i : i + 4], training=True) for i in (0, 4)]
        np.testing.assert_allclose(
            found, np.concatenate(plain), rtol=1e-3, atol=0.05
        )
    assert found.shape == IMAGES.shape


def test_resuming_draws_what_would_have_come():
    augment = AugTransforms(seed=1)
    augment(IMAGES, training=True)
    state = [numbers(v).copy() for v in augment.variables]
    expected = numbers(augment(IMAGES, training=True))
    other = AugTransforms(seed=7)
    for variable, value in zip(other.variables, state, strict=True):
        variable.assign(value)
    np.testing.assert_array_equal(
        numbers(other(IMAGES, training=True)), expected
    )


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_trains_inside_a_model_that_is_saved(policy, tmp_path):
    augment = AugTransforms(12, p=0.5, flip="dihedral", dtype=policy)
    model = keras.Sequential(
        [
            keras.Input((9, 12, 3)),
            augment,
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    model.fit(IMAGES / 255, np.ones((6, 1)), batch_size=3, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.layers[0].get_config() == augment.get_config()
    np.testing.assert_array_equal(
        again.predict(IMAGES, verbose=0), model.predict(IMAGES, verbose=0)
    )
    assert augment(IMAGES).dtype == model.layers[0](IMAGES).dtype


@pytest.mark.parametrize("kind", ["MixUp", "CutMix"])
def test_mix_takes_integer_labels(kind):
    one, other = (getattr(keras.layers, kind)(seed=0) for _ in range(2))
    data = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(6)))
    data = data.batch(6)
    images, labels = next(iter(data.map(mix(one, num_classes=7))))
    expected = next(
        iter(
            data.map(
                lambda x, y: other({"images": x, "labels": tf.one_hot(y, 7)})
            )
        )
    )
    np.testing.assert_array_equal(images, expected["images"])
    np.testing.assert_array_equal(labels, expected["labels"])
    assert np.any(labels.numpy().max(1) < 1)


FAULTS = {
    "max_rotate": (181, "a number from 0 to 180. Pass one from 0 to 180."),
    "max_zoom": (0.9, "a finite number of at least 1. Pass 1 or more."),
    "max_warp": (0.5, "a number from 0 to 0.45. Pass one from 0 to 0.45."),
    "max_lighting": (
        1.0,
        "a number of at least 0 and below 1. Pass one such as 0.2.",
    ),
    "flip": (
        "vertical",
        "one of 'horizontal', 'dihedral'. Check its spelling.",
    ),
    "p": (1.5, "a number from 0 to 1. Pass one from 0 to 1."),
    "seed": (-1, "a whole number of at least 0. Pass an int of 0 or more."),
}


@pytest.mark.parametrize("name", FAULTS)
def test_bad_arguments(name):
    value, expected = FAULTS[name]
    with pytest.raises(ValueError) as error:
        AugTransforms(**{name: value})
    assert str(error.value) == (
        f"`{name}` must be {expected} Received: {name}={value!r}"
    )


def test_boxes_are_refused():
    with pytest.raises(ValueError) as error:
        AugTransforms()({"images": IMAGES, "bounding_boxes": {}})
    assert str(error.value) == (
        "`bounding_boxes` must not be given: they are not moved. Use Keras's "
        "Random* layers for them. Received: inputs with ['bounding_boxes', "
        "'images']"
    )


def test_inputs_that_are_no_images():
    with pytest.raises(ValueError) as error:
        AugTransforms()({"photos": IMAGES}, training=True)
    assert str(error.value) == (
        "`inputs` must have `images`. Pass a dictionary such as {'images': x, "
        "'labels': y}. Received: inputs with ['photos']"
    )
    with pytest.raises(TypeError) as error:
        AugTransforms()((IMAGES, np.arange(6)), training=True)
    assert str(error.value) == (
        "`inputs` must be images, or a dictionary with `images`. In `tf.data` "
        "pass the images alone: `data.map(lambda x, y: (augment(x, "
        "training=True), y))`. Received: inputs of type tuple"
    )


def test_pixels_from_0_to_1_are_told_once():
    augment = AugTransforms(seed=0)
    black = np.zeros_like(IMAGES)
    augment(black, training=True)
    augment(IMAGES / 255)  # where nothing is augmented
    with pytest.warns(UserWarning) as caught:
        augment({"images": IMAGES / 255}, training=True)
    assert str(caught[0].message) == (
        "Pixels must be from 0 to 255 for their brightness and contrast to be "
        "changed. Put the layer before the rescaling, or pass "
        "`max_lighting=0`. Received: images whose highest pixel is "
        f"{IMAGES.max() / 255:.3g}"
    )
    assert caught[0].filename == __file__
    augment(IMAGES / 255, training=True)
    AugTransforms(max_lighting=0)(IMAGES / 255, training=True)
    AugTransforms()((IMAGES > 99).astype("uint8"), training=True)


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.matrix(1)
def test_size_that_is_not_known(dtype, batched):
    images = IMAGES.astype(dtype)
    shape = (None, None, 3)

    def augmented(data):
        augment = AugTransforms(seed=3, flip="dihedral")
        data = data.batch(3) if batched else data
        images = data.map(lambda x: {"images": x, "segmentation_masks": x})
        return list(images.map(lambda x: augment(x, training=True)))

    known = augmented(tf.data.Dataset.from_tensor_slices(images))
    unknown = tf.data.Dataset.from_generator(
        lambda: iter(images), output_signature=tf.TensorSpec(shape, dtype)
    )
    for one, other in zip(known, augmented(unknown), strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], atol=5e-3)
