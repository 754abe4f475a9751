"""Feature caches that are damaged, or that someone has made up."""

import contextlib
import hashlib
import json
import os
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from harness import BATCH, ROWS, WIDTH, body, digest, inputs, make, small_shards

from keras_fast import CorruptFileError, FeatureCache, FileVersionError
from keras_fast._io import crc32, to_json
from keras_fast.data import _manifest

STORED = Path(__file__).parent / "feature_cache_1"
ERRORS = (CorruptFileError, FileVersionError)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    small_shards(monkeypatch)
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "cache").directory


def files(folder):
    return sorted(path for path in folder.iterdir() if path.name != "lock")


def refused_then_healed(folder, right, name=""):
    """Whether the damage is found, named, and what is damaged made anew."""
    with pytest.raises(ERRORS) as error:
        FeatureCache(folder)
    assert name in str(error.value)
    computed = []
    with pytest.warns(UserWarning, match="what is damaged is made anew"):
        make(folder, extract=lambda x: computed.append(1) or body(x))
    assert digest(folder) == right
    return len(computed)


def flip(path, rng):
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "trials", [60, pytest.param(3000, marks=pytest.mark.stress)]
)
def test_every_flipped_bit_is_found(folder, trials):
    rng, right = np.random.default_rng(0), digest(folder)
    for _ in range(trials):
        path = rng.choice(files(folder))
        flip(path, rng)
        computed = refused_then_healed(folder, right, path.name)
        # A shard of four rows is in two batches of six at most.
        assert computed <= (2 if path.suffix == ".npy" else -(-ROWS // BATCH))


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def extend(path):
    path.write_bytes(path.read_bytes() + b"\0")


def swap(path):
    other = path.with_name(path.name.replace("0.npy", "1.npy"))
    aside = path.with_suffix(".aside")
    os.replace(path, aside)
    os.replace(other, path)
    os.replace(aside, other)


def copy(path):
    shutil.copy(path.with_name(path.name.replace("0.npy", "1.npy")), path)


def link(path):
    aside = path.with_suffix(".aside")
    os.replace(path, aside)
    path.symlink_to(aside)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


WAYS = [cut, extend, os.unlink, lambda path: path.write_bytes(b""), link]
SHARD_WAYS = [*WAYS, swap, copy, pipe]
FILES = ["features-00-000000.npy", "labels-00-000000.npy"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("way", SHARD_WAYS)
def test_a_shard_that_is_another(folder, name, way):
    right, before = digest(folder), set(files(folder))
    way(folder / name)
    aside = set(files(folder)) - before
    with pytest.raises(CorruptFileError, match=name):
        FeatureCache(folder)
    with pytest.warns(UserWarning, match=name):
        make(folder)
    for path in aside:
        path.unlink()
    assert digest(folder) == right


@pytest.mark.parametrize("way", [cut, extend, lambda p: p.write_bytes(b"")])
def test_a_manifest_that_is_another(folder, way):
    right = digest(folder)
    way(folder / "manifest.json")
    refused_then_healed(folder, right, "manifest.json")


def test_a_linked_manifest_is_not_followed(folder):
    link(folder / "manifest.json")
    with pytest.raises(CorruptFileError, match="it is not a file"):
        FeatureCache(folder)


def test_no_manifest(folder):
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError):
        FeatureCache(folder)


def test_a_build_that_is_not_finished(tmp_path):
    def extract(x):
        if x[0, 0] >= 4 * BATCH * WIDTH:
            raise KeyboardInterrupt
        return body(x)

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, extract=extract)
    with pytest.raises(CorruptFileError, match="it is not finished"):
        FeatureCache(tmp_path)


def test_other_files_are_left_alone(folder):
    (folder / "notes.txt").write_text("mine")
    FeatureCache(folder)
    make(folder)
    assert (folder / "notes.txt").read_text() == "mine"


def forge(folder, change):
    """A manifest with this change, and with the checksum it should have."""
    path = folder / "manifest.json"
    fields = json.loads(path.read_text())
    change(fields)
    fields["checksum"] = _manifest._checksum(fields)
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
    with pytest.raises(ERRORS) as error:
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
    with pytest.raises(CorruptFileError):
        FeatureCache(folder)


def test_a_pickle_in_a_shard_is_not_loaded(folder, tmp_path):
    path, canary = folder / FILES[0], tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(canary),)

    np.save(path, np.array([Evil()], object), allow_pickle=True)
    with pytest.raises(CorruptFileError, match=path.name):
        FeatureCache(folder)
    # Nor with the checksum and the size of the right one.
    content = path.read_bytes()
    size = len((folder / FILES[0].replace("0.npy", "1.npy")).read_bytes())
    path.write_bytes(content[:size].ljust(size))
    checksum = crc32(path)
    forge(folder, lambda f: f["shards"][0].__setitem__(3, checksum))
    with pytest.raises(CorruptFileError, match="its header is another"):
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


def test_the_stored_cache_opens():
    cache = FeatureCache(STORED)
    features, found = cache.arrays()
    assert (len(cache), cache.num_views) == (10, 2)
    assert cache.feature_dtype == "bfloat16"
    content = features.tobytes() + found.tobytes()
    assert hashlib.sha256(content).hexdigest() == (
        "9107a44673538a56513aa39405d1b5b8ba93117413c42edde9baba0f5341f2e5"
    )


def test_shards_are_files_that_numpy_reads(folder):
    for path in files(folder)[:-1]:
        assert len(np.load(path, allow_pickle=False)) == 4


def test_nothing_is_written_to_a_cache_that_is_whole(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
        FeatureCache(folder).arrays()
        assert before == {p: p.stat().st_mtime_ns for p in folder.iterdir()}
