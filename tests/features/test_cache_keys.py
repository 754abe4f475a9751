"""What makes a feature cache another one, and what can't be told."""

import itertools
import os

import keras
import numpy as np
import pytest

from keras_fast import cache_features, freeze, split_head, unfreeze

layers = keras.layers
RNG = np.random.default_rng(0)
X = RNG.uniform(0, 255, (8, 6, 6, 3)).astype("float32")
Y = np.arange(8) % 3


def model(scale=1 / 255, units=4, dtype=None, activation="relu"):
    built = keras.Sequential(
        [
            keras.Input((None, None, 3)),
            layers.Rescaling(scale, dtype=dtype),
            layers.Conv2D(units, 3, dtype=dtype, activation=activation),
            layers.Conv2D(units, 3, name="second"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3),
        ]
    )
    for variable in built.trainable_variables:
        variable.assign(np.ones(variable.shape))
    freeze(built)
    return built


def folder(directory, built=None, x=X, y=Y, at=None, **arguments):
    body, _ = split_head(built or model(), at)
    cache = cache_features(body, x, y, directory=directory, **arguments)
    return cache.directory.name


def other_weights():
    built = model()
    kernel = built.layers[1].kernel
    value = np.ones(kernel.shape, "float32")
    value[0, 0, 0, 0] = np.nextafter(np.float32(1), np.float32(2))
    kernel.assign(value)
    return built


def other(array, index, value):
    changed = array.copy()
    changed[index] = value
    return changed


MISSES = {
    "weights": lambda: {"built": other_weights()},
    "preprocessing": lambda: {"built": model(1 / 127)},
    "units": lambda: {"built": model(units=5)},
    "activation": lambda: {"built": model(activation="tanh")},
    "dtype": lambda: {"built": model(dtype="mixed_float16")},
    "where it is cut": lambda: {"at": "second"},
    "one pixel": lambda: {"x": other(X, (7, 5, 5, 2), 1)},
    "one label": lambda: {"y": other(Y, 7, 2)},
    "dtype of labels": lambda: {"y": Y.astype("int32")},
    "no labels": lambda: {"y": None},
    "order": lambda: {"x": X[::-1]},
    "shape": lambda: {"x": X[:, :5]},
    "views": lambda: {"num_views": 2},
    "key": lambda: {"key": "mine"},
}


def test_any_change_makes_another_cache(tmp_path):
    seen = {folder(tmp_path)}
    # Other objects, and names that Keras counts on; a copy of the data.
    assert folder(tmp_path, x=X.copy(), y=Y.copy(), batch_size=3) in seen
    thawed = model()
    unfreeze(thawed)
    assert folder(tmp_path, thawed) in seen
    for name, change in MISSES.items():
        found = folder(tmp_path, **change())
        assert found not in seen, name
        seen.add(found)
    assert {*os.listdir(tmp_path)} == seen


def test_another_version_of_keras_makes_another_cache(tmp_path, monkeypatch):
    first = folder(tmp_path)
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    assert folder(tmp_path) != first


def test_a_layers_name_is_not_what_it_is(tmp_path):
    def named(activation):
        built = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(2, kernel_initializer="ones"),
                layers.Activation(activation, name=activation),
                layers.Dense(1, kernel_initializer="ones"),
            ]
        )
        return folder(tmp_path, built, np.ones((2, 4)), Y[:2])

    assert named("relu") != named("tanh")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's tables"
)
def test_what_a_layer_was_adapted_to_makes_another_cache(tmp_path):
    def looking_up(vocabulary):
        lookup = layers.IntegerLookup()
        lookup.adapt(vocabulary)
        return folder(
            tmp_path,
            keras.Sequential(
                [
                    keras.Input((2,), dtype="int64"),
                    lookup,
                    layers.Embedding(4, 2, embeddings_initializer="ones"),
                    layers.Flatten(),
                    layers.Dense(1),
                ]
            ),
            np.array([[5, 6]]),
            Y[:1],
        )

    first = looking_up([5, 5, 6])
    assert looking_up([5, 5, 6]) == first
    assert looking_up([6, 6, 5]) != first


def pairs(x=X):
    for i in range(0, 8, 3):
        yield x[i : i + 3], Y[: len(x)][i : i + 3]


class Loader:
    def __init__(self, *passes):
        self.passes = itertools.cycle(passes or [X])

    def __iter__(self):
        return pairs(next(self.passes))


def test_batches_are_known_by_content(tmp_path):
    first = folder(tmp_path, x=Loader(), y=None)
    assert folder(tmp_path, x=Loader(), y=None) == first
    changed = other(X, (7, 5, 5, 2), 1)
    assert folder(tmp_path, x=Loader(changed), y=None) != first


def test_batches_under_a_key_are_not_read_again(tmp_path):
    first = folder(tmp_path, x=Loader(), y=None, key="a")

    class Unread:
        def __iter__(self):
            pytest.fail("the key says what it is")

    assert folder(tmp_path, x=Unread(), y=None, key="a") == first


@pytest.mark.parametrize(
    "second",
    [X[::-1], X[:4]],
    ids=["shuffled", "shorter"],
)
def test_data_that_differ_are_found(tmp_path, second):
    with pytest.raises(ValueError, match="the same batches each time"):
        folder(tmp_path, x=Loader(X, second), y=None)
    # Nothing of it passes for whole.
    [name] = os.listdir(tmp_path)
    assert "complete" not in os.listdir(tmp_path / name)


class Mine(layers.Layer):
    def call(self, inputs):
        return inputs * 2


def with_layer(layer):
    built = keras.Sequential(
        [keras.Input((6, 6, 3)), layer, *model().layers[1:]]
    )
    freeze(built)
    return built


def twice(x):
    return x * 2


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Mine(),
        lambda: layers.Lambda(twice, output_shape=(6, 6, 3)),
        lambda: layers.Activation(twice),
    ],
    ids=["layer", "lambda", "function"],
)
def test_code_that_cannot_be_known_needs_a_key(tmp_path, layer):
    with pytest.raises(ValueError, match="`key` must be given: the code of"):
        folder(tmp_path, with_layer(layer()))
    assert os.listdir(tmp_path) == []
    first = folder(tmp_path, with_layer(layer()), key="a")
    assert folder(tmp_path, with_layer(layer()), key="b") != first


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, i):
        return X, Y


class Labels:
    def __init__(self, *parts):
        self.parts = parts

    def __iter__(self):
        yield self.parts


def views(**arguments):
    return {"y": None, "num_views": 2} | arguments


BAD = {
    "generator": ({"x": pairs(), "y": None}, "`key` must be given"),
    "views": (views(x=Loader()), "`key` must be given"),
    "views of a generator": (views(x=pairs(), key="a"), "passed over several"),
    "endless": ({"x": Endless(), "y": None}, "must have an end"),
    "labels apart": ({"x": Loader()}, "`y` must be None unless"),
    "no data": ({"x": None, "y": None}, "data as `fit\\(\\)` takes them"),
    "empty": ({"x": X[:0], "y": Y[:0]}, "at least one row"),
    "no inputs": ({"x": Labels(), "y": None}, "`\\(x, y\\)`"),
    "lengths": ({"y": Y[:5]}, "the same number of rows"),
    "no rows": ({"y": np.float32(1)}, "the same number of rows"),
    "weights": ({"x": Labels(X, Y, Y), "y": None}, "weights of samples"),
    "two labels": ({"x": Labels(X, (Y, Y)), "y": None}, "one array of labels"),
    "dict": ({"y": {"a": Y}}, "one array of labels"),
    "strings": ({"y": np.array(["a"] * 8)}, "must give numbers"),
    "objects": ({"y": np.array([None] * 8)}, "must be numbers"),
    "batch size": ({"batch_size": 0}, "`batch_size` must be"),
    "views 0": ({"num_views": 0}, "`num_views` must be"),
    "key": ({"key": 3}, "`key` must be a string"),
    "not frozen": ({"num_views": 2}, "must be frozen"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_cached(tmp_path, name):
    arguments, words = BAD[name]
    built = model()
    if name == "not frozen":
        built.layers[1].trainable = True
    with pytest.raises((ValueError, TypeError), match=words):
        folder(tmp_path, built, **arguments)
    for path in tmp_path.iterdir():
        assert os.listdir(path) == ["lock"]


def test_a_body_of_two_outputs(tmp_path):
    inputs = keras.Input((4,))
    body = keras.Model(inputs, [layers.Dense(1)(inputs), inputs])
    with pytest.raises(ValueError, match="must have one output"):
        cache_features(body, np.ones((2, 4)), directory=tmp_path)


class Subclassed(keras.Model):
    """A body that has no graph to be read."""

    def __init__(self, body):
        super().__init__()
        self.body = body

    def call(self, x):
        return self.body(x)


# A model in which a layer draws has no output of its own.
@pytest.mark.parametrize("kind", ["subclassed", "with a layer that draws"])
def test_bodies_that_cannot_be_asked_for_their_output(tmp_path, kind):
    body, _ = split_head(model())
    right = body.predict(X, verbose=0)
    if kind == "subclassed":
        body = Subclassed(body)
    else:
        draws = layers.RandomBrightness(0.0, value_range=(0, 255))
        body = keras.Sequential([keras.Input((6, 6, 3)), draws, body])
    cache = cache_features(body, X, directory=tmp_path, key="mine", num_views=2)
    np.testing.assert_allclose(cache.arrays(view=1)[0], right, rtol=1e-5)


@pytest.mark.parametrize("x", [X[:1], X.astype("float64"), X.astype("uint8")])
def test_odd_data_are_cached(tmp_path, x):
    body, _ = split_head(model())
    cache = cache_features(body, x, directory=tmp_path)
    right = body.predict(x, verbose=0)
    assert np.abs(cache.arrays()[0] - right).max() <= 1e-5 * right.max()


def test_nan_stays_nan(tmp_path):
    body, _ = split_head(model())
    x = other(X, 3, np.nan)
    features = cache_features(body, x, directory=tmp_path).arrays()[0]
    # oneDNN's relu turns NaN into a number on some processors.
    right = np.isnan(body.predict(x, verbose=0))
    assert not right[[0, 1, 2, 4, 5, 6, 7]].any()
    np.testing.assert_array_equal(np.isnan(features), right)


@pytest.mark.tensorflow_only
def test_a_repeated_tf_dataset_is_refused(tmp_path):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4).repeat()
    with pytest.raises(ValueError, match="must have an end"):
        folder(tmp_path, x=data, y=None)


def test_what_the_cache_refuses(tmp_path):
    body, _ = split_head(model())
    cache = cache_features(body, X, Y, directory=tmp_path)
    for indices in ([-1], [8], [[0]], 3):
        with pytest.raises(IndexError, match="numbers from 0 to 7"):
            cache.rows(indices)
    with pytest.raises(IndexError, match="below the number of views, 1"):
        cache.arrays(1)
    for arguments in ({"batch_size": 0}, {"batch_size": 2, "seed": -1}):
        with pytest.raises(ValueError, match="Received: "):
            cache.dataset(**arguments)
    assert repr(cache).startswith("FeatureCache(8 rows of (4,) float32")
