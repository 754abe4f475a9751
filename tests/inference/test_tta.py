"""Averages over views: compared with `predict()` on each view."""

import keras
import numpy as np
import pytest
from helpers import BACKEND

from keras_fast import predict_tta
from keras_fast.data import AugTransforms
from keras_fast.inference import corners_and_flips, dihedral, flips

IMAGES = np.random.default_rng(0).uniform(0, 255, (11, 8, 8, 3))
IMAGES = IMAGES.astype("float32")


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


def classifier(*layers):
    layers = [
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, activation="relu"),
        *layers,
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3, activation="softmax"),
    ]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers])


def segmenter():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 3, padding="same")]
    )


def by_hand(model, views, x=IMAGES):
    return np.stack(
        [model.predict(numbers(view(x)), verbose=0) for view in views]
    )


REDUCED = {
    "mean": lambda outputs: outputs.mean(0),
    "gmean": lambda outputs: outputs.prod(0) ** (1 / len(outputs)),
    "max": lambda outputs: outputs.max(0),
}


@pytest.mark.parametrize("reduce", REDUCED)
def test_equals_predictions_of_each_view(reduce):
    model, views = classifier(), corners_and_flips()
    expected = REDUCED[reduce](by_hand(model, views))
    plain = model.predict(IMAGES, verbose=0)
    found = predict_tta(
        model, IMAGES, views, reduce=reduce, beta=None, batch_size=4
    )
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    np.testing.assert_allclose(found[1], plain, rtol=1e-5)
    mixed = predict_tta(model, IMAGES, views, reduce=reduce, beta=0.4)
    np.testing.assert_allclose(mixed, 0.6 * expected + 0.4 * plain, rtol=1e-5)


def datasets():
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(11)))
    return data.batch(4)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        rows = slice(4 * index, 4 * index + 4)
        return IMAGES[rows], np.arange(11)[rows]


def torch_loader():
    torch = pytest.importorskip("torch")
    images = torch.tensor(IMAGES)
    data = torch.utils.data.TensorDataset(images, torch.arange(11))
    return torch.utils.data.DataLoader(data, batch_size=4)


DATA = {
    "tensor": lambda: keras.ops.convert_to_tensor(IMAGES),
    "tf.data": datasets,
    "unknown length": lambda: datasets().filter(lambda x, y: True),
    "PyDataset": Batches,
    "generator": lambda: ((IMAGES[i : i + 4], np.arange(4)) for i in (0, 4, 8)),
    "DataLoader": torch_loader,
}


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.matrix(4)
def test_takes_what_predict_takes_in_its_order(kind):
    model = classifier()
    expected = predict_tta(model, IMAGES, flips())
    found = predict_tta(model, DATA[kind](), flips())
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(
    "views", [flips(vertical=True), dihedral()], ids=["flips", "dihedral"]
)
def test_masks_are_turned_back(views):
    model = segmenter()
    expected = np.mean(
        [
            numbers(view.inverse(output))
            for view, output in zip(views, by_hand(model, views), strict=True)
        ],
        axis=0,
    )
    found = predict_tta(model, IMAGES, views, beta=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("views", [flips(vertical=True), dihedral()])
def test_a_view_is_a_turn_of_numpy_and_back(views):
    x = IMAGES
    turns = [x, x[:, :, ::-1], x[:, ::-1], x[:, ::-1, ::-1]]
    turns += [turn.swapaxes(1, 2) for turn in turns]
    seen = [numbers(view(x)) for view in views]
    assert len({one.tobytes() for one in [x, *seen]}) == len(views) + 1
    for view, one in zip(views, seen, strict=True):
        assert any(np.array_equal(one, turn) for turn in turns)
        np.testing.assert_array_equal(numbers(view.inverse(one)), x)


def test_corners_are_crops():
    views = corners_and_flips(scale=2)
    x = np.arange(64, dtype="float32").reshape(1, 8, 8, 1)
    crops = [x[:, i : i + 4, j : j + 4] for j in (0, 4) for i in (0, 4)]
    seen = [numbers(view(x)) for view in views]
    for i, crop in enumerate(crops):
        pooled = seen[i].reshape(1, 4, 2, 4, 2, 1).mean((2, 4))
        np.testing.assert_allclose(pooled[:, 1:3, 1:3], crop[:, 1:3, 1:3])
        np.testing.assert_array_equal(seen[i + 4], seen[i][:, :, ::-1])


def several():
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((2,), name="b")
    flat = keras.layers.Flatten()(a)
    joined = keras.layers.Concatenate()([flat, b])
    return keras.Model(
        {"a": a, "b": b},
        {
            "mask": keras.layers.Conv2D(2, 3, padding="same")(a),
            "score": keras.layers.Dense(1)(joined),
        },
    )


def test_several_inputs_and_outputs():
    model, [view] = several(), flips()
    x = {"a": IMAGES, "b": IMAGES[:, 0, 0, :2]}
    augmented, plain = predict_tta(model, x, [view], beta=None)
    seen = model.predict({**x, "a": IMAGES[:, :, ::-1]}, verbose=0)
    np.testing.assert_allclose(
        augmented["mask"], seen["mask"][:, :, ::-1], rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(augmented["score"], seen["score"], rtol=1e-4)
    assert plain.keys() == {"mask", "score"}


def test_random_views_are_drawn_anew_and_repeatable():
    model, augment = classifier(), AugTransforms(seed=1)
    before = [numbers(v).copy() for v in augment.variables]
    first, again, other = (
        predict_tta(model, IMAGES, augment, seed=seed, beta=0)
        for seed in (3, 3, 4)
    )
    for variable, value in zip(augment.variables, before, strict=True):
        np.testing.assert_array_equal(numbers(variable), value)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4
    drawn = [predict_tta(model, IMAGES, augment, beta=0) for _ in range(2)]
    assert np.abs(drawn[0] - drawn[1]).max() > 1e-4
    one = predict_tta(model, IMAGES, augment, num_augmented=1, seed=3)
    assert np.abs(one - first).max() > 1e-4


def test_each_view_and_batch_draws_its_own():
    noise = keras.layers.GaussianNoise(1.0)
    same = keras.Sequential([keras.Input((2,)), keras.layers.Identity()])
    x = np.zeros((6, 2), "float32")
    outputs = predict_tta(same, x, noise, num_augmented=2, beta=0, batch_size=2)
    assert len(np.unique(outputs)) == 12


def test_leaves_the_model_as_it_was(tmp_path):
    augment = keras.layers.RandomBrightness(0.2, (0, 255), seed=1)
    model = classifier(augment)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["acc"])
    model.fit(IMAGES, np.arange(11) % 3, verbose=0)
    keras.random.uniform(())  # makes the overall seed
    before = [numbers(v).copy() for v in model.variables]
    drawn = np.random.get_state()[1].copy()
    config, layers = model.get_config(), list(model.layers)
    predict_tta(model, IMAGES, [augment, *flips()])
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(numbers(variable), value)
    np.testing.assert_array_equal(np.random.get_state()[1], drawn)
    assert (model.get_config(), model.layers) == (config, layers)
    model.save(tmp_path / "model.keras")
    keras.saving.load_model(tmp_path / "model.keras")


def test_a_second_call_traces_nothing():
    model, traced = classifier(), []

    def view(x):
        traced.append(x)
        return x + 1

    predict_tta(model, IMAGES, [view], batch_size=11)
    times = len(traced)
    predict_tta(model, IMAGES + 1, [view], batch_size=11, beta=0.5)
    assert BACKEND == "torch" or len(traced) == times
    model.layers[-1].bias.assign([5.0, 0.0, 0.0])
    again = predict_tta(model, IMAGES, [view], beta=1)
    np.testing.assert_allclose(
        again, model.predict(IMAGES, verbose=0), rtol=1e-5
    )


def test_a_nan_stays_in_its_row():
    x = IMAGES.copy()
    x[3, 0, 0, 0] = np.nan
    model = classifier()
    # oneDNN's relu turns NaN into a number on some processors.
    right = model.predict(x, verbose=0), model.predict(x[:, :, ::-1], verbose=0)
    assert np.isfinite(np.delete(right, 3, axis=1)).all()
    found = predict_tta(model, x, flips())
    np.testing.assert_allclose(
        found, 0.25 * right[0] + 0.75 * right[1], rtol=1e-5
    )


@pytest.mark.tensorflow_only
def test_two_replicas_say_what_one_says():
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = classifier()
    one = classifier()
    one.set_weights(model.get_weights())
    np.testing.assert_allclose(
        predict_tta(model, IMAGES, flips(), batch_size=4),
        predict_tta(one, IMAGES, flips(), batch_size=4),
        rtol=1e-5,
    )
