"""The API pages show every public name."""

import importlib

from conftest import SITE
from mkdocstrings import Inventory

ROOMS = ["callbacks", "data", "inference", "layers", "losses"]
ROOMS += ["metrics", "models", "optimizers", "schedules"]
MODULES = ["keras_fast", *(f"keras_fast.{room}" for room in ROOMS)]


def test_every_public_name_is_in_the_reference():
    with (SITE / "objects.inv").open("rb") as file:
        shown = Inventory.parse_sphinx(file, domain_filter=("py",))
    missing = [
        name
        for module in map(importlib.import_module, MODULES)
        for name in module.__all__
        if callable(thing := getattr(module, name))
        # A page may show a thing by the name of its file.
        and f"{module.__name__}.{name}" not in shown
        and f"{thing.__module__}.{name}" not in shown
    ]
    assert not missing
