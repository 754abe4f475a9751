import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import pyplot as plt

from keras_fast.plots.marginals import plot_curve

pytestmark = pytest.mark.once

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def curve(values):
    mean = np.linspace(0.2, 0.4, len(values))
    ax = plot_curve(values, mean, np.full(len(values), 0.1), ("lr", "loss"))
    ax.figure.canvas.draw()
    return ax


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1e-4, 1e-3, 1e-2], "log"),
        ([3e-3, 1e-2, 3e-2, 1e-1], "log"),
        ([16, 32, 64], "linear"),
        ([0.01, 0.2, 0.4, 0.6], "linear"),
        ([0.0, 0.3, 0.6], "linear"),
        ([0, 1e-4, 1e-2], "symlog"),
        ([-1e-4, 1e-2], "linear"),
        ([0], "linear"),
        ([0.01, 1.0, None], "log"),
    ],
)
def test_numbers_over_powers_of_ten_have_a_log_axis(values, scale):
    ax = curve(values)
    assert ax.get_xscale() == scale
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("lr", "loss")
    numbers = [value for value in values if value is not None]
    np.testing.assert_array_equal(ax.get_lines()[0].get_xdata(), numbers)


def test_curves_on_the_same_axes_are_told_apart():
    ax = curve([1, 2])
    plot_curve([1, 2], np.ones(2), np.ones(2), ("lr", "loss"), ax)
    first, second = ax.get_lines()
    assert first.get_color() != second.get_color()


def test_none_beside_numbers_is_a_line_of_its_own():
    ax = curve([0.5, 1.0, None])
    assert ax.get_lines()[1].get_ydata() == pytest.approx([0.4, 0.4])
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["None"]
    assert curve([0.5, 1.0]).get_legend() is None


@pytest.mark.parametrize(
    "values", [["sgd", "adam"], [False, True], ["relu", None]]
)
def test_categories_are_points(values):
    ax = curve(values)
    assert ax.get_lines()[0].get_linestyle() == "None"
    assert [t.get_text() for t in ax.get_xticklabels()] == list(
        map(str, values)
    )
