"""Feature caches that are damaged, or that someone has made up."""

import hashlib
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from harness import BATCH, WIDTH, body, digest, make

from keras_fast import CorruptFileError, FeatureCache

STORED = Path(__file__).parent / "feature_cache_2"
NAME = "features-00-000000"

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("small_cache")]


@pytest.fixture
def folder(tmp_path):
    return make(tmp_path / "cache").directory


def files(folder):
    return sorted(path for path in folder.iterdir() if path.name != "lock")


def computed_anew(folder, right, name):
    """The number of batches, after the damage was found and named."""
    with pytest.raises(CorruptFileError, match=name):
        FeatureCache(folder)
    computed = []
    with pytest.warns(UserWarning, match=f"are rebuilt.*{name}"):
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
        computed = computed_anew(folder, right, path.name)
        # A shard of four rows is in two batches of six at most.
        assert computed <= (0 if path.name == "complete" else 2)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def extend(path):
    path.write_bytes(path.read_bytes() + b"\0")


def next_to(path):
    return path.with_name("features-00-000001")


def swap(path):
    aside = path.with_suffix(".aside")
    os.replace(path, aside)
    os.replace(next_to(path), path)
    os.replace(aside, next_to(path))


def copy(path):
    shutil.copy(next_to(path), path)


def link(path):
    aside = path.with_suffix(".aside")
    os.replace(path, aside)
    path.symlink_to(aside)


def pipe(path):
    path.unlink()
    os.mkfifo(path)


def empty(path):
    path.write_bytes(b"")


def version(path):
    path.write_bytes(path.read_bytes().replace(b"arrays 1", b"arrays 3"))


WAYS = [cut, extend, empty, version, link, pipe]


@pytest.mark.parametrize("way", [*WAYS, os.unlink, swap, copy])
def test_a_shard_that_is_another(folder, way):
    right, before = digest(folder), set(files(folder))
    way(folder / NAME)
    aside = set(files(folder)) - before
    with pytest.raises(CorruptFileError, match=NAME):
        FeatureCache(folder)
    with pytest.warns(UserWarning, match="features-00-00000[01]"):
        make(folder)
    for path in aside:
        path.unlink()
    assert digest(folder) == right


@pytest.mark.parametrize("way", WAYS)
def test_the_last_file_is_another(folder, way):
    right = digest(folder)
    way(folder / "complete")
    for path in folder.glob("*.aside"):
        path.rename(folder.parent / "aside")
    assert computed_anew(folder, right, "complete") == 0


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


def test_nothing_is_written_to_a_cache_that_is_whole(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
        FeatureCache(folder).arrays()
        assert before == {p: p.stat().st_mtime_ns for p in folder.iterdir()}
