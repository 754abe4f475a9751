import warnings

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib import axes, colors
from matplotlib import pyplot as plt

from keras_fast import LRFinderResult, callbacks, plots
from keras_fast.finder import rules as curves

pytestmark = pytest.mark.once

mpl.use("Agg")


@pytest.fixture(autouse=True)
def _strict_and_closed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    plt.close("all")


def drawn(ax):
    ax.figure.canvas.draw()
    return ax


def sweep():
    rates = np.geomspace(1e-7, 10.0, 100)
    losses = 1 + (np.log10(rates) + 2) ** 2
    return rates, losses, curves.smooth(losses)


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_lr_find_draws_what_it_is_given():
    rates, losses, smoothed = sweep()
    found = {"highest": 1e-2, "valley": None, "minimum": 1e-3}
    ax = drawn(plots.plot_lr_find(rates, losses, smoothed, found))
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "learning rate (log scale)"
    assert ax.get_ylabel() == "training loss"
    raw, strong, *dots = [
        line for line in ax.get_lines() if line.get_label()[0] != "_"
    ]
    np.testing.assert_array_equal(raw.get_xdata(), rates[10:-5])
    np.testing.assert_array_equal(raw.get_ydata(), losses[10:-5])
    np.testing.assert_array_equal(strong.get_ydata(), smoothed[10:-5])
    assert strong.get_linewidth() > raw.get_linewidth()
    assert [dot.get_xdata()[0] for dot in dots] == [1e-2, 1e-3]
    height = np.interp(1e-2, rates, smoothed)
    assert dots[0].get_ydata()[0] == pytest.approx(height)
    assert dots[0].get_markersize() > dots[1].get_markersize()
    assert legend(ax)[2:] == ["highest: 1.0e-02", "minimum: 1.0e-03"]


def test_lr_find_skips():
    rates, losses, smoothed = sweep()
    ax = plots.plot_lr_find(rates, losses, smoothed, {}, skip=(0, 0))
    assert len(ax.get_lines()[0].get_xdata()) == 100


def test_lr_find_skips_no_suggestion():
    rates, losses, smoothed = sweep()
    found = {"valley": rates[4], "minimum": rates[97]}
    ax = plots.plot_lr_find(rates, losses, smoothed, found)
    line, _, *dots = ax.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), rates[4:98])
    heights = [d.get_ydata()[0] for d in dots if d.get_label()[0] != "_"]
    np.testing.assert_allclose(heights, smoothed[[4, 97]])


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [1.0],
        [np.nan],
        [np.nan] * 40,
        [np.inf] * 40,
        [2.0, np.nan, 1.0],
        [1.0] * 40,
        [1.0] * 20 + [np.inf] * 20,
    ],
    ids=["none", "one", "one nan", "nan", "inf", "three", "flat", "blown up"],
)
@pytest.mark.matrix(4)
def test_odd_curves_draw_without_a_warning(losses):
    rates = np.geomspace(1e-7, 10.0, len(losses)) if len(losses) else []
    smoothed = curves.smooth(losses)
    for found in ({}, {"highest": 0.1, "valley": None}, {"highest": None}):
        drawn(plots.plot_lr_find(rates, losses, smoothed, found))
    drawn(plots.plot_losses(losses))
    drawn(plots.plot_losses({"a": losses}, smoothing=0))
    drawn(plots.plot_schedule({"learning_rate": losses}))
    drawn(plots.plot_schedule({"learning_rate": losses, "momentum": losses}))


def test_schedule_has_a_second_scale_for_momentum():
    rates, momentums = [0.1, 1.0, 0.1], [0.95, 0.85, 0.95]
    ax = drawn(
        plots.plot_schedule({"learning_rate": rates, "momentum": momentums})
    )
    (other,) = [a for a in ax.figure.axes if a is not ax]
    assert ax.get_xlabel() == "update"
    assert ax.get_ylabel() == "learning rate"
    assert other.get_ylabel() == "momentum"
    assert ax.get_lines()[0].get_ydata().tolist() == rates
    assert other.get_lines()[0].get_ydata().tolist() == momentums
    assert legend(ax) == ["learning rate", "momentum"]
    assert other.spines["right"].get_visible()


def test_a_frame_is_drawn_only_where_a_scale_is():
    rates, losses, smoothed = sweep()
    for ax in (
        plots.plot_lr_find(rates, losses, smoothed, {}),
        plots.plot_losses(losses),
        plots.plot_schedule({"learning_rate": rates}),
    ):
        shown = {side for side, s in ax.spines.items() if s.get_visible()}
        assert shown == {"left", "bottom"}


def test_losses_are_smoothed_over_the_raw_ones():
    runs = {"1cycle": [3.0, 1.0, 2.0], "constant": [3.0, 2.0]}
    ax = drawn(plots.plot_losses(runs, smoothing=0.5))
    lines = ax.get_lines()
    assert len(lines) == 4
    assert lines[0].get_ydata().tolist() == runs["1cycle"]
    smoothed = curves.smooth(runs["1cycle"], 0.5)
    np.testing.assert_allclose(lines[1].get_ydata(), smoothed)
    assert ax.get_xlabel() == "update"
    assert ax.get_ylabel() == "training loss"
    assert legend(ax) == ["1cycle", "constant"]
    assert len({colors.to_hex(line.get_color()) for line in lines}) == 2


def test_they_draw_on_the_axes_given_and_open_no_other():
    _, axes = plt.subplots(1, 3)
    rates, losses, smoothed = sweep()
    assert plots.plot_lr_find(rates, losses, smoothed, {}, axes[0]) is axes[0]
    assert plots.plot_schedule({"learning_rate": rates}, axes[1]) is axes[1]
    assert plots.plot_losses(losses, axes[2]) is axes[2]
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("count", [0, 1, 40])
def test_every_plot_method_draws_nan_and_returns_its_axes(count):
    rates = np.geomspace(1e-7, 10.0, count)
    nans = np.full(count, np.nan)
    result = LRFinderResult(rates, nans, nans, "non_finite", {"highest": None})
    recorder = callbacks.Recorder()
    recorder._batches = dict.fromkeys(recorder._batches, nans)
    methods = [result.plot, recorder.plot, recorder.plot_schedule]
    methods += [
        lambda: callbacks.OneCycle(0.1).plot(max(count, 1)),
        lambda: callbacks.OneCycle(0.1, momentums=None).plot(max(count, 1)),
    ]
    for method in methods:
        assert isinstance(drawn(method()), axes.Axes)
