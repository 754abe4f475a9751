"""A `.keras` file that someone has made up: nothing in it is run."""

import json
import zipfile

import keras
import pytest

from keras_fast.optimizers import DiscriminativeOptimizer


def config_of(module, name, config, **more):
    return {"module": module, "class_name": name, "config": config, **more}


# What stands where the inner optimizer should.
FORGED = {
    "command": lambda canary: config_of("os", "mkdir", str(canary)),
    "function": lambda canary: config_of(
        "builtins", "function", "mkdir", registered_name="os"
    ),
    "ours": lambda canary: config_of(
        "keras_fast._files.io", "write_file", {"path": str(canary)}
    ),
    "switch": lambda canary: config_of(
        "keras.config", "enable_unsafe_deserialization", {}
    ),
    "lambda": lambda canary: config_of(
        "keras.layers",
        "Lambda",
        {
            "function": {
                "class_name": "__lambda__",
                "config": {"code": "4wAA", "defaults": None, "closure": None},
            }
        },
    ),
    "saved model": lambda canary: config_of(
        "keras.layers", "TFSMLayer", {"filepath": str(canary)}
    ),
    "layer": lambda canary: config_of("keras.layers", "Dense", {"units": 1}),
    "string": lambda canary: "os.mkdir",
}


def saved(path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = DiscriminativeOptimizer(keras.optimizers.SGD(0.1), [0.1, 1.0])
    model.compile(optimizer, "mse")
    model.save(path)


def forge(path, forged, inner):
    """The same file, but for the configuration of the inner optimizer."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(forged, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                fields = json.loads(content)
                compiled = fields["compile_config"]["optimizer"]["config"]
                compiled["inner_optimizer"] = inner
                content = json.dumps(fields)
            new.writestr(name, content)


@pytest.mark.parametrize("name", FORGED)
def test_an_inner_optimizer_that_is_none(tmp_path, name):
    canary = tmp_path / "canary"
    saved(tmp_path / "model.keras")
    forge(tmp_path / "model.keras", tmp_path / "f.keras", FORGED[name](canary))
    with pytest.raises((TypeError, ValueError)):
        keras.saving.load_model(tmp_path / "f.keras")
    assert not canary.exists()
    # Nor does loading it make the next file less safe.
    assert keras.src.saving.serialization_lib.in_safe_mode() is None
