"""`cache_features` with a real body, and fits on what it keeps."""

import os

import keras
import numpy as np
import pytest
from harness import small_shards
from helpers import distance, put, state, weights

from keras_fast import FeatureCache, cache_features, freeze, split_head

layers = keras.layers
ROWS = 22
RNG = np.random.default_rng(0)
X = RNG.uniform(0, 255, (ROWS, 6, 6, 3)).astype("float32")
Y = np.arange(ROWS) % 3


def model():
    built = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(5, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    rng = np.random.default_rng(2)
    for variable in built.trainable_variables:
        variable.assign(rng.normal(scale=0.5, size=variable.shape))
    return built


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    small_shards(monkeypatch, rows=4, width=5)


@pytest.fixture(scope="module")
def body():
    whole = model()
    freeze(whole)
    return split_head(whole)[0]


@pytest.fixture(scope="module")
def predicted(body):
    return body.predict(X, verbose=0)


class Loader:
    """As PyTorch's, read again each time."""

    def __iter__(self):
        return pairs()


class Sequence(keras.utils.PyDataset):
    def __init__(self, count=6, **arguments):
        super().__init__(**arguments)
        self.count = count

    @property
    def num_batches(self):
        return self.count

    def __getitem__(self, i):
        return X[4 * i : 4 * i + 4], Y[4 * i : 4 * i + 4]


def tf_data(**arguments):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    if arguments.get("filtered"):  # of unknown length
        data = data.filter(lambda x, y: True)
    if arguments.get("repeated"):
        data = data.repeat()
    return data


def pairs():
    for i in range(0, ROWS, 4):
        yield X[i : i + 4], Y[i : i + 4]


DATA = {
    "arrays": lambda: ((X, Y), {}),
    "anything to iterate over": lambda: ((Loader(),), {}),
    "generator": lambda: ((pairs(),), {"key": "mine"}),
    "PyDataset": lambda: ((Sequence(),), {}),
}
TF_DATA = {
    "tf.data": lambda: ((tf_data(),), {}),
    "tf.data of unknown length": lambda: ((tf_data(filtered=True),), {}),
}


@pytest.mark.parametrize(
    "name",
    [
        *DATA,
        *(pytest.param(n, marks=pytest.mark.tensorflow_only) for n in TF_DATA),
    ],
)
def test_features_are_what_predict_says(tmp_path, body, predicted, name):
    given, arguments = (DATA | TF_DATA)[name]()
    cache = cache_features(body, *given, directory=tmp_path, **arguments)
    features, labels = cache.arrays()
    assert distance(features, predicted) <= 1e-6
    np.testing.assert_array_equal(labels, Y)
    assert (cache.feature_shape, cache.feature_dtype) == ((5,), "float32")


def test_without_labels(tmp_path, body):
    cache = cache_features(body, X, directory=tmp_path)
    features, labels = cache.arrays()
    assert features.shape == (ROWS, 5) and labels is None
    assert len(cache.dataset(4)[0]) == 1


def test_labels_of_any_shape(tmp_path, body):
    y = np.eye(3, dtype="int8")[Y]
    cache = cache_features(body, X, y, directory=tmp_path)
    np.testing.assert_array_equal(cache.arrays()[1], y)
    assert cache.arrays()[1].dtype == "int8"


def test_half_precision_stays_what_it_is(tmp_path):
    for policy, dtype in [
        ("mixed_float16", "float16"),
        ("mixed_bfloat16", "bfloat16"),
    ]:
        keras.config.set_dtype_policy(policy)
        try:
            body, _ = split_head(model())
        finally:
            keras.config.set_dtype_policy("float32")
        cache = cache_features(body, X, Y, directory=tmp_path)
        assert cache.feature_dtype == dtype
        features = cache.arrays()[0].astype("float32")
        right = body.predict(X, batch_size=ROWS, verbose=0).astype("float32")
        assert distance(features, right) <= 0.02 * np.abs(right).max()


def test_a_fit_on_the_cache_is_one_on_the_model(tmp_path):
    whole = model()
    freeze(whole)
    part = model()
    body, head = split_head(part)
    cache = cache_features(body, X, Y, directory=tmp_path)
    data = cache.dataset(4, shuffle=False)
    for each, given in ((whole, (X, Y)), (head, (data,))):
        each.compile("adam", "sparse_categorical_crossentropy")
        size = {"batch_size": 4} if len(given) == 2 else {}
        each.fit(*given, epochs=3, shuffle=False, verbose=0, **size)
    assert distance(weights(whole), weights(part)) <= 1e-5
    assert distance(weights(part), weights(model())) > 1e-3


def test_a_seed_makes_a_fit_repeatable(tmp_path, body):
    cache = cache_features(body, X, Y, directory=tmp_path)
    _, head = split_head(model())
    head.compile("adam", "sparse_categorical_crossentropy")
    head.optimizer.build(head.trainable_variables)
    first = state(head)

    def fitted(seed, set_seed=0):
        put(head, first)
        keras.utils.set_random_seed(set_seed)
        data = cache.dataset(4, seed=seed)
        head.fit(data, epochs=2, shuffle=False, verbose=0)
        return weights(head)

    # Before its first fit Keras may begin an epoch, to build the metrics.
    another, right = fitted(seed=2), fitted(seed=1)
    np.testing.assert_array_equal(right, fitted(seed=1, set_seed=5))
    assert distance(right, another) > 0
    orders = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        orders.append(cache.dataset(ROWS)[0][0])
    np.testing.assert_array_equal(*orders)
    assert distance(orders[0], cache.dataset(ROWS)[0][0]) > 0


def test_a_hit_runs_no_body(tmp_path, body, monkeypatch):
    first = cache_features(body, X, Y, directory=tmp_path)
    monkeypatch.setattr(
        "keras_fast.features.cache.build",
        lambda *a: pytest.fail("it is there already"),
    )
    # Another object with other names, of the same content.
    again = cache_features(split_head(model())[0], X, Y, directory=tmp_path)
    assert again.directory == first.directory


def test_it_goes_on_after_an_interruption(tmp_path, body, monkeypatch):
    seen = []

    def stopping(count):
        for i, batch in enumerate(pairs()):
            seen.append(i)
            if i == count:
                raise KeyboardInterrupt
            yield batch

    arguments = {"directory": tmp_path, "key": "mine"}
    with pytest.raises(KeyboardInterrupt):
        cache_features(body, stopping(3), **arguments)
    calls = []
    predict = body.predict_on_batch
    monkeypatch.setattr(
        body, "predict_on_batch", lambda x: calls.append(len(x)) or predict(x)
    )
    cache_features(body, stopping(99), **arguments)
    assert calls == [4, 4, 2]  # twelve of 22 rows were there


def augmented():
    built = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.RandomBrightness(0.5, value_range=(0, 255), seed=3),
            *model().layers,
        ]
    )
    freeze(built)
    return built


def test_views_of_an_augmenting_body(tmp_path):
    body, _ = split_head(augmented())
    cache = cache_features(body, X, Y, directory=tmp_path, num_views=3)
    views = [cache.arrays(view)[0] for view in range(3)]
    assert distance(views[0], views[1]) > 1e-3
    assert distance(views[1], views[2]) > 1e-3
    again = cache_features(body, X, Y, directory=tmp_path, num_views=3)
    assert again.directory == cache.directory
    plain = cache_features(body, X, Y, directory=tmp_path)
    right = body.predict(X, verbose=0)
    assert distance(plain.arrays()[0], right) <= 1e-6


class Other(Sequence):
    """Other images each time."""

    passes = 0

    def on_epoch_begin(self):
        self.passes += 1

    def __getitem__(self, i):
        x, y = super().__getitem__(i)
        return x + self.passes, y


def test_views_of_data_that_differ_take_turns(tmp_path, body):
    cache = cache_features(
        body, Other(), directory=tmp_path, num_views=2, key="mine"
    )
    data = cache.dataset(ROWS, shuffle=False)
    for epoch in range(4):
        data.on_epoch_begin()
        view = epoch % 2
        np.testing.assert_array_equal(data[0][0], cache.arrays(view)[0])
        right = body.predict(X + view + 1, verbose=0)
        assert distance(cache.arrays(view)[0], right) <= 1e-6


@pytest.mark.parametrize("name", ["ä b", "x" * 255, "a/b/c"])
def test_folders_of_any_name(tmp_path, body, name):
    cache = cache_features(body, X, Y, directory=tmp_path / name)
    assert len(FeatureCache(cache.directory)) == ROWS
    assert os.listdir(tmp_path) == [name.split("/")[0]]


def test_a_linked_folder(tmp_path, body):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    cache_features(body, X, Y, directory=tmp_path / "link")
    assert len(os.listdir(tmp_path / "real")) == 1
