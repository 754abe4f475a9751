"""Which tutorials have to run again? Two at a time, each in its own process."""

import hashlib
import logging
import multiprocessing
import os
import platform
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import nbformat
from mkdocs.exceptions import PluginError

import tutorial

HERE = Path(__file__).parent
# What a tutorial's results depend on, besides itself.
SOURCES = (
    "keras_fast/**/*.py",
    "examples/**/*",
    "constraints.txt",
    "docs/_hooks/execute.py",
    "docs/_hooks/imported.py",
    "docs/_hooks/tutorial.py",
)
# More threads would wait for each other, which made one tutorial four times as
# expensive.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "TF_NUM_INTRAOP_THREADS",
    ),
    "1",
)
SECONDS = 600  # for one tutorial; only a hanging one ever gets there
# Importing TensorFlow takes longer than many a tutorial: one process does it
# once, and each tutorial begins as a fork of that.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["imported", "tutorial"])
log = logging.getLogger("mkdocs.hooks.scripts")


def executed(scripts, root):
    """The notebooks of the scripts with their results, cached ones as well."""
    # Two at a time: each uses a core, and memory for a model.
    with (
        patch.dict(os.environ, _environment(root)),
        ThreadPoolExecutor(2) as pool,
    ):
        run = [pool.submit(_executed, script, root) for script in scripts]
    if failed := [str(x.exception()) for x in run if x.exception()]:
        raise PluginError("\n\n".join(failed))
    return [future.result() for future in run]


def _executed(script, root):
    name = "-".join(script.relative_to(root).with_suffix("").parts)
    folder = root / ".cache" / "tutorials"
    cached = folder / f"{name}-{_key(script, root)}.ipynb"
    if not cached.exists():
        notebook = _run(script, root)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{name}-{'?' * 16}.ipynb"):
            old.unlink()
        partial = cached.with_suffix(".partial")
        nbformat.write(notebook, partial)
        partial.replace(cached)
    return nbformat.read(cached, as_version=4)


def _run(script, root):
    name = script.relative_to(root)
    begin = time.monotonic()
    # In a folder of its own: what it writes is gone with it.
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(root / "examples")
        notebook, problem = _in_a_process(tutorial.run, script, folder)
    if problem:
        raise PluginError(f"{name}: {problem}")
    log.info("%s ran in %.0f s", name, time.monotonic() - begin)
    return notebook


def _in_a_process(function, *arguments):
    """What `function` sends, or why nothing came."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=function, args=(*arguments, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(SECONDS):
            return None, f"took more than {SECONDS} s"
        return receiver.recv()
    except EOFError:
        process.join()
        return None, f"the process ended with code {process.exitcode}"
    finally:
        process.kill()
        process.join()
        receiver.close()


def _environment(root):
    """The package of this checkout, and no word of TensorFlow's own."""
    paths = [str(root), str(HERE), os.environ.get("PYTHONPATH", "")]
    return {
        **ONE_THREAD,
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _key(script, root):
    found = {path for pattern in SOURCES for path in root.glob(pattern)}
    files = sorted(path for path in found if path.is_file())
    digest = hashlib.sha256(platform.python_version().encode())
    for path in [script, *files]:
        if "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
