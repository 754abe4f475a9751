"""Does a training that was killed come to what it would have come to?"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = [pytest.mark.crash, pytest.mark.tensorflow_only]


def kill(name, runs, kills, save_freq, seed=0):
    command = [name, runs, kills, save_freq, seed]
    done = subprocess.run(
        [sys.executable, str(HERE / "kill_harness.py"), *map(str, command)],
        env=os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == runs, done.stderr
    assert all(each["exact"] for each in found), found
    assert not any(each["left"] for each in found), found
    ends = [end for each in found for end in each["ends"]]
    assert len(ends) == runs * kills
    return ends, max(each["lost"] for each in found)


def assert_killed_anywhere(runs, kills):
    ends, lost = kill("SIGKILL", runs, kills, save_freq=2)
    assert set(ends) == {-9}
    # One batch more: it is told of before it is saved.
    assert lost <= 2 + 1


def test_20_kills():
    assert_killed_anywhere(runs=5, kills=4)


@pytest.mark.stress
@pytest.mark.timeout(3000)
def test_200_kills():
    assert_killed_anywhere(runs=40, kills=5)


# With a save an epoch it is the signal that saves: no batch is lost.
@pytest.mark.parametrize(("name", "end"), [("SIGTERM", -15), ("SIGINT", 130)])
def test_preempted_5_times(name, end):
    ends, lost = kill(name, 1, 5, save_freq="epoch")
    assert set(ends) == {end}
    assert lost == 0
