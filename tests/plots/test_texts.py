"""What is drawn of texts, read back from the drawing."""

import re

import numpy as np
from matplotlib.colors import to_rgb

from keras_fast.plots.texts import plot_texts, texts_as_html

TEXTS = [["a", "dull", "film", "$1 <b>"], ["great"] * 60]
SCORES = [[0.0, -1.0, 0.1, 2.0], np.linspace(0, 1, 60)]
TITLES = ["negative", "positive\nloss: 3"]


def drawn():
    return plot_texts(TEXTS, TITLES, SCORES)


def test_words_are_all_there_in_order():
    axes = drawn()
    for ax, words, title in zip(axes, TEXTS, TITLES, strict=True):
        assert [text.get_text() for text in ax.texts] == words
        assert ax.get_title(loc="left") == title


def test_words_lie_beside_one_another_within_the_picture():
    axes = drawn()
    figure = axes[0].figure
    figure.draw_without_rendering()
    edges = figure.get_window_extent()
    boxes = [text.get_window_extent() for ax in axes for text in ax.texts]
    for i, box in enumerate(boxes):
        assert edges.x0 <= box.x0 < box.x1 <= edges.x1
        assert edges.y0 <= box.y0 < box.y1 <= edges.y1
        assert not any(box.overlaps(other) for other in boxes[:i])
    lines = {round(box.y0) for box in boxes[4:]}
    assert len(lines) > 2


def test_blue_speaks_for_and_orange_against():
    red, _, blue = np.array(
        [
            to_rgb(text.get_bbox_patch().get_facecolor())
            for text in drawn()[0].texts
        ]
    ).T
    assert (blue - red)[0] == 0
    assert (blue - red)[1] < -0.1 < 0 < (blue - red)[2] < (blue - red)[3]


def test_html_has_every_word_its_score_and_no_tags_of_theirs():
    html = texts_as_html(TEXTS[:1], ["<i>"], SCORES[:1])
    assert "<b>" not in html and "<i>" not in html
    words = re.findall(r'title="(.*?)">(.*?)</span>', html)
    assert words == [
        ("+0", "a"),
        ("-1", "dull"),
        ("+0.1", "film"),
        ("+2", "$1 &lt;b&gt;"),
    ]
    assert "for: $1 &lt;b&gt;, film; against: dull" in html
    assert "<strong>&lt;i&gt;</strong>" in html


def test_texts_without_scores_have_no_colors_and_no_key():
    axes = plot_texts(TEXTS[:1], ["one"])
    colors = {
        to_rgb(text.get_bbox_patch().get_facecolor()) for text in axes[0].texts
    }
    assert colors == {(1.0, 1.0, 1.0)}
    assert not axes[0].figure.texts
