"""The example, with few images and a small network."""

from pathlib import Path

import keras
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = [pytest.mark.once, pytest.mark.tensorflow_only]  # loads images


def test_one_network_learns_at_both_sizes(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import progressive_resizing as example

    images, labels = example.load("valid", 16)
    assert images.shape == (253, 16, 16, 3)
    assert {*labels} == {*range(6)}
    of_size = {
        size: (keras.layers.Resizing(size, size)(images[::20]), labels[::20])
        for size in (8, 16)
    }
    model = example.build(filters=(4, 8))
    before = model.get_weights()
    seconds = example.train(model, of_size.get, [8, 16], [1, 1], [1e-2] * 2)
    assert seconds > 0
    kernel = next(i for i, w in enumerate(before) if w.ndim == 4)
    assert (before[kernel] != model.get_weights()[kernel]).any()
