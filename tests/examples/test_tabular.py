"""The example of a table, on a few diamonds with a known price."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.once


def diamonds(package, name):
    assert (package, name) == ("ggplot2", "diamonds")
    rng = np.random.default_rng(0)
    n = 2000
    carat = rng.uniform(0.5, 1.5, n)
    clarity = rng.choice(["SI1", "VS1"], n)
    price = 4000 * carat**2 * np.where(clarity == "VS1", 1.5, 1)
    return pd.DataFrame(
        {
            "cut": rng.choice(["Fair", "Ideal"], n),
            "color": rng.choice(["D", "E"], n),
            "clarity": clarity,
            "carat": carat,
            **{name: rng.normal(60, 2, n) for name in ("depth", "table")},
            **{name: rng.normal(6, 1, n) for name in "xyz"},
            "price": price,
        }
    )


@pytest.fixture
def tabular(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import tabular

    monkeypatch.setattr(tabular, "load", diamonds)
    return tabular


def test_it_learns_what_a_diamond_costs(tabular, monkeypatch, capsys):
    monkeypatch.setattr(tabular, "BATCH_SIZE", 32)
    tabular.main()
    errors, columns, prices = capsys.readouterr().out.split("\n\n")
    rmse = [float(line.split()[-1]) for line in errors.splitlines()[1:]]
    mean, _, network = rmse
    assert network < mean / 5
    names = [line.split()[0] for line in columns.splitlines()[1:]]
    assert names[:2] == ["carat", "clarity"]
    assert {*names} == {*tabular.WORDS, *tabular.NUMBERS}
    # The cut does not matter, so that neither does a missing one.
    for price in prices.splitlines()[1].split():
        number = float(price.strip(",").replace("$", "").replace(",", ""))
        assert number == pytest.approx(6000, rel=0.15)
