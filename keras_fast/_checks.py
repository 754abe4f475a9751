"""Is this argument valid? Each check returns it or explains what is wrong.

Every message has three parts: what was expected, how to fix it, and
`Received: name=value`. A wrong type is a `TypeError`, a wrong value of the
right type a `ValueError`. `bool` does not count as a number here, nor does a
string that looks like one.
"""

import math
import numbers
import operator
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, NoReturn

__all__ = [
    "at_least",
    "between",
    "compiled",
    "finite",
    "fraction",
    "function",
    "given",
    "known_length",
    "model",
    "no_batch",
    "non_negative",
    "not_empty",
    "one_of",
    "path",
    "positive",
    "several",
    "share",
    "shown",
    "string",
    "verbosity",
    "vocabulary",
    "whole",
]

# Maximum length of a value in an error message, in characters.
LONGEST = 200


def finite(name: str, value: Any) -> float:
    """A finite number, as a Python float."""
    number = _real(name, value, "a finite number")
    if not math.isfinite(number):
        _refuse(name, value, "a finite number", "Pass neither NaN nor inf.")
    return number


def not_empty(num_batches: int | None) -> None:
    """Check that there is data, unless its length is unknown."""
    if num_batches == 0:
        raise no_batch("x")


def no_batch(received: str) -> ValueError:
    """The error for data that turns out to be empty."""
    return ValueError(
        "`x` must have at least one batch. Check the length of the data. "
        f"Received: {received} of no batch"
    )


def known_length(needed_by: str, steps: int | None) -> int:
    """The number of batches in an epoch, which must be known."""
    if steps is None:
        raise ValueError(
            f"The length of an epoch must be known for {needed_by}. Give a "
            "`tf.data.Dataset` its length, `dataset.apply(tf.data.experimental."
            "assert_cardinality(num_batches))`, or pass `steps_per_epoch` to "
            "`fit()` with data that has no end, such as `dataset.repeat()`. "
            "Received: steps_per_epoch=None"
        )
    return steps


def path(name: str, value: Any) -> Any:
    """The path of a file or a folder."""
    if not isinstance(value, str) and not hasattr(value, "__fspath__"):
        _refuse(name, value, "a path", "Pass a str or a Path.", TypeError)
    if not str(value):
        _refuse(name, value, "a path", "Pass one that is not empty.")
    return value


def positive(name: str, value: Any) -> float:
    """A finite number above 0."""
    number = _real(name, value, "a finite number above 0")
    if not (math.isfinite(number) and number > 0):
        _refuse(
            name, value, "a finite number above 0", "Pass one such as 0.001."
        )
    return number


def non_negative(name: str, value: Any) -> float:
    """A finite number of 0 or more."""
    return at_least(name, value, 0)


def at_least(name: str, value: Any, minimum: float) -> float:
    """A finite number of `minimum` or more."""
    expected = f"a finite number of at least {minimum}"
    number = _real(name, value, expected)
    if not (math.isfinite(number) and number >= minimum):
        _refuse(name, value, expected, f"Pass {minimum} or more.")
    return number


def between(name: str, value: Any, low: float, high: float) -> float:
    """A finite number from `low` to `high`, both included."""
    expected = f"a number from {low} to {high}"
    number = _real(name, value, expected)
    if not low <= number <= high:
        _refuse(name, value, expected, f"Pass one from {low} to {high}.")
    return number


def fraction(name: str, value: Any) -> float:
    """A share strictly between 0 and 1."""
    expected = "a fraction between 0 and 1, both excluded"
    number = _real(name, value, expected)
    if not 0 < number < 1:
        _refuse(
            name, value, expected, "Pass 0.25 for a quarter (25 %), not 25."
        )
    return number


def model(value: Any) -> Any:
    """A model; recognized by its methods, so that Keras is not needed."""
    if isinstance(value, type) or not hasattr(value, "compiled"):
        _refuse("model", value, "a Keras model", "Pass the model.", TypeError)
    return value


def compiled(value: Any) -> Any:
    """A compiled model."""
    model(value)
    if not value.compiled or value.optimizer is None:
        raise ValueError(
            "`model` must be compiled. Call `model.compile(optimizer, loss)` "
            f"first. Received: model={value.name} (not compiled)"
        )
    return value


def given(value: Any) -> Any:
    """Data to train on, of any kind."""
    if value is None:
        _refuse(
            "x",
            value,
            "the data to train on",
            "Pass what `fit()` takes: arrays `x` and `y`, or a dataset.",
            TypeError,
        )
    return value


def share(name: str, value: Any, such_as: float) -> float:
    """A number of at least 0 and below 1; the error suggests one."""
    expected = "a number of at least 0 and below 1"
    number = _real(name, value, expected)
    if not 0 <= number < 1:
        _refuse(name, value, expected, f"Pass one such as {such_as}.")
    return number


def verbosity(value: Any) -> Any:
    """A value of `verbose` that `fit()` accepts."""
    if value not in ("auto", 0, 1, 2):
        _refuse(
            "verbose",
            value,
            "'auto', 0, 1 or 2",
            "Pass 0 for no progress bar, or 1 for one.",
        )
    return value


def whole(name: str, value: Any, minimum: int = 1) -> int:
    """A whole number of `minimum` or more, as a Python int."""
    expected = f"a whole number of at least {minimum}"
    remedy = f"Pass an int of {minimum} or more."
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        _refuse(name, value, expected, remedy, TypeError)
    try:
        number = operator.index(value)
    except TypeError:  # an array of floats has `__index__` and refuses it
        _refuse(name, value, expected, remedy, TypeError)
    if number < minimum:
        _refuse(name, value, expected, remedy)
    return number


def one_of(name: str, value: Any, choices: Sequence[str]) -> str:
    """One of the strings in `choices`."""
    listed = ", ".join(repr(choice) for choice in choices)
    if not isinstance(value, str):
        _refuse(
            name,
            value,
            f"one of {listed}",
            "Pass one of these strings.",
            TypeError,
        )
    if value not in choices:
        _refuse(name, value, f"one of {listed}", "Check its spelling.")
    return value


def string(name: str, value: Any) -> str:
    """A string that names something."""
    if not isinstance(value, str) or not value:
        _refuse(name, value, "a name", "Pass a str.", TypeError)
    return value


def vocabulary(name: str, value: Any) -> list[str]:
    """Words in the order of their ids: from a list, or a dict of word to id."""
    if isinstance(value, Mapping):
        by_id = {i: word for word, i in value.items()}
        value = [by_id.get(i) for i in range(len(value))]
    words = several(name, value)
    places: dict[Any, int] = {}
    for i, word in enumerate(words):
        where, remedy = f"{name}[{i}]", "Number the words from 0, without gaps."
        if word is None:
            _refuse(where, word, "a word", remedy)
        if not isinstance(word, str):
            _refuse(where, word, "a word", "Pass words as str.", TypeError)
        if places.setdefault(word, i) != i:
            expected = f"another word than `{name}[{places[word]}]`"
            _refuse(where, word, expected, "Give each word one id.")
    if not words:
        _refuse(name, value, "a vocabulary", "Pass its words, by their ids.")
    return words


def function(name: str, value: Any) -> Callable[..., Any]:
    """Something that can be called."""
    if not callable(value):
        _refuse(
            name,
            value,
            "callable",
            "Pass the function itself, not its result.",
            TypeError,
        )
    return value


def several(name: str, value: Any) -> list[Any]:
    """The items of a list, tuple or array, in their order."""
    expected = "a list or a tuple"
    if isinstance(value, str | Mapping | Set):
        _refuse(name, value, expected, "Pass one.", TypeError)
    try:
        return list(value)
    except TypeError:
        _refuse(name, value, expected, "Pass one.", TypeError)


def shown(value: Any) -> str:
    """Its `repr` in one line, shortened if it is too long."""
    line = " ".join(repr(value).split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _real(name: str, value: Any, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        remedy = "Pass a Python or NumPy number; convert anything else first."
        if hasattr(type(value), "suggestion"):  # of `lr_find`
            remedy = "Pass its `suggestion`."
        elif isinstance(value, slice):
            remedy = (
                "Pass one number. Rates of layer groups are for "
                "`layer_multipliers` and `DiscriminativeOptimizer`."
            )
        _refuse(name, value, expected, remedy, TypeError)
    try:
        return float(value)
    except OverflowError:  # an int too large for a float counts as infinite
        return -math.inf if value < 0 else math.inf


def _refuse(
    name: str,
    value: Any,
    expected: str,
    remedy: str,
    error: type[Exception] = ValueError,
) -> NoReturn:
    raise error(
        f"`{name}` must be {expected}. {remedy} Received: {name}={shown(value)}"
    )
