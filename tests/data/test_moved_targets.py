"""What moves with an image: against the image itself, pixel by pixel."""

import keras
import numpy as np
import pytest

from keras_fast.data import AugTransforms

HEIGHT, WIDTH = 24, 32
# Whole numbers: where the pixel of a point goes, its number goes.
PLACES = [(3, 4), (28, 20), (16, 2), (9, 21)]
NOTHING = {"max_rotate": 0, "max_zoom": 1, "max_warp": 0, "max_lighting": 0}


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def spots(points, height=HEIGHT, width=WIDTH):
    """A channel for each point: a soft spot around it."""
    y, x = np.mgrid[:height, :width]
    planes = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / 4) for px, py in points]
    return np.stack(planes, axis=-1).astype("float32") * 200


def centres(planes):
    """Where each spot is now: its centre of mass."""
    height, width, _ = planes.shape
    y, x = np.mgrid[:height, :width]
    mass = planes.sum(axis=(0, 1))
    return np.stack(
        [(planes * v[..., None]).sum(axis=(0, 1)) / mass for v in (x, y)], -1
    )


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_points_go_where_their_pixels_go(layout):
    inner = np.array([(12.0, 9.0), (19.5, 13.0), (15.0, 14.0)], "float32")
    images = np.stack([spots(inner)] * 8)
    augment = AugTransforms(
        30, 1.2, 0.2, 0, flip="horizontal", seed=3, p=1, data_format=layout
    )
    if layout == "channels_first":
        images = images.transpose(0, 3, 1, 2)
    data = {"images": images, "keypoints": np.stack([inner] * 8)}
    found = {k: numbers(v) for k, v in augment(data, training=True).items()}
    if layout == "channels_first":
        found["images"] = found["images"].transpose(0, 2, 3, 1)
    seen = np.stack([centres(image) for image in found["images"]])
    inside = found["keypoint_weights"] == 1
    # Spots near the border are cut off, and reflected.
    margin = np.array([8, 8])
    whole = np.all(
        (found["keypoints"] > margin)
        & (found["keypoints"] < [WIDTH - 9, HEIGHT - 9]),
        axis=-1,
    )
    assert whole.sum() > 8 and np.all(inside[whole])
    # Perspective shifts a spot's centre of mass a little.
    assert np.abs(seen - found["keypoints"])[whole].max() < 0.4
    assert np.ptp(found["keypoints"], axis=0).min() > 1


def test_mirror_images_are_exact():
    points = np.array(PLACES, "float32")
    augment = AugTransforms(**NOTHING, flip="dihedral", seed=1)
    square = np.zeros((48, 32, 32, 1), "float32")
    for image in square:
        for i, (x, y) in enumerate(PLACES, 1):
            image[y, x] = i
    data = {"images": square, "keypoints": np.stack([points] * 48)}
    found = {k: numbers(v) for k, v in augment(data, training=True).items()}
    for image, moved in zip(found["images"], found["keypoints"], strict=True):
        for i, (x, y) in enumerate(moved, 1):
            assert abs(image[round(y), round(x), 0] - i) < 1e-3
            assert abs(x - round(x)) < 1e-4 and abs(y - round(y)) < 1e-4
    assert len({tuple(points[0]) for points in found["keypoints"]}) == 8


def test_points_that_leave_weigh_nothing():
    points = np.array([[[0, 0], [15, 15], [31, 31], [np.nan, 3]]], "float32")
    data = {
        "images": np.zeros((1, 32, 32, 3), "float32"),
        "keypoints": points,
        "keypoint_weights": np.array([[1, 0.5, 1, 1]], "float32"),
    }
    still = AugTransforms()(data, training=False)
    np.testing.assert_array_equal(
        numbers(still["keypoint_weights"]), [[1, 0.5, 1, 0]]
    )
    assert np.all(np.isfinite(numbers(still["keypoints"])))
    # Zoomed to one place in the image, at least one corner is outside.
    zoom = AugTransforms(**{**NOTHING, "max_zoom": 1.9}, flip=None, p=1, seed=5)
    data = {name: np.repeat(x, 20, axis=0) for name, x in data.items()}
    moved = zoom(data, training=True)
    points, weights = (
        numbers(moved[x]) for x in ("keypoints", "keypoint_weights")
    )
    inside = np.all((points >= -0.5) & (points <= 31.5), axis=-1)
    np.testing.assert_array_equal(weights, inside * [1, 0.5, 1, 0])
    assert np.any(weights[:, [0, 2]] == 0)


def test_image_targets_are_interpolated_and_relit():
    images = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 3))
    augment = AugTransforms(flip="dihedral", seed=0, p=1)
    data = {"images": images, "targets": images}
    found = augment(data, training=True)
    np.testing.assert_array_equal(
        numbers(found["targets"]), numbers(found["images"])
    )
    assert np.any(numbers(found["targets"]) != images.astype("float32"))


def test_targets_may_be_larger():
    # Of a plane each pixel of which is its place, twice as fine.
    small, large = (
        np.tile(np.linspace(0.5 / n, 1 - 0.5 / n, n), (n, 1)) * 200
        for n in (16, 32)
    )
    data = {
        "images": np.stack([small] * 6)[..., None],
        "targets": np.stack([large] * 6)[..., None],
    }
    augment = AugTransforms(max_warp=0, max_lighting=0, seed=0, p=1)
    found = {k: numbers(v) for k, v in augment(data, training=True).items()}
    coarse = found["targets"].reshape(6, 16, 2, 16, 2, 1).mean(axis=(2, 4))
    centre = np.s_[:, 4:12, 4:12]
    np.testing.assert_allclose(
        coarse[centre], found["images"][centre], atol=1.5
    )


def test_one_image_without_a_batch():
    data = {
        "images": spots(PLACES),
        "keypoints": np.array(PLACES, "float32"),
        "targets": spots(PLACES),
        "segmentation_masks": spots(PLACES)[..., 0].astype("int32"),
        "labels": 3,
    }
    found = AugTransforms(seed=0)(data, training=True)
    for name in ("images", "keypoints", "targets", "segmentation_masks"):
        assert found[name].shape == np.shape(data[name])
    assert found["keypoint_weights"].shape == (len(PLACES),)
    assert found["labels"] == 3


@pytest.mark.once
def test_in_a_pipeline_with_images_of_any_size():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(
        {
            "images": np.stack([spots(PLACES)] * 4),
            "keypoints": np.stack([np.array(PLACES, "float32")] * 4),
        }
    ).batch(2)
    augment = AugTransforms(seed=0)
    known = list(data.map(lambda x: augment(x, training=True)))
    augment = AugTransforms(seed=0)
    signature = {
        "images": tf.TensorSpec((None, None, None, 4)),
        "keypoints": tf.TensorSpec((None, None, 2)),
    }
    unknown = tf.function(
        lambda x: augment(x, training=True), input_signature=[signature]
    )
    for batch, expected in zip(data, known, strict=True):
        for name, found in unknown(batch).items():
            np.testing.assert_allclose(found, expected[name], atol=1e-3)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"keypoints": np.zeros((2, 2))}, r"`keypoints` must be \(n, num_p"),
        ({"keypoints": np.zeros((2, 5, 3))}, r"of shape \(2, 5, 3\)"),
        ({"keypoints": np.zeros((3, 5, 2))}, "`keypoints` must have an entry"),
        ({"segmentation_masks": np.zeros((8, 8))}, "`segmentation_masks` must"),
        ({"masks": np.zeros((2, 8, 8))}, "Call it `segmentation_masks`"),
        ({"targets": np.zeros((1, 8, 8, 3))}, r"images of shape \(2, 8, 8"),
    ],
)
def test_entries_that_do_not_fit(entry, message):
    with pytest.raises(ValueError, match=message):
        AugTransforms()({"images": np.zeros((2, 8, 8, 3)), **entry})


def test_points_of_several_things_in_an_image():
    images = np.zeros((3, 9, 9, 3), "float32")
    points = np.random.default_rng(0).uniform(0, 8, (3, 2, 4, 2))
    found = [
        AugTransforms(30, seed=0, p=1)(
            {"images": images, "keypoints": each}, training=True
        )
        for each in (points, points.reshape(3, 8, 2))
    ]
    for name in ("keypoints", "keypoint_weights"):
        several, flat = (numbers(each[name]) for each in found)
        np.testing.assert_array_equal(several.reshape(flat.shape), flat)


def test_targets_from_0_to_1_are_told():
    images = np.full((2, 8, 8, 3), 200.0)
    data = {"images": images, "targets": images / 255}
    with pytest.warns(UserWarning, match="Pixels must be from 0 to 255"):
        AugTransforms(seed=0)(data, training=True)
