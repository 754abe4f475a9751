"""Imports for the process that all tutorials are forks of.

Only what does not change while `mkdocs serve` runs: not this package.
"""

import sys
from contextlib import redirect_stderr


class _Later:
    """Standard error as it is when something is written, not on import.

    TensorFlow's logger keeps the stream that it finds, and a tutorial's cells
    have one of their own.
    """

    def __getattr__(self, name):
        now = sys.__stderr__ if sys.stderr is self else sys.stderr
        return getattr(now, name)


with redirect_stderr(_Later()):
    import keras  # noqa: F401
    import matplotlib.pyplot  # noqa: F401
    import tensorflow


# With autotuning, garbage collection of an iterator can wait for a minute for
# its threads, and nothing else runs meanwhile.
def _untuned(dataset, begin=tensorflow.data.Dataset.__iter__):
    options = tensorflow.data.Options()
    options.autotune.enabled = False
    return begin(dataset.with_options(options))


tensorflow.data.Dataset.__iter__ = _untuned
