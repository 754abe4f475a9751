"""Holds imports, files and functions to docs/architecture.md."""

import ast
import graphlib
import importlib.metadata
import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import keras
import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]

FLOORS = [
    {"_checks", "finder", "plots", "schedules"},
    {"_files", "_keras", "search"},
    {"transfer"},
    {"layers", "losses", "metrics", "optimizers"},
    {"callbacks", "data", "features", "models"},
    {"inference", "training"},
    {"__init__"},
]
# Neighbours on these floors may import each other, without cycles.
OPEN_FLOORS = {0, 1}

PLAIN = {"__future__", "collections.abc", "functools", "math", "typing"}
# What these rooms may import from outside the package.
OUTSIDE = {
    "_checks": PLAIN | {"numbers", "operator"},
    "finder": PLAIN | {"bisect", "itertools", "numpy"},
    "plots": PLAIN | {"html", "matplotlib", "numpy"},
    "schedules": PLAIN,
    "search": PLAIN
    | {"dataclasses", "numbers", "numpy", "sklearn", "warnings"},
}
BACKENDS = ("tensorflow", "jax", "torch")
# Where Keras's inside is known, and backends are named: within functions, or
# in the whole of one module.
INSIDE = "_keras"
BACKENDS_ANYWHERE = "keras_fast._keras.gradients"

MOST_LINES = 300
MOST_FUNCTION_LINES = 40
MOST_ARGUMENTS = 6
MOST_CONSTRUCTOR_ARGUMENTS = 7
MOST_BUILDER_ARGUMENTS = 8
MOST_RECIPE_ARGUMENTS = 9
# `fit()` takes these: they are passed on and not counted.
PASSED_ON = {"self", "cls", *inspect.signature(keras.Model.fit).parameters}


class Import(NamedTuple):
    name: str  # dotted, with what a `from` import takes
    where: str  # "module", "function" or "typing"


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(p): p for p in sorted(ROOT.glob("keras_fast/**/*.py"))}


def room(module):
    return [*module.split("."), "__init__"][1]


def floor(module):
    for number, rooms in enumerate(FLOORS):
        if room(module) in rooms:
            return number
    raise AssertionError(
        f"{module} has no floor. Give it one in docs/architecture.md and here."
    )


def under(name, *tops):
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def named(node, package):
    """The dotted names that this one node imports."""
    match node:
        case ast.Import():
            return [alias.name for alias in node.names]
        case ast.ImportFrom():
            above = package.split(".")
            above = above[: len(above) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            return [f"{base}.{alias.name}" for alias in node.names]
        case ast.Attribute(value=ast.Name(id="keras"), attr="src"):
            return ["keras.src"]
        case ast.Call(
            func=ast.Name(id="import_module" | "__import__")
            | ast.Attribute(attr="import_module"),
            args=[ast.Constant(value=str(name)), *_],
        ):
            return [name]
    return []


def imports(source, package, where="module"):
    node = ast.parse(source) if isinstance(source, str) else source
    found = [Import(name, where) for name in named(node, package)]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        where = "function"
    typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    for child in ast.iter_child_nodes(node):
        inside = "typing" if typing and child in node.body else where
        found += imports(child, package, inside)
    return found


def imports_of(module):
    path = PATHS[module]
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    return imports(path.read_text(), package)


def home(name):
    """The module of ours that a dotted name leads to."""
    while name not in PATHS:
        name = name.rpartition(".")[0]
    return name


def fault(module, name, where):
    """Why `module` may not import `name` there, or None."""
    here = room(module)
    if under(name, "keras_fast"):
        target = home(name)
        same_room = room(target) == here
        if same_room or floor(target) < floor(module):
            return None
        if floor(target) == floor(module) and floor(module) in OPEN_FLOORS:
            return None
        return f"{target} is on floor {floor(target)}"
    if under(name, "matplotlib", "sklearn") and where == "module":
        return f"{name} is imported inside functions only"
    if under(name, *BACKENDS) and not (
        module == BACKENDS_ANYWHERE or (here == INSIDE and where == "function")
    ):
        return "no backend is named here"
    if under(name, "keras.src") and here != INSIDE:
        return "the inside of Keras is off limits here"
    if not under(name, *OUTSIDE.get(here, [name])):
        return f"{here} knows {sorted(OUTSIDE[here])} alone"
    return None


def functions(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def num_lines(function):
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
    return function.end_lineno - function.lineno + 1 - docstring


def num_arguments(function):
    given = function.args
    names = [a.arg for a in given.posonlyargs + given.args + given.kwonlyargs]
    return len([name for name in names if name not in PASSED_ON])


def faults(module, found):
    return [
        f"{module} imports {name}: {why}"
        for name, where in found
        if (why := fault(module, name, where))
    ]


@pytest.mark.parametrize("module", PATHS)
def test_module_imports_only_what_its_floor_may_know(module):
    assert faults(module, imports_of(module)) == []


def private_names_of_keras():
    """Attributes and functions of Keras that begin with an underscore."""
    sources = Path(keras.src.__file__).parent.rglob("*.py")
    pattern = re.compile(r"(?:self\.|cls\.|def )(_[a-z]\w*)")
    return {
        name
        for path in sources
        if not path.stem.endswith("_test")
        for name in pattern.findall(path.read_text(encoding="utf-8"))
    }


def taken_from_others(source):
    """Attributes of what is not `self`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(attr=name):
                yield name


def test_private_names_of_keras_are_in_one_room_alone():
    private = private_names_of_keras()
    assert {"_flatten_layers", "_var_key", "_iterations"} <= private
    found = {
        module: private.intersection(taken_from_others(path.read_text()))
        for module, path in PATHS.items()
        if room(module) != INSIDE
    }
    assert {module: names for module, names in found.items() if names} == {}


def undeclared(names, declared):
    """Packages among these imports that no requirement brings."""
    tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names
    brought_by = importlib.metadata.packages_distributions()
    declared = {re.match(r"[\w-]+", each)[0].lower() for each in declared}
    # A backend of Keras is the user's choice.
    ours = {"keras_fast", "jax", "torch"}
    return {
        top
        for top in tops - ours
        if not declared & {each.lower() for each in brought_by[top]}
    }


def test_what_is_imported_is_declared():
    project = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())
    project = project["project"]
    search = project["optional-dependencies"]["search"]
    declared = project["dependencies"] + search
    names = {name for module in PATHS for name, _ in imports_of(module)}
    assert undeclared(names, declared) == set()
    fewer = [each for each in declared if not each.startswith("pillow")]
    assert undeclared(names, fewer) == {"PIL"}


def test_no_import_cycles():
    graph = {
        module: {
            home(name)
            for name, where in imports_of(module)
            if under(name, "keras_fast") and where != "typing"
        }
        - {module}
        for module in PATHS
    }
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", PATHS)
def test_file_fits(module):
    assert len(PATHS[module].read_text().splitlines()) <= MOST_LINES


@pytest.mark.parametrize("module", PATHS)
def test_functions_fit(module):
    for function in functions(PATHS[module].read_text()):
        where = f"{module}, {function.name}, line {function.lineno}"
        most = MOST_ARGUMENTS
        public = function.name[0] != "_"
        if function.name == "__init__":
            most = MOST_CONSTRUCTOR_ARGUMENTS
        elif room(module) == "models" and public:
            most = MOST_BUILDER_ARGUMENTS
        elif room(module) == "training" and public:
            most = MOST_RECIPE_ARGUMENTS
        assert num_lines(function) <= MOST_FUNCTION_LINES, where
        assert num_arguments(function) <= most, where


def test_the_page_names_every_room():
    page = ROOT.joinpath("docs/architecture.md").read_text()
    for name in {room(module) for module in PATHS} - {"__init__"}:
        assert f"`{name}.py`" in page or f"`{name}/`" in page, name


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("keras_fast.schedules", "import numpy"),
        ("keras_fast.schedules", "import collections"),
        ("keras_fast.schedules", "from keras import ops"),
        ("keras_fast.finder.rules", "def f():\n    import keras"),
        ("keras_fast.plots", "from matplotlib import pyplot"),
        ("keras_fast.search.x", "import sklearn"),
        ("keras_fast.search.x", "def f():\n    import keras"),
        ("keras_fast.training.x", "try:\n    import matplotlib\nfinally: ..."),
        ("keras_fast.callbacks.x", "def f():\n    import tensorflow as tf"),
        (
            "keras_fast.callbacks.x",
            "import importlib as i\ni.import_module('jax')",
        ),
        ("keras_fast._keras.state", "import torch"),
        ("keras_fast.transfer.groups", "from keras.src import backend"),
        ("keras_fast.transfer.groups", "import keras\nkeras.src.backend"),
        ("keras_fast.transfer.groups", "from keras import src"),
        ("keras_fast._checks", "from keras_fast import transfer"),
        ("keras_fast._checks", "def f():\n    from . import transfer"),
        ("keras_fast.finder.rules", "from keras_fast import __version__"),
    ],
)
def test_the_rules_refuse(module, source):
    found = imports(source, module.rpartition(".")[0])
    assert len(faults(module, found)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("keras_fast.schedules", "from collections.abc import Callable"),
        ("keras_fast.plots", "def f():\n    import matplotlib.pyplot"),
        (
            "keras_fast.plots",
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from matplotlib.axes import Axes",
        ),
        ("keras_fast.search.x", "def f():\n    import sklearn"),
        ("keras_fast._keras.gradients", "import tensorflow as tf"),
        ("keras_fast._keras.state", "def f():\n    import torch"),
        ("keras_fast._keras.rebind", "from keras.src import backend"),
        ("keras_fast.callbacks.x", "from keras_fast import schedules"),
        ("keras_fast.callbacks.x", "import keras\nkeras.ops.abs"),
    ],
)
def test_the_rules_allow(module, source):
    assert faults(module, imports(source, module.rpartition(".")[0])) == []


def test_sizes_are_counted_as_the_page_says():
    source = '''
def f(model, x, y=None, *rest, batch_size=None, a, b=2, **fit_kwargs):
    """One.

    Two.
    """

    def g():
        return a
    return g
'''
    outer, inner = functions(source)
    assert (num_lines(outer), num_arguments(outer)) == (5, 3)
    assert (num_lines(inner), num_arguments(inner)) == (2, 0)
