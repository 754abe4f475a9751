import math
from fractions import Fraction

import numpy as np
import pytest

from keras_fast import _checks

pytestmark = pytest.mark.once

ACCEPTED = [
    (_checks.finite, (-2,), -2.0),
    (_checks.finite, (np.float32(0.5),), 0.5),
    (_checks.finite, (np.int64(3),), 3.0),
    (_checks.finite, (Fraction(1, 4),), 0.25),
    (_checks.positive, (1e-300,), 1e-300),
    (_checks.non_negative, (0,), 0.0),
    (_checks.at_least, (1, 1), 1.0),
    (_checks.between, (0, 0, 1), 0.0),
    (_checks.between, (1, 0, 1), 1.0),
    (_checks.fraction, (0.25,), 0.25),
    (_checks.share, (0, 0.5), 0.0),
    (_checks.whole, (1,), 1),
    (_checks.whole, (np.int32(7), 7), 7),
    (_checks.whole, (0, 0), 0),
    (_checks.one_of, ("a", ("a", "b")), "a"),
    (_checks.function, (len,), len),
    (_checks.vocabulary, (("b", "a"),), ["b", "a"]),
    (_checks.vocabulary, ({"a": 1, "b": np.int64(0)},), ["b", "a"]),
]


@pytest.mark.parametrize(("check", "arguments", "expected"), ACCEPTED)
def test_accepted_and_returned(check, arguments, expected):
    got = check("argument", *arguments)
    assert got == expected
    assert type(got) is type(expected)


NUMBERS = [
    (_checks.finite, ()),
    (_checks.positive, ()),
    (_checks.non_negative, ()),
    (_checks.at_least, (1,)),
    (_checks.between, (0, 1)),
    (_checks.fraction, ()),
    (_checks.share, (0.5,)),
]


@pytest.mark.parametrize(("check", "limits"), NUMBERS)
def test_no_numbers(check, limits):
    for value in (True, np.True_, "0.5", None, [0.5], 1j, np.zeros(2)):
        with pytest.raises(TypeError) as caught:
            check("rate", value, *limits)
        assert str(caught.value).startswith("`rate` must be a ")
        assert str(caught.value).endswith(f" Received: rate={value!r}")
    for value in (math.nan, math.inf, -math.inf, np.float32("nan"), -(10**400)):
        with pytest.raises(ValueError, match="Received: rate="):
            check("rate", value, *limits)


REFUSED = [
    (_checks.positive, (0,), ValueError),
    (_checks.non_negative, (-1e-9,), ValueError),
    (_checks.at_least, (0.99, 1), ValueError),
    (_checks.between, (1.01, 0, 1), ValueError),
    (_checks.fraction, (0,), ValueError),
    (_checks.fraction, (1,), ValueError),
    (_checks.share, (1, 0.5), ValueError),
    (_checks.whole, (0,), ValueError),
    (_checks.whole, (-3, 0), ValueError),
    (_checks.whole, (3.0,), TypeError),
    (_checks.whole, (True,), TypeError),
    (_checks.whole, ("3",), TypeError),
    (_checks.whole, (np.zeros(2),), TypeError),
    (_checks.one_of, ("c", ("a", "b")), ValueError),
    (_checks.one_of, (1, ("a", "b")), TypeError),
    (_checks.function, (3,), TypeError),
]


@pytest.mark.parametrize(("check", "arguments", "error"), REFUSED)
def test_refused(check, arguments, error):
    with pytest.raises(error) as caught:
        check("argument", *arguments)
    message = str(caught.value)
    assert message.startswith("`argument` must be ")
    assert message.endswith(f" Received: argument={arguments[0]!r}")
    expected_remedy_received = message.count(". ")
    assert expected_remedy_received >= 2


def test_the_whole_sentence():
    with pytest.raises(ValueError) as caught:
        _checks.fraction("pct_start", 25)
    assert str(caught.value) == (
        "`pct_start` must be a fraction between 0 and 1, both excluded. "
        "Pass 0.25 for a quarter (25 %), not 25. Received: pct_start=25"
    )
    with pytest.raises(ValueError) as caught:
        _checks.one_of("mode", "up", ("a", "b"))
    assert str(caught.value) == (
        "`mode` must be one of 'a', 'b'. Check its spelling. "
        "Received: mode='up'"
    )
    with pytest.raises(ValueError) as caught:
        _checks.share("dropout", 2, 0.5)
    assert str(caught.value) == (
        "`dropout` must be a number of at least 0 and below 1. Pass one such "
        "as 0.5. Received: dropout=2"
    )


def test_a_value_is_shown_in_one_short_line():
    assert _checks.shown(np.zeros((2, 2))) == "array([[0., 0.], [0., 0.]])"
    line = _checks.shown(np.zeros((50, 50)))
    assert len(line) == 200
    assert line.endswith("...")
    assert "\n" not in line
