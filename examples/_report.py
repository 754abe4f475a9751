"""A table that is printed as it grows, and one page with all pictures."""

import html
import shutil
from pathlib import Path

from matplotlib import pyplot as plt

HEAD = ("step", "rate", "epochs", "seconds", "accuracy")
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #222;
  max-width: 60rem; margin: 3rem auto; padding: 0 1rem }}
h1 {{ font-weight: 600 }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .25rem .9rem; text-align: right }}
th:first-child, td:first-child {{ text-align: left; padding-left: 0 }}
th {{ border-bottom: 2px solid #222 }}
figure {{ margin: 3rem 0 }}
img {{ max-width: 100% }}
figcaption {{ color: #555 }}
</style>
<h1>{title}</h1>
<p>{text}</p>
<table>
<tr>{head}</tr>
{rows}
</table>
{figures}
</html>
"""


class Report:
    """Rows and pictures, in the order in which they come."""

    def __init__(self, folder):
        self.folder = Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.rows, self.figures = [], []
        self._print(HEAD)

    def row(self, step, *, rate=None, epochs=None, seconds=None, accuracy=None):
        cells = (
            step,
            "" if rate is None else f"{rate:.1e}",
            "" if epochs is None else str(epochs),
            "" if seconds is None else f"{seconds:.1f}",
            "" if accuracy is None else f"{accuracy:.3f}",
        )
        self.rows.append(cells)
        self._print(cells)

    def picture(self, name, caption, ax):
        """Save the figure of these Axes."""
        path = self.folder / f"{name}.png"
        ax.figure.savefig(path, dpi=90, bbox_inches="tight")
        plt.close(ax.figure)
        self.figures.append((path.name, caption))

    def save(self, title, text):
        figures = [
            f'<figure><img src="{name}" alt="{html.escape(caption)}">'
            f"<figcaption>{html.escape(caption)}</figcaption></figure>"
            for name, caption in self.figures
        ]
        page = PAGE.format(
            title=html.escape(title),
            text=html.escape(text),
            head="".join(f"<th>{name}</th>" for name in HEAD),
            rows="\n".join(map(_row, self.rows)),
            figures="\n".join(figures),
        )
        path = self.folder / "report.html"
        path.write_text(page, encoding="utf-8")
        return path

    def _print(self, cells):
        step, *others = cells
        line = "".join(f"{cell:>10}" for cell in others)
        print(f"{step:<46}{line}", flush=True)


def _row(cells):
    cells = "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
    return f"<tr>{cells}</tr>"
