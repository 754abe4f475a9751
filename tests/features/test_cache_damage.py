"""Feature caches that are damaged, or that someone has made up."""

import hashlib
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from harness import BATCH, ROWS, WIDTH, body, digest, make

from keras_fast import CorruptFileError, FeatureCache, FileVersionError

STORED = Path(__file__).parent / "feature_cache_1"
ERRORS = (CorruptFileError, FileVersionError)

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("small_cache")]


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
