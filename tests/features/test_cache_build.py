"""What a build of a feature cache makes, and what it refuses."""

import warnings

import numpy as np
import pytest
from harness import ROWS, body, digest, inputs, labels, make

pytestmark = pytest.mark.usefixtures("small_cache")


def test_the_batch_size_changes_nothing(tmp_path, clean):
    for size in (1, 3, ROWS, 1000):
        make(tmp_path / str(size), size=size)
        assert digest(tmp_path / str(size)) == clean


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x[:-5], "same rows each time"),
        (lambda x: np.concatenate([x, x]), "same rows each time"),
        (lambda x: x[:0], "at least one row"),
    ],
)
def test_other_rows_under_the_same_key(tmp_path, change, words):
    make(tmp_path)
    (tmp_path / "features-00-000001").unlink()
    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match=words),
    ):
        warnings.simplefilter("ignore")
        x = change(inputs())
        if not len(x):
            (tmp_path / "complete").unlink()
        make(tmp_path, x=x)


def test_views_are_passes_of_their_own(tmp_path):
    cache = make(tmp_path, views=3)
    for view in range(3):
        features, found = cache.arrays(view)
        np.testing.assert_array_equal(features, body(inputs() + view))
        np.testing.assert_array_equal(found, labels(inputs()))


@pytest.mark.parametrize(
    ("extract", "words"),
    [
        (lambda x: x[:-1], "one row of features for each row"),
        (lambda x: x[:, : 3 + int(x[0, 0]) % 5], "one shape and dtype"),
        (lambda x: x.astype("U"), "`body` must give numbers"),
    ],
)
def test_features_that_are_none(tmp_path, extract, words):
    with pytest.raises(ValueError, match=words):
        make(tmp_path, extract=extract)
