"""CONTRIBUTING.md and CHANGELOG.md of the root are pages of the site too."""

from pathlib import Path

from mkdocs.structure.files import File

NAMES = ("CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files, config):
    """Add them, with links that are right in docs/."""
    root = Path(config.config_file_path).parent
    for name in NAMES:
        content = (root / name).read_text().replace("](docs/", "](")
        files.append(File.generated(config, name.lower(), content=content))
    return files
