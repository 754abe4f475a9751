"""Are labels legible: on nothing else, and each at its dot?"""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_fast.plots.words import plot_words

pytestmark = pytest.mark.once
NAMES = ("first", "second")


def boxes(ax):
    ax.figure.canvas.draw()
    return [text.get_window_extent() for text in ax.texts]


@pytest.mark.parametrize("number", [5, 40, 500])
def test_labels_do_not_overlap(number):
    rng = np.random.default_rng(number)
    words = [f"long title, the {i}th (1995)" for i in range(number)]
    ax = plot_words(rng.normal(size=(number, 2)), words, NAMES)
    found = boxes(ax)
    assert min(number, 20) <= len(found) <= 40
    frame = ax.get_window_extent()
    for i, box in enumerate(found):
        assert not any(box.overlaps(other) for other in found[:i])
        assert frame.contains(*box.min)
        assert frame.contains(*box.max)
    # Each has its dot, and no label lies on one.
    dots = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(dots, [text.xy for text in ax.texts])
    for box in found:
        assert not any(box.contains(*p) for p in ax.transData.transform(dots))
    assert {text.get_text() for text in ax.texts} <= {*words[:40]}


@pytest.mark.parametrize("dpi", [50, 200])
def test_labels_stay_at_their_dots_at_any_resolution(dpi):
    _, ax = plt.subplots(layout="constrained")
    plot_words([[0, 0], [1, 2], [2, 1]], ["one", "two", "three"], NAMES, ax)
    ax.figure.set_dpi(dpi)
    for box, text in zip(boxes(ax), ax.texts, strict=True):
        x, y = ax.transData.transform(text.xy)
        gaps = np.maximum([box.x0 - x, box.y0 - y], [x - box.x1, y - box.y1])
        assert gaps.max() == pytest.approx(5 / 72 * dpi, abs=0.1 * dpi / 72)


def test_any_word_is_written_as_it_is():
    points = [[0, 0], [1, 1], [2, 0]]
    ax = plot_words(points, ["$5", "a" * 40, "x_$y^"], NAMES)
    boxes(ax)
    written = [text.get_text() for text in ax.texts]
    assert written == ["$5", "a" * 27 + "…", "x_$y^"]


def test_one_word_and_words_at_one_place():
    assert len(plot_words([[0, 0]], ["one"], NAMES).texts) == 1
    ax = plot_words(np.zeros((30, 2)), ["word"] * 30, NAMES)
    assert 1 <= len(boxes(ax)) <= 8
