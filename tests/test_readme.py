"""Programs and figures that README and pages in Markdown show."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from matplotlib import pyplot

import keras_fast
from keras_fast import data, inference, models

ROOT = Path(__file__).parents[1]
SIZE, CLASSES = 32, 6
pytestmark = [
    pytest.mark.once,
    pytest.mark.tensorflow_only,
    pytest.mark.filterwarnings("ignore:`shuffle=True` was passed"),
]


def programs(page):
    text = (ROOT / page).read_text()
    found = re.findall(r"^```python\n(.*?)^```", text, re.S | re.M)
    return [less(each) for each in found]


def less(program):
    """The same with smaller images and fewer updates."""
    for pattern, short in {
        r"\((96|224), \1\)": f"({SIZE}, {SIZE})",
        r"\bepochs=\d": "epochs=1",
        r"(lr_find\([\w, ]+)\)": r"\1, num_steps=10)",
    }.items():
        program = re.sub(pattern, short, program)
    return program


def small(include_top):
    """In place of EfficientNet-Lite0."""
    assert not include_top
    return keras.Sequential(
        [
            keras.Input((None, None, 3)),
            keras.layers.Conv2D(4, 3, strides=4, activation="relu"),
            keras.layers.BatchNormalization(),
        ]
    )


@pytest.fixture
def ready(tmp_path, monkeypatch):
    """What the programs take for granted: images, and models at hand."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "efficientnet_lite0", small)
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    paths = []
    for part in ("train", "valid"):
        for number in range(2 * CLASSES):
            name = f"images/{part}/{number % CLASSES}/{number}.png"
            paths.append(tmp_path / name)
            paths[-1].parent.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(paths[-1], rng.uniform(0, 255, (40, 50, 3)))
    (tmp_path / "train").symlink_to("images/train")
    x = data.load_images(paths, SIZE)
    y = np.array([int(path.parent.name) for path in paths])
    model = models.image_classifier(small(False), CLASSES)
    model.compile("adam", "sparse_categorical_crossentropy")
    yield {
        "model": model,
        "x_train": x,
        "y_train": y,
        "x_valid": x,
        "y_valid": y,
        "paths": paths,
    }
    pyplot.close("all")


@pytest.mark.parametrize("number", range(3))
def test_readme_runs(number, ready):
    found = programs("README.md")
    assert len(found) == 3
    exec(found[number], ready)


def test_page_for_fastai_runs(ready):
    """Together: the second program goes on from the first."""
    found = programs("docs/from_fastai.md")
    assert len(found) == 2
    ready |= {"keras": keras, "keras_fast": keras_fast, "models": models}
    ready |= {"inference": inference, "AugTransforms": data.AugTransforms}
    ready |= {"show_batch": data.show_batch}
    for program in found:
        exec(program, ready)
    assert keras.models.load_model("model.keras").output_shape[-1] == CLASSES


def test_figures_of_readme_are_those_of_the_benchmarks():
    readme = (ROOT / "README.md").read_text()
    section = readme.split("## What it reaches")[1].split("\n## ")[0]
    rows = re.findall(r"^\|.*`(\w+)\.py` \|$", section, re.M)
    assert len(rows) >= 10
    measured = (ROOT / "docs/benchmarks.md").read_text()
    for row in section.splitlines():
        if not (script := re.search(r"`(\w+)\.py` \|$", row)):
            continue
        there = re.findall(
            rf"<!-- ({script[1]}\S*) -->(.*?)<!-- /\1 -->", measured, re.S
        )
        text = "".join(table for _, table in there)
        assert text, script[1]
        missing = [
            number
            for number in re.findall(r"\d+\.\d+", row)
            if not re.search(rf"(?<![\d.]){number}", text)
        ]
        assert not missing, row
