"""Feature caches that someone has made up: nothing in them is believed."""

import contextlib
import os
import pickle
import sys
from random import Random

import numpy as np
import pytest
from faults import mutated, sealed
from harness import PER_SHARD, ROWS, make

from keras_fast import CorruptFileError, FeatureCache, FileVersionError
from keras_fast._files.array_file import read_array_file, write_array_file

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


def forge(path, change):
    """A file with this change, and with the checksum it should have."""
    arrays, note = read_array_file(path)
    arrays = change(arrays, note) or arrays
    write_array_file(path, arrays, note)


def note(**changes):
    return lambda _, note: note.update(changes)


COMPLETE = {
    "version": note(version=3),
    "no version": note(version=None),
    "no key": lambda _, note: note.__delitem__("key"),
    "another key": note(key=1),
    "no rows": note(num_rows=0),
    "rows": note(num_rows=ROWS + 1),
    "fewer rows": note(num_rows=ROWS - PER_SHARD + 1),
    "rows bomb": note(num_rows=1 << 47),
    "digits": note(num_rows=10**4000),
    "rows of a float": note(num_rows=float(ROWS)),
    "views bomb": note(num_views=1 << 47),
    "no views": note(num_views=0),
    "true views": note(num_views=True),
    "views of a list": note(num_views=[1]),
}
SHARD = {
    "key": note(key="another"),
    "place": note(place=[1, 0]),
    "place of strings": note(place=["../x", 0]),
    "no note": lambda _, note: note.clear(),
    "no array": lambda arrays, _: arrays.clear(),
    "no labels": lambda arrays, _: {"features": arrays["features"]},
    "another array": lambda arrays, _: arrays | {"more": arrays["labels"]},
    "fewer rows": lambda arrays, _: {n: a[:3] for n, a in arrays.items()},
    "fewer labels": lambda arrays, _: arrays | {"labels": np.arange(3)},
    "no rows": lambda arrays, _: {n: a[:0] for n, a in arrays.items()},
    "a number": lambda arrays, _: {n: a[0, ...] for n, a in arrays.items()},
    "numbers": lambda arrays, _: {n: a.sum() for n, a in arrays.items()},
    "other rows": lambda arrays, _: arrays | {"features": arrays["features"].T},
    "other dtype": lambda arrays, _: arrays | {"labels": np.ones(4, "uint8")},
}
FORGED = {
    **{f"complete {each}": ("complete", COMPLETE[each]) for each in COMPLETE},
    **{f"shard {each}": ("features-00-000001", SHARD[each]) for each in SHARD},
    **{f"first {each}": ("features-00-000000", SHARD[each]) for each in SHARD},
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_file_is_refused(folder, name):
    file, change = FORGED[name]
    forge(folder / file, change)
    with nothing_but(folder), pytest.raises(ERRORS) as error:
        FeatureCache(folder)
    assert ("version" in name) == (error.type is FileVersionError)


@pytest.mark.parametrize("name", ["complete", "features-00-000000"])
def test_a_pickle_is_not_loaded(folder, tmp_path, name):
    canary = tmp_path / "canary"

    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(canary),)

    content = pickle.dumps(np.array([Evil()], object))
    (folder / name).write_bytes(sealed(content))
    with nothing_but(folder), pytest.raises(CorruptFileError, match=name):
        FeatureCache(folder)
    assert not canary.exists()


@pytest.mark.parametrize(
    "trials", [100, pytest.param(50_000, marks=pytest.mark.stress)]
)
def test_fuzzed_files(folder, trials):
    rng, random = np.random.default_rng(3), Random(3)
    for _ in range(trials):
        path = folder / rng.choice(["complete", "features-00-000000"])
        content = path.read_bytes()
        path.write_bytes(mutated(content, random))
        with contextlib.suppress(*ERRORS):
            assert len(FeatureCache(folder).arrays()[0]) == ROWS
        path.write_bytes(content)
