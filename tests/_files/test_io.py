import ast
import errno
import os
import signal

import pytest
from faults import exit_status, fail_at, fork, needs_fork, wait
from test_architecture import PATHS

from keras_fast._files import io as _io
from keras_fast._files.io import (
    discard_unfinished,
    lock,
    to_json,
    write_file,
)

pytestmark = pytest.mark.once

OLD, NEW = b"old" * 5, [b"new" * 7, memoryview(b"!" * 3)]
WHOLE = b"".join(NEW)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def num_calls(monkeypatch, path):
    with monkeypatch.context() as context:
        calls = fail_at(context, 0, None)
        write_file(path, NEW)
        path.write_bytes(OLD)
    # Open, two chunks, the file, its new name, the folder.
    assert len(calls) == 7
    return len(calls)


def test_write_file(path):
    write_file(path, NEW)
    assert path.read_bytes() == WHOLE
    assert os.listdir(path.parent) == ["file"]


def write_killed(path, call):
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, call, lambda: os._exit(9))
        write_file(path, NEW)


@needs_fork
def test_a_kill_at_any_call_leaves_the_old_or_the_new(path, num_calls):
    seen = set()
    for call in range(1, num_calls + 1):
        path.write_bytes(OLD)
        assert exit_status(write_killed, path, call) == 9
        assert path.read_bytes() in (OLD, WHOLE)
        seen.add(path.read_bytes())
        discard_unfinished(path)
        assert os.listdir(path.parent) == ["file"]
    assert seen == {OLD, WHOLE}


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE]
)
def test_an_error_at_any_call_says_what_is_needed(
    monkeypatch, path, num_calls, number
):
    monkeypatch.setattr(_io.time, "sleep", lambda seconds: None)

    def fail():
        raise OSError(number, os.strerror(number))

    refused = 0
    for call in range(1, num_calls + 1):
        path.write_bytes(OLD)
        with monkeypatch.context() as context:
            fail_at(context, call, fail)
            try:
                write_file(path, NEW)
            except OSError as error:
                refused += 1
                assert error.errno == number
                assert f"whole, {len(WHOLE)} bytes" in str(error)
                assert f"Received: path={str(path)!r}" in str(error)
        assert path.read_bytes() in (OLD, WHOLE)
        assert os.listdir(path.parent) == ["file"]
    # A refused change of names is tried again.
    assert refused == num_calls - (number == errno.EACCES)


def test_a_name_in_use_is_tried_five_times(monkeypatch, path):
    tries, waits = [], []

    def replace(old, new):
        tries.append(old)
        raise PermissionError(errno.EACCES, "in use")

    monkeypatch.setattr(_io.os, "replace", replace)
    monkeypatch.setattr(_io.time, "sleep", waits.append)
    with pytest.raises(PermissionError, match="in use"):
        write_file(path, NEW)
    assert (len(tries), len(waits)) == (5, 4)
    assert path.read_bytes() == OLD
    # Beside the file, never on another device.
    assert {old.parent for old in tries} == {path.parent}


def test_an_interrupted_writer_leaves_the_old(monkeypatch, path):
    def interrupt():
        raise KeyboardInterrupt

    fail_at(monkeypatch, 3, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(path, NEW)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == ["file"]


def test_names_of_any_length_and_letters(tmp_path):
    path = tmp_path / "ä b" / ("x" * 255)
    path.parent.mkdir()
    write_file(path, [b"1"])
    assert path.read_bytes() == b"1"
    with pytest.raises(OSError, match="must be written whole"):
        write_file(path.with_name("x" * 256), [b"1"])


def test_discard_unfinished_leaves_other_files(path):
    mine = path.with_name(f"{_io._prefix(path)}123.tmp")
    others = [path.with_name(n) for n in ("other.tmp", ".00000000.1.tmp")]
    for left in (mine, *others):
        left.touch()
    discard_unfinished(path)
    assert not mine.exists()
    assert all(other.exists() for other in others)


def test_json_is_always_the_same():
    assert to_json({"b": [1, None], "a": {"ä": True}}) == (
        b'{"a":{"\\u00e4":true},"b":[1,null]}'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": float("nan")})


def hold(path, ready):
    with lock(path):
        os.write(ready, b".")
        signal.pause()


@needs_fork
def test_one_process_at_a_time_and_a_killed_one_lets_go(tmp_path):
    path, waited = tmp_path / "lock", []
    told, ready = os.pipe()
    other = fork(hold, path, ready)
    os.read(told, 1)

    def kill():
        waited.append(True)
        os.kill(other, signal.SIGKILL)

    with lock(path, on_wait=kill):
        assert waited == [True]
    assert wait(other) == -signal.SIGKILL
    with lock(path, on_wait=lambda: pytest.fail("it was let go")):
        pass


def test_a_file_system_without_locks(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(_io.filelock.FileLock, "acquire", refuse)
    with (
        pytest.raises(OSError, match="a file system that has locks"),
        lock(tmp_path / "lock"),
    ):
        pass


def writes(node):
    """Whether this call could write to a file."""
    match node:
        case ast.Call(func=ast.Name(id="open"), args=[_, *modes], keywords=kw):
            modes = [*modes, *(k.value for k in kw if k.arg == "mode")]
            return any(ast.literal_eval(m) not in ("r", "rb") for m in modes)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr=name)):
            return name in ("open", "write", "replace", "rename")
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"), attr=name)):
            return name.startswith("save") or name == "open_memmap"
        case ast.Call(func=ast.Attribute(attr=name)):
            return name in ("write_text", "write_bytes", "tofile")
    return False


def test_nothing_else_in_the_package_writes():
    for name, path in PATHS.items():
        found = [n for n in ast.walk(ast.parse(path.read_text())) if writes(n)]
        lines = [node.lineno for node in found]
        assert bool(lines) == (name == "keras_fast._files.io"), (name, lines)
