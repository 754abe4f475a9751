"""How do rows become a table, as text and as HTML?"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["as_html", "as_text"]

Rows = Sequence[Mapping[str, Any]]


def as_text(rows: Rows) -> str:
    """A line for each row, below the column names."""
    table = [list(rows[0]), *([*row.values()] for row in rows)]
    table = [[str(cell) for cell in row] for row in table]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(map(str.ljust, row, widths)).rstrip() for row in table
    )


def as_html(rows: Rows) -> str:
    """The table as a notebook shows it."""
    head = "".join(f"<th>{escape(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in row.values())
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
