"""Each script below docs/ becomes a page with what it printed and drew.

The page has the script's place and name. Its results are made when the site
is built, by `execute.py`.
"""

import base64
from concurrent.futures import ThreadPoolExecutor
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
    # Two at a time: each uses a core, and memory for a model.
    with ThreadPoolExecutor(2) as pool:
        run = [
            pool.submit(executed, Path(file.abs_src_path), root)
            for file in scripts
        ]
        for file, future in zip(scripts, run, strict=True):
            for name, content in _page(file.src_uri, future.result()).items():
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
        for output in cell.outputs:
            kind = ENDINGS.keys() & output.get("data", {}).keys()
            if kind:
                name = f"{stem}-{len(figures) + 1}{ENDINGS[min(kind)]}"
                figures[name] = _bytes(output.data, min(kind))
                alt = _alt(cell, script)
                parts.append(f"![{alt}]({Path(name).name})")
            else:
                parts.append(_fenced("text", _text(output)))
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
    return output.data.get("text/plain", "")


def _alt(cell, script):
    """The words for a figure, `# %% alt="..."`: one figure a cell."""
    images = [
        o for o in cell.outputs if ENDINGS.keys() & o.get("data", {}).keys()
    ]
    alt = cell.metadata.get("alt", "")
    if alt and len(images) == 1:
        return alt
    raise PluginError(
        f"{script}: a cell that draws must draw one figure and describe it, "
        f'# %% alt="...". Received: {len(images)} figures, alt={alt!r}\n\n'
        f"{cell.source}"
    )


def _bytes(data, kind):
    content = data[kind]
    if kind == "image/png":
        return base64.b64decode(content)
    return "".join(content).encode()
