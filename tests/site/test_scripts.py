"""Scripts below docs/ become pages, and nothing in them is forgiven."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from PIL import Image

HOOKS = Path(__file__).parents[2] / "docs" / "_hooks"
LESSON = """\
# %% [markdown]
# # A lesson
#
# Why it matters.

# %%
import time
from pathlib import Path

Path("left.txt").touch()
print("at", time.monotonic_ns())
6 * 7

# %% alt="A line"
from matplotlib import pyplot

pyplot.subplots()[1].plot([1, 2])[0].axes

# %% alt="Noise"
import numpy

pyplot.imshow(numpy.eye(2)).axes
"""
BAD = {
    "raises": ("first = 1\n1 / 0", "ZeroDivisionError: division by zero"),
    "warns": ("import warnings\nwarnings.warn('old')", "UserWarning: old"),
    "logs": ("print('WARNING:tensorflow:5 out of 5')", "shows a warning"),
    "erases": ("print('1/9', end='\\r')", "moves the cursor"),
    "draws": (
        "from matplotlib import pyplot\npyplot.plot([1])[0].axes",
        "Received: 1 figures, alt=''",
    ),
}


@pytest.fixture
def build(tmp_path):
    """Builds a site of one script: the exit code and what was said."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text(
        f"site_name: Lessons\nhooks: [{HOOKS / 'scripts.py'}]\n"
        "use_directory_urls: false\nmarkdown_extensions: [attr_list]\n"
    )

    def run(text):
        (tmp_path / "docs" / "lesson.py").write_text(text)
        done = subprocess.run(
            [sys.executable, "-m", "mkdocs", "build", "--strict"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout + done.stderr

    return run


def test_page_shows_what_the_script_did(build, tmp_path):
    code, said = build(LESSON)
    assert code == 0, said
    site = tmp_path / "site"
    page = (site / "lesson.html").read_text()
    assert "6 * 7" in page and "Why it matters." in page
    assert "Axes" not in page
    assert '<img alt="A line" src="lesson-1.svg" />' in page
    with Image.open(site / "lesson-2.png") as image:
        width = round(image.width / 1.5)
    expected = f'<img alt="Noise" src="lesson-2.png" width="{width}" />'
    assert expected in page
    assert b"<svg" in (site / "lesson-1.svg").read_bytes()
    assert (site / "lesson-2.png").read_bytes().startswith(b"\x89PNG")
    for name in ("lesson.ipynb", "lesson.py"):
        assert f'<a download href="{name}">' in page
    assert (site / "lesson.py").read_text() == LESSON
    notebook = nbformat.read(site / "lesson.ipynb", as_version=4)
    nbformat.validate(notebook)
    printed, shown = notebook.cells[1].outputs
    assert f"{printed.text}42\n" in page
    assert shown.data["text/plain"] == "42"
    # It ran in a folder of its own.
    assert not list(tmp_path.rglob("left.txt"))


def test_results_are_kept_until_something_they_use_changes(build, tmp_path):
    def printed():
        assert build(LESSON)[0] == 0
        (cached,) = (tmp_path / ".cache" / "tutorials").iterdir()
        return nbformat.read(cached, as_version=4).cells[1].outputs[0].text

    first = printed()
    assert printed() == first
    (tmp_path / "keras_fast").mkdir()
    (tmp_path / "keras_fast" / "new.py").touch()
    assert printed() != first


@pytest.mark.parametrize("name", BAD)
def test_bad_cell_fails_the_build_and_is_shown(name, build, tmp_path):
    source, reason = BAD[name]
    code, said = build(f"# %% [markdown]\n# # Bad\n\n# %%\n{source}\n")
    assert code != 0
    assert reason in said
    assert source in said
    assert not (tmp_path / "site").exists()


def test_page_has_one_source(build, tmp_path):
    (tmp_path / "docs" / "lesson.md").write_text("# Typed\n")
    code, said = build(LESSON)
    assert code != 0
    assert "lesson.py has a page of its name already" in said
