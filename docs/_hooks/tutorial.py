"""What does a tutorial print and draw? It is run, and nothing is forgiven."""

import io
import os
import sys
from base64 import b64encode

import jupytext
import matplotlib as mpl
import nbformat
import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from PIL import Image
from traitlets.config import Config

new_output = nbformat.v4.new_output


def run(script, folder, sender):
    """Run a script in `folder`; send its notebook, or what is wrong with it."""
    os.chdir(folder)
    sys.path.insert(0, folder)
    notebook = jupytext.read(script, fmt="py:percent")
    kernel = {"name": "python3", "display_name": "Python 3"}
    notebook.metadata.kernelspec = kernel
    shell = _shell()
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for number, cell in enumerate(codes, 1):
        cell.execution_count = number
        cell.outputs, problem = _run_cell(shell, cell.source)
        if problem:
            sender.send((None, f"a cell {problem}\n\n{cell.source}"))
            return
    sender.send((notebook, None))


def _shell():
    """What runs cells: an IPython that leaves nothing behind."""
    shell = InteractiveShell.instance(
        colors="nocolor", config=Config(HistoryManager={"enabled": False})
    )
    text = shell.display_formatter.formatters["text/plain"]
    # Axes and grids of them are what plots return, not a result to read.
    text.for_type(Axes, lambda *_: None)
    text.for_type(np.ndarray, _text_of_array)
    mpl.use("agg")
    mpl.rcParams["savefig.bbox"] = "tight"
    # The same drawing has the same names inside.
    mpl.rcParams["svg.hashsalt"] = "keras_fast"
    return shell


def _text_of_array(array, printer, _):
    if array.dtype != object:
        printer.text(repr(array))


def _run_cell(shell, source):
    """A cell's outputs, and what no reader shall see in them."""
    # Traps that are set already keep the one that captures.
    with shell.builtin_trap, shell.display_trap, capture_output() as captured:
        result = shell.run_cell(source)
    outputs = [
        new_output("display_data", shown.data, metadata=shown.metadata)
        for shown in captured.outputs
        if shown.data
    ]
    if captured.stdout:
        outputs.insert(0, new_output("stream", text=captured.stdout))
    outputs += [
        new_output("display_data", _picture(plt.figure(number)))
        for number in plt.get_fignums()
    ]
    plt.close("all")
    if not result.success:
        return outputs, f"failed:\n{captured.stdout}"
    return outputs, _problem(captured)


def _problem(captured):
    if captured.stderr:
        return f"wrote to stderr:\n{captured.stderr}"
    if "WARNING:" in captured.stdout:
        return f"shows a warning:\n{captured.stdout}"
    if {"\x1b", "\b", "\r"} & set(captured.stdout):
        return "moves the cursor: give fit() verbose=0 or 2"
    return None


def _picture(figure):
    """Lines stay lines; a figure that holds images becomes one."""
    if not any(ax.images for ax in figure.axes):
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        return {"image/svg+xml": file.getvalue()}
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=144)
    # 256 colours of its own choice: a third of the size, and looks alike.
    image = Image.open(file).convert("RGB").quantize(256)
    small = io.BytesIO()
    image.save(small, "PNG", optimize=True)
    return {"image/png": b64encode(small.getvalue()).decode()}
