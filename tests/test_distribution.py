"""Is training on two JAX devices that on one, in one process and in two?

`keras.distribution` shares the batches. Each case is a program of its own:
JAX takes the number of its devices only as it starts.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import distributed
import numpy as np
import pytest
from helpers import distance

pytestmark = pytest.mark.jax_only

SECONDS = 500  # until a process that waits for another is given up


@pytest.fixture(scope="module")
def one_device():
    return distributed.results()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start(file, *words):
    command = [sys.executable, distributed.__file__, *map(str, words), file]
    with Path(f"{file}.log").open("w") as log:
        return subprocess.Popen(
            command,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stdout=log,
            stderr=log,
        )


def run(folder, processes, devices):
    """What each process found."""
    files = [folder / f"{rank}.npz" for rank in range(processes)]
    port = free_port()
    started = [
        start(file, port, rank, processes, devices)
        for rank, file in enumerate(files)
    ]
    try:
        for process, file in zip(started, files, strict=True):
            code = process.wait(timeout=SECONDS)
            assert code == 0, Path(f"{file}.log").read_text()
    finally:
        for process in started:
            process.kill()
            process.wait()
    return [np.load(file) for file in files]


@pytest.mark.parametrize(("processes", "devices"), [(1, 2), (2, 1)])
def test_training_is_that_on_one_device(
    one_device, processes, devices, tmp_path
):
    assert len(one_device["losses"]) == 20
    for found in run(tmp_path, processes, devices):
        assert found["devices"] == 2
        for name in ("weights", "losses", "sweep"):
            assert distance(found[name], one_device[name]) <= 1e-6
        assert found["left as it was"]
