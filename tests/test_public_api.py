"""The public names, what their docstrings promise, and what importing costs."""

import ast
import doctest
import importlib
import inspect
import io
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_fast

ROOT = Path(__file__).parents[1]
PUBLIC = {
    "keras_fast": [
        "CorruptFileError",
        "FeatureCache",
        "FileVersionError",
        "FineTuneHistory",
        "LRFinderResult",
        "__version__",
        "cache_features",
        "callbacks",
        "data",
        "decay_weights_only",
        "fine_tune",
        "freeze",
        "freeze_to",
        "gradual_unfreeze",
        "inference",
        "layer_groups",
        "layer_multipliers",
        "layers",
        "losses",
        "lr_find",
        "lsuv_init",
        "metrics",
        "models",
        "optimizers",
        "predict_tta",
        "progressive_resizing",
        "schedules",
        "search",
        "split_head",
        "training_plan",
        "unfreeze",
        "update_batch_norm",
    ],
    "keras_fast.callbacks": [
        "CycleStopping",
        "CyclicalLR",
        "FlatCosine",
        "LRFinder",
        "OneCycle",
        "ParamScheduler",
        "Recorder",
        "ResumableCheckpoint",
        "SGDR",
        "SampleImages",
        "SampleText",
        "SlantedTriangular",
        "SnapshotEnsemble",
        "WeightAveraging",
    ],
    "keras_fast.data": [
        "AugTransforms",
        "TableEncoder",
        "TextBatches",
        "TextStream",
        "WordVectors",
        "crappify",
        "load_images",
        "mix",
        "show_batch",
        "verify_images",
        "word_vectors",
    ],
    "keras_fast.inference": [
        "ColumnEmbedding",
        "ConfusionMatrix",
        "FeatureImportance",
        "GradCAM",
        "LabelReport",
        "LossLandscape",
        "TextGenerator",
        "TextHeatmap",
        "TopLosses",
        "confusion_matrix",
        "corners_and_flips",
        "dihedral",
        "embeddings",
        "feature_importance",
        "flips",
        "grad_cam",
        "label_report",
        "loss_landscape",
        "most_confused",
        "show_results",
        "text_heatmap",
        "top_losses",
    ],
    "keras_fast.layers": [
        "ActivationRegularization",
        "Bias",
        "ConcatPooling",
        "Embedding",
        "ICNR",
        "PixelShuffle",
        "ScaledSigmoid",
        "SoftArgmax",
        "WeightDropLSTM",
    ],
    "keras_fast.losses": ["FeatureLoss"],
    "keras_fast.metrics": ["Perplexity"],
    "keras_fast.models": [
        "GAN",
        "collaborative_filter",
        "critic",
        "efficientnet_lite0",
        "image_classifier",
        "language_model",
        "match_embeddings",
        "point_regressor",
        "tabular_model",
        "text_classifier",
        "text_encoder",
        "unet",
    ],
    "keras_fast.optimizers": ["DiscriminativeOptimizer"],
    "keras_fast.schedules": [
        "cosine",
        "exponential",
        "flat_cosine",
        "join",
        "linear",
        "one_cycle",
        "polynomial",
        "sgdr",
        "slanted_triangular",
        "triangular",
    ],
    "keras_fast.search": ["TrialCurve", "TrialImportance", "trial_importance"],
}
OBJECTS = {
    f"{module}.{name}": getattr(importlib.import_module(module), name)
    for module, names in PUBLIC.items()
    for name in names
    if callable(getattr(importlib.import_module(module), name))
}
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def examples():
    names = [
        info.name
        for info in pkgutil.walk_packages(keras_fast.__path__, "keras_fast.")
    ]
    finder = doctest.DocTestFinder()
    for name in ["keras_fast", *names]:
        for test in finder.find(importlib.import_module(name), name):
            if test.examples:
                yield pytest.param(test, id=test.name)


@pytest.fixture
def ready():
    """What an example finds without making it: names, a model, data."""
    x = np.random.default_rng(0).normal(size=(32, 4)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(optimizer="adam", loss="mse")
    return {
        "keras": keras,
        "keras_fast": keras_fast,
        "model": model,
        "np": np,
        "x": x,
        "y": y,
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_all_lists_the_public_names_in_order(name):
    assert importlib.import_module(name).__all__ == sorted(PUBLIC[name])


def test_no_module_is_hidden_by_a_function():
    root = Path(__file__).parents[1]
    for path in root.glob("keras_fast/**/[!_]*.py"):
        folder = ".".join(path.parent.relative_to(root).parts)
        found = getattr(importlib.import_module(folder), path.stem, None)
        assert not callable(found), path


@pytest.mark.parametrize("name", OBJECTS)
def test_public_object_says_what_it_does_and_shows_it(name):
    # Not inspect.getdoc: that would do with the docstring of a base class.
    docstring = OBJECTS[name].__doc__ or ""
    assert docstring.split("\n")[0].endswith((".", "?", ":"))
    assert re.search(r"^\s*Examples?:$", docstring, re.MULTILINE)
    assert ">>> " in docstring


@pytest.mark.parametrize("example", list(examples()))
def test_docstring_example_runs(example, ready, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example.globs.update(ready)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    result = runner.run(example, out=report.write)
    assert result.failed == 0, report.getvalue()


def names_of_keras(tree):
    """Dotted names such as `keras.layers.Dense` in code."""
    for node in ast.walk(tree):
        names = []
        while isinstance(node, ast.Attribute):
            names.insert(0, node.attr)
            node = node.value
        if names and isinstance(node, ast.Name) and node.id == "keras":
            yield names


def test_every_part_of_keras_that_is_named_exists():
    named = set()
    for path in ROOT.glob("keras_fast/**/*.py"):
        named |= {*map(tuple, names_of_keras(ast.parse(path.read_text())))}
    assert ("callbacks", "CallbackList") in named
    for names in named:
        found = keras
        for name in names:
            if not inspect.ismodule(found):
                break
            assert hasattr(found, name), names
            found = getattr(found, name)


def test_version_is_that_of_the_distribution():
    text = ROOT.joinpath("pyproject.toml").read_text()
    assert keras_fast.__version__ == tomllib.loads(text)["project"]["version"]


def test_import_needs_no_heavy_library():
    # Keras imports some of these itself where it finds them, and does
    # without where it does not. Here they cannot be found.
    code = """
import sys
heavy = ["matplotlib", "tensorflow_datasets", "keras_cv", "sklearn"]
sys.modules.update(dict.fromkeys(heavy))
import keras_fast
assert [sys.modules[name] for name in heavy] == [None] * 4
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
