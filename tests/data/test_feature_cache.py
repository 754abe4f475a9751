"""Reading a feature cache: which rows, in which order, by whom."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from harness import ROWS, make

from keras_fast.data import feature_cache
from keras_fast.data._feature_batches import WINDOW, epoch_order

pytestmark = pytest.mark.usefixtures("small_cache")


def test_every_row_once_an_epoch_in_an_order_of_its_own(tmp_path):
    cache = make(tmp_path)
    data, orders = cache.dataset(4, seed=7), []
    places = {row.tobytes(): i for i, row in enumerate(cache.arrays()[0])}
    for _ in range(3):
        data.on_epoch_begin()
        batches = [data[i] for i in range(data.num_batches)]
        features = np.concatenate([x for x, _ in batches])
        order = [places[row.tobytes()] for row in features]
        assert sorted(order) == list(range(ROWS))
        found = np.concatenate([y for _, y in batches])
        np.testing.assert_array_equal(found, cache.arrays()[1][order])
        orders.append(order)
    assert orders[0] != orders[1] != orders[2] != list(range(ROWS))
    # A function of seed, epoch and step: no earlier batch is needed.
    resumed = cache.dataset(4, seed=7)
    resumed.epoch = 2
    resumed.on_epoch_begin()
    right = cache.arrays()[0][orders[2][8:12]]
    np.testing.assert_array_equal(resumed[2][0], right)


def test_rows_are_mixed_within_a_few_shards():
    order = epoch_order(1000, 10, seed=0, epoch=0)
    assert sorted(order) == list(range(1000))
    for i in range(0, 1000, WINDOW * 10):
        shards = order[i : i + WINDOW * 10] // 10
        assert len(set(shards)) == WINDOW
        assert shards.tolist() != sorted(shards.tolist())


def test_the_data_may_be_read_by_threads_and_processes(tmp_path):
    cache = make(tmp_path)
    data = cache.dataset(3, seed=1)
    right = [data[i] for i in range(data.num_batches)]
    copy = pickle.loads(pickle.dumps(data))
    with ThreadPoolExecutor(4) as pool:
        for read in (data, copy):
            found = list(pool.map(read.__getitem__, range(data.num_batches)))
            for (x, y), (a, b) in zip(found, right, strict=True):
                np.testing.assert_array_equal(x, a)
                np.testing.assert_array_equal(y, b)


def test_more_shards_than_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(feature_cache, "MOST_OPEN", 2)
    cache = make(tmp_path)
    assert len(cache.arrays()[0]) == ROWS
    assert len(cache._open) <= 2
