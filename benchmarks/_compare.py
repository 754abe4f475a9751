"""Things measured in turn, their ratios, and the tables of the docs' page."""

import platform
import sys
import time
from pathlib import Path

import numpy as np

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def interleaved(functions, repeats, warm_up=1, clock=time.process_time):
    """Seconds of each function, (repeats, functions)."""
    for _ in range(warm_up):
        for function in functions:
            function()
    seconds = np.empty((repeats, len(functions)))
    for i in range(repeats):
        order = range(len(functions))
        for k in order if i % 2 == 0 else reversed(order):
            start = clock()
            functions[k]()
            seconds[i, k] = clock() - start
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


def cpu():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [x.split(":", 1)[1].strip() for x in lines if "model name" in x]
    return models[0] if models else platform.machine()


def published(section, text):
    """Print; with --write, also replace the section of the docs' page."""
    print(text, flush=True)
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
