"""What does an array look like? Each draws on `Axes` and returns them."""

from keras_fast.plots.curves import plot_losses, plot_lr_find, plot_schedule

__all__ = ["plot_losses", "plot_lr_find", "plot_schedule"]
