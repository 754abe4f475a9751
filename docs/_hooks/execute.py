"""What does a tutorial print and draw? It is run, and nothing is forgiven."""

import hashlib
import logging
import os
import platform
import re
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from mkdocs.exceptions import PluginError
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

HERE = Path(__file__).parent
# What a tutorial's results depend on, besides itself.
SOURCES = (
    "keras_fast/**/*.py",
    "examples/**/*",
    "constraints.txt",
    "docs/_hooks/execute.py",
    "docs/_hooks/kernel.py",
)
# Two notebooks run at once, on a core each. More threads would wait for each
# other, which made one notebook four times as expensive.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "TF_NUM_INTRAOP_THREADS",
    ),
    "1",
)
COLORS = re.compile(r"\x1b\[[0-9;]*m")
SECONDS = 600  # for one cell; only a hanging one ever gets there
log = logging.getLogger("mkdocs.hooks.scripts")


def executed(script, root):
    """The notebook of a script with its results, from the cache if there."""
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
    notebook = jupytext.read(script, fmt="py:percent")
    setup = nbformat.v4.new_code_cell((HERE / "kernel.py").read_text())
    notebook.cells.insert(0, setup)
    begin = time.monotonic()
    # In a folder of its own: what it writes is gone with it.
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(root / "examples")
        _execute(notebook, folder, root, name)
    log.info("%s ran in %.0f s", name, time.monotonic() - begin)
    return _checked(notebook, name)


def _execute(notebook, folder, root, name):
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        # Through files: a port could be taken, or listened to.
        config=Config(
            KernelManager={"transport": "ipc", "ip": f"{folder}/socket"}
        ),
        # What C++ says at start, as that there is no GPU, is no cell's.
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],
        resources={"metadata": {"path": folder}},
    )
    try:
        client.execute(env=_environment(root))
    except CellExecutionError as error:
        shown = COLORS.sub("", str(error))
        raise PluginError(f"{name}: {shown}") from None


def _environment(root):
    """The package of this checkout, and no word of TensorFlow's own."""
    paths = [str(root), os.environ.get("PYTHONPATH", "")]
    return {
        **ONE_THREAD,
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def _checked(notebook, name):
    """The notebook without the setup; what a reader shall not see stops."""
    del notebook.cells[0]
    notebook.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
    }
    codes = (cell for cell in notebook.cells if cell.cell_type == "code")
    for number, cell in enumerate(codes, 1):
        cell.execution_count = number
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = number
            if output.get("name") == "stderr":
                problem = f"wrote to stderr:\n{output.text}"
            elif "WARNING:" in output.get("text", ""):
                problem = f"shows a warning:\n{output.text}"
            elif {"\x1b", "\b", "\r"} & set(output.get("text", "")):
                problem = "moves the cursor: give fit() verbose=0 or 2"
            else:
                continue
            raise PluginError(f"{name}: a cell {problem}\n\n{cell.source}")
    return notebook


def _key(script, root):
    found = {path for pattern in SOURCES for path in root.glob(pattern)}
    files = sorted(path for path in found if path.is_file())
    digest = hashlib.sha256(platform.python_version().encode())
    for path in [script, *files]:
        if "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]
