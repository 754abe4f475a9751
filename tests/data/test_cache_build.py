"""Building a feature cache where something fails, at every point."""

import errno
import os
import signal
import time
import warnings

import numpy as np
import pytest
from harness import (
    BATCH,
    PER_SHARD,
    ROWS,
    WIDTH,
    body,
    die_after,
    digest,
    exit_status,
    fork,
    inputs,
    labels,
    make,
    needs_fork,
    small_shards,
    wait,
)

from keras_fast import _io
from keras_fast.data._manifest import read_manifest

PRIMITIVES = ("open", "write", "fsync", "replace", "posix_fallocate")


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    small_shards(monkeypatch)
    # It is for a loss of power; a killed process loses nothing without it.
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def clean(tmp_path):
    """What an undisturbed build leaves."""
    make(tmp_path / "clean")
    return digest(tmp_path / "clean")


def fail_at(patch, call, fail):
    """Let the k-th call of the system fail; returns how many there were."""
    calls = []

    def watched(original):
        def primitive(*args, **kwargs):
            if str(args[0]).endswith("lock"):  # is no file of the cache's
                return original(*args, **kwargs)
            calls.append(original)
            if len(calls) == call:
                fail()
            return original(*args, **kwargs)

        return primitive

    for name in PRIMITIVES:
        if hasattr(os, name):
            patch.setattr(_io.os, name, watched(getattr(os, name)))
    return calls


def count_calls(folder):
    with pytest.MonkeyPatch.context() as patch:
        calls = fail_at(patch, 0, None)
        make(folder)
    return len(calls)


class Counter:
    def __init__(self):
        self.starts = []

    def __call__(self, x):
        self.starts.append(int(x[0, 0]) // WIDTH)
        return body(x)


def whole_rows(folder):
    """Rows in the shards that the manifest knows."""
    try:
        shards = read_manifest(folder).shards
    except FileNotFoundError:
        return set()
    return {
        number * PER_SHARD + i
        for (_, number), (count, *_) in shards.items()
        for i in range(count)
    }


def test_what_is_built_is_read(tmp_path):
    cache = make(tmp_path / "new" / "cache")
    features, found = cache.arrays()
    np.testing.assert_array_equal(features, body(inputs()))
    np.testing.assert_array_equal(found, labels(inputs()))
    assert len(cache) == ROWS and len(whole_rows(cache.directory)) == ROWS


def test_a_second_build_computes_nothing(tmp_path):
    make(tmp_path)
    make(tmp_path, extract=lambda x: pytest.fail("it is there"))


def test_the_batch_size_changes_nothing(tmp_path, clean):
    for size in (1, 3, ROWS, 1000):
        make(tmp_path / str(size), size=size)
        assert digest(tmp_path / str(size)) == clean


def build_killed(folder, call):
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, call, lambda: os._exit(9))
        make(folder)


def resume(folder):
    """Go on; returns what was computed though it was there."""
    whole, counter = whole_rows(folder), Counter()
    make(folder, extract=counter)
    # A batch is computed only if it has a row that was not there.
    needless = [
        start
        for start in counter.starts
        if whole.issuperset(range(start, min(start + BATCH, ROWS)))
    ]
    covered = whole.union(
        *(range(start, start + BATCH) for start in counter.starts)
    )
    assert covered.issuperset(range(ROWS))
    return needless


def kill_at(folder, calls, clean):
    seen = set()
    for call in calls:
        assert exit_status(build_killed, folder / str(call), call) == 9
        seen.add(len(whole_rows(folder / str(call))))
        assert resume(folder / str(call)) == []
        assert digest(folder / str(call)) == clean
    return seen


@needs_fork
def test_a_kill_at_some_calls(tmp_path, clean):
    number = count_calls(tmp_path / "counted")
    seen = kill_at(tmp_path, range(1, number + 1, 24), clean)
    assert min(seen) == 0 and max(seen) > ROWS // 2


@needs_fork
@pytest.mark.crash
@pytest.mark.stress
def test_a_kill_at_every_call(tmp_path, clean):
    number = count_calls(tmp_path / "counted")
    seen = kill_at(tmp_path, range(1, number + 1), clean)
    assert seen == set(range(0, ROWS + 1, PER_SHARD))


def fail_with(folder, number, calls):
    """An error at each of these calls, then once more without."""

    def fail():
        raise OSError(number, os.strerror(number))

    for call in calls:
        path = folder / f"{number}-{call}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_io.time, "sleep", lambda seconds: None)
            fail_at(patch, call, fail)
            try:
                make(path)
            except OSError as error:
                assert error.errno == number
                assert " bytes: " in str(error)
        assert not [p for p in os.listdir(path) if p.endswith(".tmp")]
        make(path)
        yield digest(path)


ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE]


@pytest.mark.parametrize("number", ERRORS)
def test_an_error_at_some_calls(tmp_path, clean, number):
    calls = range(1, count_calls(tmp_path / "counted") + 1, 20)
    assert {*fail_with(tmp_path, number, calls)} == {clean}


@pytest.mark.crash
@pytest.mark.stress
@pytest.mark.parametrize("number", ERRORS)
def test_an_error_at_every_call(tmp_path, clean, number):
    calls = range(1, count_calls(tmp_path / "counted") + 1)
    assert {*fail_with(tmp_path, number, calls)} == {clean}


def build_until(folder, x, seconds):
    die_after(seconds)
    make(folder, x=x, size=64)


def kills(folder, rng, x, trials):
    """Kill builds at random times; returns how many were killed."""
    start = time.perf_counter()
    make(folder / "clean", x=x, size=64)
    seconds, killed = time.perf_counter() - start, 0
    right = digest(folder / "clean")
    for trial in range(trials):
        path = folder / str(trial)
        status = 1
        while status:
            delay = rng.uniform(0.01, 0.7) * seconds
            status = exit_status(build_until, path, x, delay)
            assert status in (0, -signal.SIGALRM)
            killed += status != 0
            if killed and rng.random() < 0.5:
                break
        make(path, x=x, size=64)
        assert digest(path) == right
    return killed


@needs_fork
def test_kills_at_random_times(tmp_path):
    rng = np.random.default_rng(0)
    assert kills(tmp_path, rng, inputs(), 10) >= 5


@needs_fork
@pytest.mark.crash
@pytest.mark.stress
def test_kills_at_random_times_of_large_shards(tmp_path, monkeypatch):
    rng, width = np.random.default_rng(1), 1024
    # 64 shards of 256 KB.
    small_shards(monkeypatch, rows=64, width=width)
    assert kills(tmp_path, rng, inputs(64 * 64, width), 200) >= 150


def build_counted(folder, gate, counts):
    os.read(gate, 1)  # until the parent closes it
    made = []
    make(folder, extract=lambda x: made.append(1) or body(x))
    (counts / str(os.getpid())).write_text(str(len(made)))


def race(folder, processes):
    """How many of these processes built."""
    counts = folder / "counts"
    counts.mkdir(parents=True)
    gate, opened = os.pipe()
    children = []
    for _ in range(processes):
        children.append(fork(build_counted, folder / "cache", gate, counts))
    # Each child has the writing end too, and must not hold it open.
    os.write(opened, b"." * processes)
    assert [wait(child) for child in children] == [0] * processes
    os.close(gate)
    os.close(opened)
    return sum(int(path.read_text()) > 0 for path in counts.iterdir())


@needs_fork
@pytest.mark.parametrize("processes", [2, 8])
def test_one_process_builds_and_the_others_wait(tmp_path, clean, processes):
    assert race(tmp_path / "race", processes) == 1
    assert digest(tmp_path / "race" / "cache") == clean


@needs_fork
@pytest.mark.crash
@pytest.mark.stress
@pytest.mark.parametrize("processes", [2, 8])
def test_ten_rounds_of_processes(tmp_path, clean, processes):
    for i in range(10):
        assert race(tmp_path / str(i), processes) == 1
        assert digest(tmp_path / str(i) / "cache") == clean


def build_and_hang(folder, ready):
    def extract(x):
        if x[0, 0] >= 3 * BATCH * WIDTH:
            os.write(ready, b".")
            signal.pause()
        return body(x)

    make(folder, extract=extract)


@needs_fork
def test_a_waiter_takes_over_from_a_killed_builder(tmp_path, clean, capsys):
    told, ready = os.pipe()
    builder = fork(build_and_hang, tmp_path / "cache", ready)
    os.read(told, 1)
    with pytest.MonkeyPatch.context() as patch:
        from keras_fast.data import _build

        say = _build._say_wait

        def kill(folder):
            say(folder)
            os.kill(builder, signal.SIGKILL)

        patch.setattr(_build, "_say_wait", kill)
        counter = Counter()
        make(tmp_path / "cache", extract=counter)
    assert wait(builder) == -signal.SIGKILL
    assert "Another process makes these features" in capsys.readouterr().err
    # The three batches before it hung are in whole shards, but for two rows.
    assert counter.starts[0] == 2 * BATCH
    assert digest(tmp_path / "cache") == clean


def build_with_no_room(folder):
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
    try:
        make(folder)
    except OSError as error:
        assert error.errno == errno.EFBIG
        assert "must be written whole, 256 bytes" in str(error)
        os._exit(3)


@needs_fork
def test_a_limit_of_file_size(tmp_path):
    assert exit_status(build_with_no_room, tmp_path / "cache") == 3
    assert os.listdir(tmp_path / "cache") == ["lock"]
    assert len(make(tmp_path / "cache")) == ROWS


def test_a_leftover_of_a_killed_writer_is_removed(tmp_path):
    left = tmp_path / ".1234abcd.99.tmp"
    left.touch()
    make(tmp_path)
    assert not left.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:-5], "same rows each time"),
        (lambda x: np.concatenate([x, x]), "same rows each time"),
        (lambda x: x[:0], "at least one row"),
    ],
)
def test_other_rows_under_the_same_key(tmp_path, change, words):
    make(tmp_path)
    (tmp_path / "features-00-000001.npy").unlink()
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match=words),
    ):
        warnings.simplefilter("ignore")
        x = change(inputs())
        if not len(x):
            (tmp_path / "manifest.json").unlink()
        make(tmp_path, x=x)


def test_views_are_passes_of_their_own(tmp_path):
    cache = make(tmp_path, views=3)
    for view in range(3):
        features, found = cache.arrays(view)
        np.testing.assert_array_equal(features, body(inputs() + view))
        np.testing.assert_array_equal(found, labels(inputs()))


@pytest.mark.parametrize(
    ("extract", "words"),
    [
        (lambda x: x[:-1], "one row of features for each row"),
        (lambda x: x[:, : 3 + int(x[0, 0]) % 5], "one shape and dtype"),
        (lambda x: x.astype("U"), "`body` must give numbers"),
        (lambda x: np.zeros((len(x), 1 << 14)), "must fit into a file"),
    ],
)
def test_features_that_are_none(tmp_path, extract, words):
    with pytest.raises(ValueError, match=words):
        make(tmp_path, extract=extract)
