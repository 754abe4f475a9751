"""Does a training that was killed come to what it would have come to?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# With a save an epoch it is the signal that saves.
DEFAULT = ["SIGKILL:1:8:2", "SIGTERM:1:3:epoch", "SIGINT:1:3:epoch"]
FULL = ["SIGKILL:40:5:2"]

pytestmark = [pytest.mark.crash, pytest.mark.tensorflow_only]


def kill(*trials, seed=0):
    harness = str(HERE / "kill_harness.py")
    done = subprocess.run(
        [sys.executable, harness, str(seed), *trials],
        env=os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_exact(found, kills, end, lost):
    """Each run came to the same, and lost no more than so many batches."""
    assert all(each["exact"] for each in found), found
    assert not any(each["left"] for each in found), found
    ends = [end for each in found for end in each["ends"]]
    assert ends == kills * [end]
    assert max(each["lost"] for each in found) <= lost


@pytest.fixture(scope="module")
def default():
    return kill(*DEFAULT)


# One batch more than an interval: it is told of before it is saved.
def test_8_kills(default):
    assert_exact(default[DEFAULT[0]], 8, -9, lost=3)


@pytest.mark.parametrize(("trial", "end"), [(1, -15), (2, 130)])
def test_preemptions(trial, end, default):
    assert_exact(default[DEFAULT[trial]], 3, end, lost=0)


@pytest.mark.stress
@pytest.mark.timeout(3000)
def test_200_kills():
    assert_exact(kill(*FULL, seed=1)[FULL[0]], 200, -9, lost=3)
