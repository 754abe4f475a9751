"""Feature caches that someone has made up: nothing in them is believed."""

import contextlib
import json
import os
import pickle
import sys

import numpy as np
import pytest
from harness import ROWS, body, inputs, make

from keras_fast import CorruptFileError, FeatureCache, FileVersionError
from keras_fast._files.io import crc32, to_json
from keras_fast.features import manifest

ERRORS = (CorruptFileError, FileVersionError)

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("small_cache")]

watched = []  # what the code under test does, while `watch` is at work
sys.addaudithook(lambda event, args: [w(event, args) for w in watched])


@contextlib.contextmanager
def nothing_but(folder):
    """Files are opened in this folder alone, and nothing is run."""
    done = []

    def watch(event, args):
        outside = event == "open" and not str(args[0]).startswith(str(folder))
        if outside or event.startswith(("exec", "socket", "subprocess", "os.")):
            done.append((event, args))

    watched.append(watch)
    try:
        yield
    finally:
        watched.remove(watch)
    assert done == []


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "cache").directory


def forge(folder, change):
    """A manifest with this change, and with the checksum it should have."""
    path = folder / "manifest.json"
    fields = json.loads(path.read_text())
    change(fields)
    fields["checksum"] = manifest._checksum(fields)
    path.write_bytes(to_json(fields))


def setting(**changes):
    return lambda fields: fields.update(changes)


def shard(values):
    return lambda fields: fields["shards"].__setitem__(0, values)


FORGED = {
    "version": setting(version=2),
    "no version": setting(version=None),
    "format": setting(format="another"),
    "unknown field": setting(more=1),
    "missing field": lambda fields: fields.pop("labels"),
    "path": setting(features=["../../etc/passwd", [8]]),
    "object dtype": setting(features=["object", [8]]),
    "record dtype": setting(features=["i4,O", [8]]),
    "dtype no string": setting(features=[{"a": 1}, [8]]),
    "shape bomb": setting(features=["float32", [1 << 47, 1 << 47]]),
    "negative size": setting(features=["float32", [-8]]),
    "float size": setting(features=["float32", [8.0]]),
    "true size": setting(features=["float32", [True]]),
    "many dimensions": setting(features=["float32", [1] * 1000]),
    "smaller rows": setting(features=["float32", [4]]),
    "features none": setting(features=None),
    "rows": setting(num_rows=ROWS + 1),
    "rows bomb": setting(num_rows=1 << 47),
    "digits": setting(num_rows=10**4000),
    "views bomb": setting(num_views=1 << 47),
    "no views": setting(num_views=0),
    "rows a shard": setting(rows_per_shard=5),
    "no rows a shard": setting(rows_per_shard=0),
    "shards none": setting(shards=None),
    "no shards": setting(shards=[]),
    "shards no lists": setting(shards=[1]),
    "shard of another view": shard([7, 0, 4, 1, 1]),
    "shard twice": lambda fields: fields["shards"].append(fields["shards"][0]),
    "shard of no row": shard([0, 0, 0, 1, 1]),
    "shard without checksum": shard([0, 0, 4, 1]),
    "shard of strings": shard(["../x", 0, 4, 1, 1]),
    "shard of another checksum": shard([0, 0, 4, 1, 1]),
    "key": setting(key=1),
    "mark": setting(complete="yes"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_manifest_is_refused(folder, name):
    forge(folder, FORGED[name])
    with nothing_but(folder), pytest.raises(ERRORS) as error:
        FeatureCache(folder)
    assert ("version" in name) == (error.type is FileVersionError)


BYTES = {
    "NaN": b'{"num_rows": NaN}',
    "duplicate keys": b'{"key": 1, "key": 2}',
    "depth": b'{"a":' * 100_000,
    "list depth": b"[" * 100_000,
    "digits": b'{"num_rows": ' + b"9" * 100_000 + b"}",
    "pickle": pickle.dumps({"a": 1}),
    "surrogate": b'{"a": "\\ud800"}',
    "large": b'{"a": "' + b"a" * (17 << 20) + b'"}',
}


@pytest.mark.parametrize("name", BYTES)
def test_json_that_is_none(folder, name):
    (folder / "manifest.json").write_bytes(BYTES[name])
    with nothing_but(folder), pytest.raises(CorruptFileError):
        FeatureCache(folder)


def test_a_pickle_in_a_shard_is_not_loaded(folder, tmp_path):
    path, canary = folder / "features-00-000000.npy", tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(canary),)

    np.save(path, np.array([Evil()], object), allow_pickle=True)
    match = path.name
    with nothing_but(folder), pytest.raises(CorruptFileError, match=match):
        FeatureCache(folder)
    # Nor with the checksum and the size of the right one.
    content = path.read_bytes()
    size = (folder / "features-00-000001.npy").stat().st_size
    path.write_bytes(content[:size].ljust(size))
    checksum = crc32(path)
    forge(folder, lambda f: f["shards"][0].__setitem__(3, checksum))
    match = "its header is another"
    with nothing_but(folder), pytest.raises(CorruptFileError, match=match):
        FeatureCache(folder)
    assert not canary.exists()


@pytest.mark.parametrize(
    "trials", [300, pytest.param(50_000, marks=pytest.mark.stress)]
)
def test_fuzzed_manifests(folder, trials):
    rng = np.random.default_rng(3)
    path = folder / "manifest.json"
    original = path.read_bytes()
    for _ in range(trials):
        content = bytearray(original)
        for _ in range(rng.integers(1, 6)):
            i = rng.integers(len(content))
            match rng.integers(4):
                case 0:
                    content[i] = rng.integers(256)
                case 1:
                    del content[i : i + rng.integers(1, 20)]
                case 2:
                    content[i:i] = rng.bytes(rng.integers(1, 20))
                case 3:
                    j = rng.integers(len(content))
                    content[i:i] = content[j : j + 20]
        path.write_bytes(content)
        if rng.random() < 0.5:  # with the right checksum, if it is JSON
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                forge(folder, lambda fields: None)
        try:
            cache = FeatureCache(folder)
        except ERRORS:
            continue
        np.testing.assert_array_equal(cache.arrays()[0], body(inputs()))
