"""How long does one thing take, as a multiple of another?

Import this first: it holds TensorFlow, XLA and the linear algebra to one
thread, which they take only before they start. Then CPU time counts the work
alone, whatever else the machine does.

Two things are measured in turn, A B, B A, A B, ..., so that a change of the
machine's pace meets both. Each pair gives a ratio; the median and the
quartiles of all pairs are reported.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import platform
import sys
import time
from pathlib import Path

import keras
import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def cpu_seconds(function):
    start = time.process_time()
    function()
    return time.process_time() - start


def interleaved(functions, repeats, warm_up=1):
    """CPU seconds of each function, (repeats, functions)."""
    for _ in range(warm_up):
        for function in functions:
            function()
    seconds = np.empty((repeats, len(functions)))
    for i in range(repeats):
        order = range(len(functions))
        for k in order if i % 2 == 0 else reversed(order):
            seconds[i, k] = cpu_seconds(functions[k])
    return seconds


def ratio(seconds, k, base=0):
    """Median and quartiles of one function's time over another's."""
    return np.percentile(seconds[:, k] / seconds[:, base], (50, 25, 75))


def shown(quantiles):
    middle, low, high = quantiles
    return f"{middle:.3f} ({low:.3f} to {high:.3f})"


def verdict(quantiles, goal):
    met = round(quantiles[0], 3) <= goal
    return f"{'met' if met else 'missed'} (≤ {goal:.2f})"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def versions():
    names = [f"Keras {keras.__version__}", f"NumPy {np.__version__}"]
    backend = keras.backend.backend()
    module = sys.modules[backend]
    names.insert(1, f"{backend} {module.__version__}")
    return (
        f"{', '.join(names)}, Python {platform.python_version()}; "
        f"{cpu()}, one thread."
    )


def cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [x.split(":", 1)[1].strip() for x in lines if "model name" in x]
    return models[0] if models else platform.machine()


def report(section, text):
    """Print; with --write, also replace the section of the docs' page."""
    text = f"{text}\n\n{versions()}"
    print(text)
    if "--write" not in sys.argv[1:]:
        return
    start, end = f"<!-- {section} -->", f"<!-- /{section} -->"
    page = PAGE.read_text(encoding="utf-8")
    if start not in page or end not in page:
        raise SystemExit(f"{PAGE} has no section between {start} and {end}")
    before, rest = page.split(start, 1)
    after = rest.split(end, 1)[1]
    page = f"{before}{start}\n\n{text}\n\n{end}{after}"
    PAGE.write_text(page, encoding="utf-8")
