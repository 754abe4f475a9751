"""Builds of a feature cache on a disk that fails, or is full."""

import errno
import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
from faults import exit_status, fail_at, needs_fork
from harness import ROWS, count_calls, digest, inputs, make, small_shards

from keras_fast import FeatureCache
from keras_fast._files import io as _io

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("small_cache")]

ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE]


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


@pytest.mark.parametrize("number", ERRORS)
def test_an_error_at_some_calls(tmp_path, clean, number):
    calls = range(1, count_calls(tmp_path / "counted") + 1, 8)
    assert {*fail_with(tmp_path, number, calls)} == {clean}


@pytest.mark.crash
@pytest.mark.stress
@pytest.mark.parametrize("number", ERRORS)
def test_an_error_at_every_call(tmp_path, clean, number):
    calls = range(1, count_calls(tmp_path / "counted") + 1)
    assert {*fail_with(tmp_path, number, calls)} == {clean}


def build_with_no_room(folder):
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
    try:
        make(folder)
    except OSError as error:
        assert error.errno == errno.EFBIG
        assert "must be written whole, " in str(error)
        os._exit(3)


@needs_fork
def test_a_limit_of_file_size(tmp_path):
    assert exit_status(build_with_no_room, tmp_path / "cache") == 3
    assert os.listdir(tmp_path / "cache") == ["lock"]
    assert len(make(tmp_path / "cache")) == ROWS


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, which `disk(size)` makes or resizes."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def resize(size, more=""):
        how = "remount,size" if os.path.ismount(folder) else "size"
        options = f"{how}={size}{more}"
        command = ["mount", "-t", "tmpfs", "-o", options, "none"]
        done = subprocess.run([*command, str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip(f"only root may mount: {done.stderr.decode()}")
        return folder

    yield resize
    if os.path.ismount(folder):
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full(disk, tmp_path, monkeypatch):
    # It takes 104 KB; there is room for 16 to 88.
    small_shards(monkeypatch, rows=4, width=1024)
    x = inputs(20, 1024)
    make(tmp_path / "clean", x=x)
    for pages in range(4, 24, 2):
        cache = disk(4096 * pages) / str(pages)
        with pytest.raises(OSError, match=r"whole, \d+ bytes") as error:
            make(cache, x=x)
        assert error.value.errno == errno.ENOSPC
        assert not [p for p in os.listdir(cache) if p.endswith(".tmp")]
        disk(1 << 20)
        make(cache, x=x)
        assert digest(cache) == digest(tmp_path / "clean")
        shutil.rmtree(cache)


def test_a_disk_that_is_read_only(disk):
    right, _ = make(disk(1 << 20) / "cache").arrays()
    folder = disk(1 << 20, ",ro")
    found, _ = FeatureCache(folder / "cache").arrays()
    np.testing.assert_array_equal(found, right)
    with pytest.raises(OSError) as error:
        make(folder / "another")
    assert error.value.errno == errno.EROFS
    assert "another" in str(error.value)


def test_a_leftover_of_a_killed_writer_is_removed(tmp_path):
    left = tmp_path / ".1234abcd.99.tmp"
    left.touch()
    make(tmp_path)
    assert not left.exists()
