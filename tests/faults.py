"""What may happen to files, and to a process that writes them."""

import os
import warnings
import zlib

import pytest

PRIMITIVES = ("open", "write", "fsync", "replace")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def fail_at(patch, call, fail):
    """Let the k-th call of the system fail; returns the calls, as they come."""
    calls = []

    def watched(name):
        original = getattr(os, name)

        def primitive(*args, **kwargs):
            if str(args[0]).endswith("lock"):  # is no file that is written
                return original(*args, **kwargs)
            calls.append(name)
            if len(calls) == call:
                fail()
            return original(*args, **kwargs)

        return primitive

    for name in PRIMITIVES:
        patch.setattr(os, name, watched(name))
    return calls


def fork(function, *arguments):
    """A child that calls this: a fork, for the speed of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has threads
        process = os.fork()
    if process:
        return process
    try:
        function(*arguments)
        os._exit(0)
    finally:
        os._exit(1)


def wait(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def exit_status(function, *arguments):
    return wait(fork(function, *arguments))


def sealed(content):
    """With the checksum that makes damage look meant."""
    return content + zlib.crc32(content).to_bytes(4, "little")


def mutated(content, rng):
    """A sealed file, damaged and sealed again."""
    content = bytearray(content[:-4])
    for _ in range(rng.randint(1, 8)):
        start = rng.randrange(len(content))
        stop = min(len(content), start + rng.randint(0, 4))
        content[start:stop] = rng.randbytes(rng.randint(0, 4))
    return sealed(bytes(content))
