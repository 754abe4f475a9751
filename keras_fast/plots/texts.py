"""What do these texts look like, word by word?

As in `plots`, nothing is shown, only drawn, and matplotlib is imported inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keras_fast.plots._axes import COLORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_texts", "texts_as_html"]

FOR, AGAINST = (
    [int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in COLORS[:2]
)
# Strength of a word's background color: black is legible on it.
MOST_COLOR = 0.7
# Number of words also listed as text, for readers who see no color.
MOST_NAMED = 5
# In points.
WIDTH, SIZE, LINE, MARGIN = 560, 10, 19, 14
LONGEST = 60
KEY = "blue speaks for the class, orange against it"


class Place(NamedTuple):
    """Where a word goes."""

    word: str
    x: float  # in points, of its left edge
    line: int


def plot_texts(
    texts: Sequence[Sequence[str]],
    titles: Sequence[str],
    scores: Sequence[ArrayLike] | None = None,
) -> np.ndarray:
    """Draw texts one below another, their words on colored backgrounds.

    Args:
        texts: The words of each.
        titles: One for each.
        scores: One for each word. Positive ones are blue, negative ones orange,
            the more intense the closer to the largest of the text. None for no
            colors.

    Returns:
        The Axes, (n,).

    Examples:
        >>> axes = plot_texts([["so", "good"]], ["positive"], [[0.1, 0.9]])
        >>> [text.get_text() for text in axes[0].texts]
        ['so', 'good']
    """
    from matplotlib import pyplot

    texts = [[_short(word) for word in words] for words in texts]
    places = [_places(words) for words in texts]
    lines = [each[-1].line + 1 if each else 1 for each in places]
    # The first line of an Axes is below its title.
    heads = [LINE * (title.count("\n") + 1) for title in titles]
    key = 0 if scores is None else LINE
    height = MARGIN + key + sum(LINE * n for n in lines)
    height += sum(heads) + MARGIN * len(texts)
    width = WIDTH + 2 * MARGIN
    figure = pyplot.figure(figsize=(width / 72, height / 72))
    axes, top = [], height - MARGIN
    for i, words in enumerate(places):
        bottom = top - heads[i] - LINE * lines[i]
        box = (MARGIN, bottom, WIDTH, LINE * lines[i])
        of = np.array([width, height, width, height])
        ax = figure.add_axes(tuple(np.array(box) / of))
        ax.set(xlim=(0, WIDTH), ylim=(LINE * lines[i], 0))
        ax.set_axis_off()
        ax.set_title(titles[i], fontsize=9, loc="left", pad=2, weight="bold")
        _draw(ax, words, None if scores is None else scores[i])
        axes.append(ax)
        top = bottom - MARGIN
    if key:
        where = MARGIN / width, 0.5 * MARGIN / height
        figure.text(*where, KEY, fontsize=8, color="#555555")
    found = np.empty(len(axes), object)
    found[:] = axes
    return found


def texts_as_html(
    texts: Sequence[Sequence[str]],
    titles: Sequence[str],
    scores: Sequence[ArrayLike],
) -> str:
    """The HTML that a notebook shows for texts with scores.

    A word's score is its tooltip. Below each text the words with the strongest
    evidence for and against the class are listed, for readers who see no color.
    """
    blocks = [_block(*each) for each in zip(texts, titles, scores, strict=True)]
    # Its own background, as notebooks may be dark.
    return (
        '<div style="background:#fff;color:#000;padding:.5em;'
        'line-height:1.8;max-width:50em">'
        f'{"".join(blocks)}<p style="color:#555;font-size:85%">{KEY}</p></div>'
    )


def _block(words: Sequence[str], title: str, scores: ArrayLike) -> str:
    values = np.asarray(scores, float)
    spans = [
        f'<span style="background:{color};padding:.1em .15em;'
        f'border-radius:.2em" title="{value:+.3g}">{escape(word)}</span>'
        for word, value, color in zip(
            words, values, _colors(values), strict=True
        )
    ]
    sides = []
    for name, sign in (("for", 1), ("against", -1)):
        order = np.argsort(-sign * values, kind="stable")[:MOST_NAMED]
        most = [escape(words[i]) for i in order if sign * values[i] > 0]
        if most:
            sides.append(f"{name}: {', '.join(most)}")
    return (
        f"<p><strong>{escape(title)}</strong><br>{' '.join(spans)}<br>"
        f'<span style="font-size:85%">{"; ".join(sides)}</span></p>'
    )


def _colors(scores: np.ndarray) -> list[str]:
    """White for 0, blue above and orange below."""
    highest = np.abs(scores).max(initial=0) or 1.0
    colors = []
    for share in scores / highest:
        full = np.array(FOR if share > 0 else AGAINST)
        rgb = 255 + MOST_COLOR * abs(share) * (full - 255)
        colors.append("#" + "".join(f"{round(part):02x}" for part in rgb))
    return colors


def _draw(ax: Axes, places: Sequence[Place], scores: Any) -> None:
    colors = _colors(np.asarray(np.zeros(len(places)), float))
    if scores is not None:
        colors = _colors(np.asarray(scores, float))
    for (word, x, line), color in zip(places, colors, strict=True):
        ax.text(
            x,
            (line + 0.7) * LINE,
            word,
            fontsize=SIZE,
            parse_math=False,
            bbox={"boxstyle": "square,pad=0.15", "fc": color, "ec": "none"},
        )


def _places(words: Sequence[str]) -> list[Place]:
    """The words in order, in lines of `WIDTH`."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=SIZE)
    places, x, line = [], 0.0, 0
    for word in words:
        width = text_to_path.get_text_width_height_descent(word, font, False)[0]
        if x and x + width > WIDTH:
            x, line = 0.0, line + 1
        places.append(Place(word, x, line))
        x += width + 0.6 * SIZE
    return places


def _short(word: str) -> str:
    return word if len(word) <= LONGEST else f"{word[: LONGEST - 1]}…"
