"""The example, with fewer updates; and whether it judges well."""

from pathlib import Path

import keras
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.once


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import gan

    return gan


def test_the_judge_counts_modes_and_good_points(example):
    assert example.judge(example.ring(2000)) == (
        8,
        pytest.approx(0.99, abs=0.01),
    )
    one = example.mode_centres()[:1].repeat(100, axis=0)
    assert example.judge(one) == (1, 1)
    assert example.judge(0 * one) == (0, 0)


def test_the_generator_comes_near_the_ring(example, monkeypatch):
    monkeypatch.setattr(example, "SAMPLES", 128 * 25)
    keras.utils.set_random_seed(0)
    gan = example.build()
    example.compile_model(gan)
    noise = example.noise(500, seed=2)

    def radii():
        points = gan.predict(noise, verbose=0)
        return np.linalg.norm(points, axis=1)

    before = np.abs(radii() - 1).mean()
    history = example.train(gan, epochs=16).history
    assert {*history} == {"critic_loss", "generator_loss", "loss"}
    after = np.abs(radii() - 1).mean()
    assert after < 0.9 * before
