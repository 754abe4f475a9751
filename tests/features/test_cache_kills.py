"""Builds of a feature cache that are killed, and several at once."""

import os
import signal
import time

import numpy as np
import pytest
from faults import exit_status, fail_at, fork, needs_fork, wait
from harness import (
    BATCH,
    PER_SHARD,
    ROWS,
    WIDTH,
    Counter,
    body,
    count_calls,
    die_after,
    digest,
    inputs,
    make,
    small_shards,
    whole_rows,
)

pytestmark = [
    needs_fork,
    pytest.mark.once,
    pytest.mark.usefixtures("small_cache"),
]


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


def test_a_kill_at_some_calls(tmp_path, clean):
    number = count_calls(tmp_path / "counted")
    seen = kill_at(tmp_path, range(1, number + 1, 8), clean)
    assert min(seen) == 0 and max(seen) > ROWS // 2


@pytest.mark.crash
@pytest.mark.stress
def test_a_kill_at_every_call(tmp_path, clean):
    number = count_calls(tmp_path / "counted")
    seen = kill_at(tmp_path, range(1, number + 1), clean)
    assert seen == set(range(0, ROWS + 1, PER_SHARD))


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


def test_kills_at_random_times(tmp_path):
    rng = np.random.default_rng(0)
    assert kills(tmp_path, rng, inputs(), 10) >= 5


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


@pytest.mark.parametrize("processes", [2, 8])
def test_one_process_builds_and_the_others_wait(tmp_path, clean, processes):
    assert race(tmp_path / "race", processes) == 1
    assert digest(tmp_path / "race" / "cache") == clean


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


def test_a_waiter_takes_over_from_a_killed_builder(tmp_path, clean, capsys):
    told, ready = os.pipe()
    builder = fork(build_and_hang, tmp_path / "cache", ready)
    os.read(told, 1)
    with pytest.MonkeyPatch.context() as patch:
        from keras_fast.features import build

        say = build._say_wait

        def kill(folder):
            say(folder)
            os.kill(builder, signal.SIGKILL)

        patch.setattr(build, "_say_wait", kill)
        counter = Counter()
        make(tmp_path / "cache", extract=counter)
    assert wait(builder) == -signal.SIGKILL
    assert "Another process makes these features" in capsys.readouterr().err
    # The three batches before it hung are in whole shards, but for two rows.
    assert counter.starts[0] == 2 * BATCH
    assert digest(tmp_path / "cache") == clean
