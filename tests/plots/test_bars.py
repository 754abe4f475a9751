"""Are bars in their order, with the spread at their ends?"""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_fast.plots.bars import plot_bars

pytestmark = pytest.mark.once


def drawn(ax):
    """Name, length and ends of the spread of each bar, from the top."""
    ax.figure.canvas.draw()
    assert ax.yaxis_inverted()
    bars = [bar.get_width() for bar in ax.patches]
    spread = [line[:, 0] for line in ax.collections[0].get_segments()]
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    return names, bars, np.array(spread)


def test_the_largest_is_at_the_top():
    _, ax = plt.subplots()
    names, values = ["a", "$b$ c_d^", "c"], [0.1, 0.3, -0.2]
    assert plot_bars(names, values, [0.01, 0.02, 0.0], "increase", ax) is ax
    names, bars, spread = drawn(ax)
    assert (names, bars) == (["$b$ c_d^", "a", "c"], [0.3, 0.1, -0.2])
    ends = [[0.28, 0.32], [0.09, 0.11], [-0.2, -0.2]]
    np.testing.assert_allclose(spread, ends)
    assert ax.get_xlabel() == "increase"
    assert ax.get_title() == ""


def test_of_many_the_largest_are_drawn():
    values = np.random.default_rng(0).normal(size=100)
    ax = plot_bars([*map(str, range(100))], values, np.zeros(100), "loss")
    names, bars, _ = drawn(ax)
    order = np.argsort(-values)[:30]
    assert names == [str(i) for i in order]
    assert bars == values[order].tolist()
    assert ax.get_title() == "the largest 30 of 100"
