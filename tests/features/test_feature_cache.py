"""Reading a feature cache: which rows, in which order, by whom."""

import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from harness import ROWS, make

from keras_fast.features import feature_batches, feature_cache
from keras_fast.features.feature_batches import WINDOW, epoch_order

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


def test_batches_do_not_depend_on_what_was_read_before(tmp_path, monkeypatch):
    cache = make(tmp_path)
    data, rng = cache.dataset(3, seed=7), np.random.default_rng(0)
    # As many batches as fit are read together: none, two, all.
    for most, epoch in itertools.product((0, 6, 99), range(2)):
        size = cache.arrays()[0][0].nbytes
        monkeypatch.setattr(feature_batches, "BLOCK_BYTES", most * size)
        data.epoch = epoch
        data.on_epoch_begin()
        order = epoch_order(ROWS, cache.rows_per_shard, 7, epoch)
        last = data.num_batches - 1
        mixed = [0, 1, 1, last, 2, *rng.integers(0, last, 9), last, last]
        for i in (*mixed, *range(last + 1)):
            x, y = data[i]
            rows = order[3 * i : 3 * i + 3]
            np.testing.assert_array_equal(x, cache.arrays()[0][rows])
            np.testing.assert_array_equal(y, cache.arrays()[1][rows])
            x[...], y[...] = -1, -1  # they are the reader's
    data.batch_size, data.seed = 4, 8
    order = epoch_order(ROWS, cache.rows_per_shard, 8, 1)
    np.testing.assert_array_equal(data[1][0], cache.arrays()[0][order[4:8]])


def test_few_large_reads(tmp_path, monkeypatch):
    cache = make(tmp_path)
    data, reads = cache.dataset(3), []
    rows = cache.rows
    monkeypatch.setattr(cache, "rows", lambda *a: reads.append(a) or rows(*a))
    for _ in range(2):
        data.on_epoch_begin()
        for i in range(data.num_batches):
            data[i]
    assert len(reads) == 2


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
