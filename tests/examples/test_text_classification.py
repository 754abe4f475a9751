"""The example of texts, on sentences of which one word decides."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.once


def sentences(package, name):
    assert package == "modeldata"
    seed = ["training_data", "testing_data"].index(name)
    rng = np.random.default_rng(seed)
    subjects = rng.choice(["tea", "cake", "bread"], 300)
    good = rng.choice([True, False], 300)
    texts = [
        f"the {subject} was {'good' if each else 'bad'} , i say ."
        for subject, each in zip(subjects, good, strict=True)
    ]
    score = np.where(good, "great", "other")
    return pd.DataFrame({"review": texts, "score": score})


def test_it_learns_what_is_great(monkeypatch, capsys):
    monkeypatch.syspath_prepend(EXAMPLES)
    import text_classification as example

    monkeypatch.setattr(example, "load", sentences)
    sizes = {"embedding_size": 8, "units": 16, "num_layers": 2}
    monkeypatch.setattr(example, "SIZES", sizes)
    monkeypatch.setattr(example, "WORDS", 16)
    monkeypatch.setattr(example, "LABELS", 100)
    monkeypatch.setattr(example, "DROPOUT", 0)
    example.main()
    lines = capsys.readouterr().out.splitlines()
    scores = [float(line.split()[-1]) for line in lines[-3:]]
    assert min(scores) > 0.95
