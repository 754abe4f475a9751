"""Each script below docs/ becomes a page with what it printed and drew.

The page has the script's place and name. Its results are made when the site
is built, by `execute.py`.
"""

import base64
from pathlib import Path

import nbformat
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from execute import executed

ENDINGS = {"image/svg+xml": ".svg", "image/png": ".png"}


def on_files(files, config):
    """Add each script's page, its figures and its notebook."""
    root = Path(config.config_file_path).parent
    scripts = [
        file
        for file in files
        if file.src_uri.endswith(".py") and "_hooks" not in file.src_uri
    ]
    for file in scripts:
        if files.get_file_from_path(f"{file.src_uri[:-3]}.md"):
            raise PluginError(f"{file.src_uri} has a page of its name already")
    paths = [Path(file.abs_src_path) for file in scripts]
    notebooks = executed(paths, root)
    for file, notebook in zip(scripts, notebooks, strict=True):
        for name, content in _page(file.src_uri, notebook).items():
            files.append(File.generated(config, name, content=content))
    return files


def _page(script, notebook):
    """What each file holds, by its name: the page, figures, the notebook."""
    stem = script.removesuffix(".py")
    figures = {}
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(_fenced("python", cell.source))
        parts.append(_fenced("text", "".join(map(_text, cell.outputs))))
        for kind, content in _drawn(cell, script):
            name = f"{stem}-{len(figures) + 1}{ENDINGS[kind]}"
            figures[name] = content
            image = f"![{cell.metadata.alt}]({Path(name).name})"
            parts.append(image + _width(kind, content))
    return {
        f"{stem}.md": _with_downloads(parts, script),
        f"{stem}.ipynb": nbformat.writes(notebook),
        **figures,
    }


def _with_downloads(parts, script):
    title, _, rest = parts[0].partition("\n")
    if not title.startswith("# "):
        raise PluginError(f"{script}: the first cell must begin with # Title")
    name = Path(script).stem
    links = (
        "This page is a program. Download it as a "
        f"[notebook]({name}.ipynb){{ download }} or a "
        f"[script]({name}.py){{ download }}."
    )
    shown = [title, links, rest.strip(), *parts[1:]]
    return "\n\n".join(part for part in shown if part) + "\n"


def _fenced(language, text):
    return f"```{language}\n{text.rstrip()}\n```" if text.strip() else ""


def _text(output):
    if output.output_type == "stream":
        return output.text
    return "" if _kinds(output) else output.data.get("text/plain", "") + "\n"


def _drawn(cell, script):
    """The kind and content of the figure, which `# %% alt="..."` describes."""
    figures = [
        (kind, output.data[kind])
        for output in cell.outputs
        for kind in _kinds(output)
    ]
    alt = cell.metadata.get("alt", "")
    if len(figures) > 1 or bool(figures) != bool(alt):
        raise PluginError(
            f"{script}: a cell that draws must draw one figure and describe "
            f'it, # %% alt="...". Received: {len(figures)} figures, {alt=}\n\n'
            f"{cell.source}"
        )
    return [
        (kind, base64.b64decode(data) if kind == "image/png" else data)
        for kind, data in figures
    ]


def _width(kind, content):
    """A PNG has 1.5 dots a pixel, as `tutorial.py` draws it."""
    if kind != "image/png":
        return ""
    dots = int.from_bytes(content[16:20])
    return f'{{ width="{round(dots / 1.5)}" }}'


def _kinds(output):
    return ENDINGS.keys() & output.get("data", {}).keys()
